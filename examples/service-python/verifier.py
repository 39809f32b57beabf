"""Judges Latchkey's access tokens by themselves, with PyJWT (`pip install 'pyjwt[crypto]'`). Copy it and make it yours.

Keys and ended sessions are read by a thread in the background, so that no request waits for Latchkey and no forged token
makes anybody ask it. A token that names a claim twice is taken by its last one, as Python's json does: only Latchkey could
have signed it, and it does not.
"""

import base64
import json
import sys
import threading
import time
import urllib.request

import jwt

# A new key is in the list for minutes before it signs, and one that was revoked goes at once.
KEYS_SECONDS = 60
# For so long a list of keys is believed that cannot be read anew: it may hold one that was revoked meanwhile.
KEYS_MAX_STALENESS = 3600
# One key, one algorithm (RFC 8725, section 3.1).
ALGORITHMS = {"EC": "ES256", "RSA": "RS256"}
# Seconds by which the clock of whoever issued a token may be ahead.
SKEW = 5


class Refused(Exception):
    """`code` is what Latchkey calls it; TOKEN_EXPIRED alone means that the client may refresh."""

    def __init__(self, code, status=401):
        super().__init__(code)
        self.code = code
        self.status = status


class Verifier:
    """May be used by several threads."""

    def __init__(self, issuer, audience, url=None, client=None, poll_seconds=2.0, max_staleness=30.0):
        self._issuer = issuer
        self._audience = audience
        base = f"{(url or issuer).rstrip('/')}/.well-known"
        self._client = jwt.PyJWKClient(f"{base}/jwks.json", cache_jwk_set=False)
        self._feed = f"{base}/revocations"
        basic = base64.b64encode(":".join(client).encode()).decode() if client else None
        self._headers = {"Authorization": f"Basic {basic}"} if basic else {}
        self._poll_seconds = poll_seconds
        self._max_staleness = max_staleness
        self._keys = {}
        self._ended = {}
        self._since = None
        self._told = {}
        self._keys_at = self._ended_at = float("-inf")
        self._started = threading.Event()
        threading.Thread(target=self._read_on, daemon=True).start()

    def verify(self, token):
        """The claims of a good access token. Throws Refused: all else before its session, and its session before `exp`."""
        self._started.wait(10)
        if time.monotonic() - self._keys_at > KEYS_MAX_STALENESS:
            raise Refused("UNAVAILABLE", 503)
        claims = self._signed(token)
        if not self._is_right(claims):
            raise Refused("INVALID_TOKEN")
        if time.monotonic() - self._ended_at > self._max_staleness:
            raise Refused("UNAVAILABLE", 503)
        if claims["sid"] in self._ended:
            raise Refused("INVALID_TOKEN")
        if time.time() >= claims["exp"]:
            raise Refused("TOKEN_EXPIRED")
        return claims

    def _signed(self, token):
        # Whatever is wrong with a token, PyJWT's own exceptions or others: it is the token's fault.
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != "at+jwt" or "crit" in header:
                raise ValueError("This is no access token.")
            key = self._keys[header["kid"]]
            # The claims are judged below, exactly and in their order.
            unjudged = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss")}
            return jwt.decode(token, key.key, algorithms=[ALGORITHMS[key.key_type]], options=unjudged)
        except Exception as error:
            raise Refused("INVALID_TOKEN") from error

    def _is_right(self, claims):
        latest = time.time() + SKEW
        texts = [claims.get(name) for name in ("sub", "sid", "jti")]
        times = [claims.get(name) for name in ("iat", "exp")]
        roles = claims.get("roles")
        return (
            claims.get("iss") == self._issuer
            and claims.get("aud") == self._audience
            and claims.get("client_id") == self._audience
            and all(isinstance(text, str) and text for text in texts)
            and all(type(seconds) is int for seconds in times)
            and claims["iat"] <= latest
            and type(claims.get("nbf", 0)) in (int, float)
            and claims.get("nbf", 0) <= latest
            and isinstance(roles, list)
            and all(isinstance(role, str) for role in roles)
        )

    def _read_on(self):
        while True:
            for read in (self._read_keys, self._read_ended):
                try:
                    read()
                except Exception as error:  # what was read before stays, until it is too old
                    print(f"Latchkey could not be asked: {error}", file=sys.stderr, flush=True)
            self._started.set()
            time.sleep(self._poll_seconds)

    def _read_keys(self):
        if time.monotonic() - self._keys_at < KEYS_SECONDS:
            return
        asked_at = time.monotonic()
        keys = {key.key_id: key for key in self._client.get_signing_keys() if key.key_type in ALGORITHMS}
        if not keys:
            raise ValueError("There is no key for ES256 or RS256 in the list.")
        self._keys = keys
        self._keys_at = asked_at

    def _read_ended(self):
        asked_at = time.monotonic()
        query = "" if self._since is None else f"?since={self._since}"
        request = urllib.request.Request(self._feed + query, headers=self._headers)
        with urllib.request.urlopen(request, timeout=5) as response:
            feed = json.load(response)
        if type(feed["as_of"]) is not int:
            raise ValueError("This is no list of ended sessions.")
        told = {entry["sid"]: entry["until"] for entry in feed["sessions"]}
        # A new dict, so that no other thread sees half of it. What is over is forgotten.
        now = time.time()
        known = {sid: max(until, told.get(sid, 0)) for sid, until in self._ended.items()}
        self._ended = {sid: until for sid, until in {**told, **known}.items() if until > now}
        # A list again is no news, though it came just now: from a cache, or of instances that stand still.
        if feed["as_of"] not in self._told:
            self._ended_at = asked_at
        self._told[feed["as_of"]] = asked_at
        self._told = {as_of: at for as_of, at in self._told.items() if asked_at - at <= self._max_staleness}
        self._since = feed["as_of"]
