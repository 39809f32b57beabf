"""Makes passlib-vectors.json, what passlib itself stores for some passwords. The command stands in formats.test.ts.

Needs passlib 1.7.4 with a bcrypt before 5 (Debian: python3-passlib, python3-bcrypt). Salts come from the names, so the
same text comes out each time.
"""

import hashlib
import json

from passlib.hash import bcrypt, bcrypt_sha256
from passlib.utils.binary import bcrypt64

HANGUL = "".join(chr(0xAC00 + 171 * n) for n in range(64))  # 192 bytes
TAIL = "x" * 72

VECTORS = [
    # name, form, cost, password, a password that must not match
    ("ascii", "bcrypt_sha256", 12, "correct horse battery staple", "correct horse battery stapler"),
    ("64 hangul syllables", "bcrypt_sha256", 11, HANGUL, HANGUL[:-1] + "힣"),
    ("256 code points", "bcrypt_sha256", 10, "각" * 255 + "힣", "각" * 256),
    ("emoji", "bcrypt_sha256", 10, "👩‍👩‍👧‍👦 family 👍🏽 photo", "👩‍👩‍👧‍👦 family 👍🏿 photo"),
    ("after byte 72", "bcrypt_sha256", 10, TAIL + "one", TAIL + "two"),
    ("another cost", "bcrypt_sha256", 9, "한글로 된 비밀번호", "한글로 된 비밀번효"),
    ("$2a$", "2a", 10, "한글로 된 비밀번호", "한글로 된 비밀번효"),
    ("$2a$ of 256 bytes", "2a", 10, "각" * 85 + "x", "각"),
    ("$2b$", "2b", 12, "tea at five o'clock", "tea at six o'clock"),
    ("$2y$", "2y", 11, "tea at five o'clock", "tea at six o'clock"),
]


def vector(name, form, cost, password, other):
    salt = bcrypt64.encode_bytes(hashlib.sha256(name.encode()).digest()[:16]).decode()
    if form == "bcrypt_sha256":
        handler = bcrypt_sha256.using(version=2, rounds=cost, salt=salt)
    else:
        handler = bcrypt.using(ident=form, rounds=cost, salt=salt)
    return {"name": name, "cost": cost, "password": password, "other": other, "hash": handler.hash(password)}


print(json.dumps([vector(*line) for line in VECTORS], ensure_ascii=False, indent=2))
