"""A client of Latchkey with requests: it keeps the two tokens, refreshes once for all threads that met an expired access
token, and repeats each of their calls once. Copy it and make it yours: docs/clients.md says why it is so."""

import threading
import time

import requests


class LatchkeyError(Exception):
    """An answer that is no success. `code` is what to program against; a gateway's own answers have none."""

    def __init__(self, response):
        body = response.json() if is_json(response) else {}
        super().__init__(body.get("message", f"HTTP {response.status_code}"))
        self.status = response.status_code
        self.code = body.get("code")
        self.details = body.get("details", [])
        # A gateway's may be a date.
        retry_after = response.headers.get("Retry-After", "")
        self.retry_after = int(retry_after) if retry_after.isdigit() else 1


class Latchkey:
    """May be used by several threads. The tokens are kept in memory."""

    def __init__(self, origin):
        self._origin = origin
        self._tokens = None
        self._lock = threading.Lock()

    def register(self, **person):
        return self._enter(self._send("POST", "/user/register", person))

    def login(self, **credentials):
        return self._enter(self._send("POST", "/user/login", credentials))

    def change_password(self, **passwords):
        return self._enter(self.call("PUT", "/user/password", passwords))

    def logout(self):
        """By the refresh token, which ends the session also when the access token has expired."""
        with self._lock:
            tokens, self._tokens = self._tokens, None
        if tokens:
            self._send("POST", "/user/logout", {"refresh_token": tokens["refresh_token"]})

    def call(self, method, path, body=None):
        """Asks as the person who is logged in: `call("GET", "/user/me")`."""
        tokens = self._tokens
        try:
            return self._send(method, path, body, tokens)
        except LatchkeyError as error:
            if error.code == "INVALID_TOKEN":
                self._forget(tokens)
            if error.code != "TOKEN_EXPIRED":
                raise
        self._refresh(tokens)
        return self._send(method, path, body, self._tokens)

    def _refresh(self, expired):
        """One refresh for all threads that met the expiry: the others wait for it and find new tokens."""
        with self._lock:
            if self._tokens is not expired:
                return
            try:
                self._tokens = self._renewed(expired["refresh_token"])
            except LatchkeyError as error:
                if error.status == 401:
                    self._tokens = None
                raise

    def _renewed(self, refresh_token, tries=3):
        """A refresh whose answer was lost is asked again: within REFRESH_GRACE the same token gives the same next one."""
        try:
            return self._send("POST", "/user/refresh", {"refresh_token": refresh_token})
        except (LatchkeyError, requests.RequestException) as error:
            # No status: no answer came. From 500 on a gateway may have lost it.
            if getattr(error, "status", 500) < 500 or tries == 1:
                raise
            # However long it says: three tries of 8 s and two pauses have to fit into the grace.
            time.sleep(min(getattr(error, "retry_after", 1), 2))
            return self._renewed(refresh_token, tries - 1)

    def _forget(self, tokens):
        with self._lock:
            if self._tokens is tokens:
                self._tokens = None

    def _enter(self, tokens):
        with self._lock:
            self._tokens = tokens
        return tokens

    def _send(self, method, path, body=None, tokens=None):
        headers = {"Authorization": f"Bearer {tokens['access_token']}"} if tokens else {}
        response = requests.request(method, self._origin + path, json=body, headers=headers, timeout=(3, 5))
        if not response.ok:
            raise LatchkeyError(response)
        return response.json() if is_json(response) else None


def is_json(response):
    return response.headers.get("Content-Type", "").startswith("application/json")
