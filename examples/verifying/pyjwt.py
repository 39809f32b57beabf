"""Access tokens checked by PyJWT: `Check(issuer, audience)(token)` gives the claims, or raises. From a shell:
`python3 pyjwt.py ISSUER AUDIENCE` reads tokens from stdin, one a line, and prints what it thinks of each."""

import json
import sys
import time
import urllib.request

import jwt


class Keys(jwt.PyJWKClient):
    """While Latchkey is away, with the keys of last time, until they are an hour old."""

    _last, _read_at = None, float("-inf")

    def fetch_data(self):
        try:
            self._last, self._read_at = super().fetch_data(), time.monotonic()
        except (jwt.PyJWTError, OSError, ValueError):
            if time.monotonic() - self._read_at >= 3600:
                raise
            # It has thrown them away.
            self.jwk_set_cache.put(self._last)
        return self._last


class Check:
    def __init__(self, issuer, audience, max_age=300):
        address = issuer.rstrip("/") + "/.well-known/openid-configuration"
        with urllib.request.urlopen(address, timeout=5) as response:
            metadata = json.load(response)
        # OpenID Connect Discovery 1.0, section 4.3.
        if metadata["issuer"] != issuer:
            raise ValueError(f"{address} is the document of {metadata['issuer']}")
        self._keys = Keys(metadata["jwks_uri"], lifespan=max_age)
        self._rules = {
            "issuer": issuer,
            "audience": audience,
            "algorithms": metadata["id_token_signing_alg_values_supported"],
            "options": {"require": ["iss", "aud", "exp", "iat", "sub", "sid"]},
            # Clocks apart: without it a token whose `iat` is a second ahead is refused.
            "leeway": 5,
        }

    def __call__(self, token):
        if jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("no access token")
        key = self._keys.get_signing_key_from_jwt(token)
        return jwt.decode(token, key.key, **self._rules)


if __name__ == "__main__":
    issuer, audience, *max_age = sys.argv[1:]
    check = Check(issuer, audience, *map(int, max_age))
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            check(line.strip())
            print("accepted", flush=True)
        except (jwt.PyJWTError, OSError, ValueError) as error:
            print(f"refused: {error!r}", flush=True)
