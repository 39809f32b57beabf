"""A service that trusts Latchkey's access tokens, in Python's own HTTP server: `python3 examples/service-python/service.py`.
Everything that differs from place to place is in the environment."""

import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from verifier import Refused, Verifier

env = os.environ
issuer = env.get("ISSUER", "http://localhost:3000")
verifier = Verifier(
    issuer=issuer,
    audience=env.get("AUDIENCE", "latchkey"),
    # Where Latchkey is reached from here, past the gateway.
    url=env.get("LATCHKEY_URL", issuer),
    # One of Latchkey's SERVICE_CLIENTS, who may read which sessions have ended.
    client=(env.get("SERVICE_ID", ""), env.get("SERVICE_SECRET", "")),
    poll_seconds=float(env.get("POLL_SECONDS", "2")),
)


class Orders(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            self.answer(200, self.content())
        except Refused as error:
            self.answer(error.status, {"statusCode": error.status, "code": error.code})

    def content(self):
        if self.path == "/health":
            return {"status": "ok"}
        claims = self.claims()
        if self.path == "/orders":
            return {"of": claims["sub"], "orders": []}
        if self.path == "/admin/orders":
            if "admin" not in claims["roles"]:
                raise Refused("FORBIDDEN", 403)
            return {"orders": []}
        raise Refused("NOT_FOUND", 404)

    def claims(self):
        bearer = re.fullmatch(r"Bearer +(\S.*)", self.headers.get("Authorization", ""), re.IGNORECASE)
        if not bearer:
            raise Refused("UNAUTHENTICATED")
        return verifier.verify(bearer[1])

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 401:
            bare = body["code"] == "UNAUTHENTICATED"
            self.send_header("WWW-Authenticate", "Bearer" if bare else 'Bearer error="invalid_token"')
        if status == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Nothing: the address of a request may hold anything."""


server = ThreadingHTTPServer(("127.0.0.1", int(env.get("PORT", "4000"))), Orders)
print(f"Orders listen at http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
