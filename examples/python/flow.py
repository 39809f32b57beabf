"""The life of a client: `python3 examples/python/flow.py [ORIGIN]`, where Latchkey was started with ACCESS_TOKEN_TTL=3, so
that the access token expires while you look."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from latchkey import Latchkey, LatchkeyError

latchkey = Latchkey(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000")
ann = {"email": "ann@example.com", "password": "correct horse battery"}

try:
    tokens = latchkey.register(username="ann", **ann)
except LatchkeyError as error:
    if error.code != "EMAIL_TAKEN":
        raise
    tokens = latchkey.login(**ann)
me = latchkey.call("GET", "/user/me")
print(f"Logged in as {me['username']}")

print(f"Waiting {tokens['expires_in']} s: then the access token has expired", flush=True)
time.sleep(tokens["expires_in"])

# Each of them meets the expiry, one refresh serves them all.
with ThreadPoolExecutor() as threads:
    calls = [
        threads.submit(latchkey.call, "GET", "/user/me"),
        threads.submit(latchkey.call, "GET", "/user/me"),
        threads.submit(latchkey.call, "GET", "/user/sessions"),
        threads.submit(latchkey.call, "PATCH", "/user/me", {"username": "ann"}),
    ]
    answers = [call.result() for call in calls]
print(f"{len(answers)} calls at once, {len(answers)} answers")

try:
    latchkey.call("PATCH", "/user/me", {"username": "ann@home"})
except LatchkeyError as error:
    print(error.code, *(f"{fault['field']}: {fault['message']}" for fault in error.details))

latchkey.logout()
try:
    latchkey.call("GET", "/user/me")
except LatchkeyError as error:
    print(f"Logged out: {error.code}")
