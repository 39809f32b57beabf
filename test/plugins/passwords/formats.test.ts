/**
 * The stored forms against passlib, in both directions. The vectors are made again by
 * `/usr/bin/python3 test/plugins/passwords/make-vectors.py > test/plugins/passwords/passlib-vectors.json`
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import bcrypt from 'bcrypt'
import t from 'tap'
import { checkPassword, hashPassword } from '../../../plugins/passwords/formats.ts'

interface Vector {
  name: string
  cost: number
  password: string
  other: string
  hash: string
}

// Compiled, this file is in dist/test/plugins/passwords; what python reads and writes is not compiled.
const beside = (name: string) => fileURLToPath(new URL(`../../../../test/plugins/passwords/${name}`, import.meta.url))
const committed = readFileSync(beside('passlib-vectors.json'), 'utf8')
const vectors: Vector[] = JSON.parse(committed)

const PYTHON = '/usr/bin/python3'
const noPasslib = spawnSync(PYTHON, ['-c', 'import passlib, bcrypt']).status !== 0 && 'no passlib here'

/** The settings of bcrypt of every hash that `deed` makes, in their order: nothing is left out, the decoys neither. */
function hashesOf(deed: () => unknown): string[] {
  const original = bcrypt.hashSync
  const calls: string[] = []
  bcrypt.hashSync = (secret, salt) => {
    calls.push(String(salt).slice(0, 7))
    return original(secret, salt)
  }
  try {
    deed()
  } finally {
    bcrypt.hashSync = original
  }
  return calls
}

t.test('what passlib made verifies here', async (t) => {
  for (const { name, cost, password, other, hash } of vectors) {
    const current = hash.startsWith('$bcrypt-sha256$')
    const right = checkPassword(password, hash, current ? cost : 4)
    t.equal(right.ok, true, name)
    t.equal('renewed' in right, !current, `${name}: renewed if it is of another form`)
    t.strictSame(checkPassword(other, hash, current ? cost : 4), { ok: false }, `${name}: another password`)
  }
})

t.test('what is made here verifies with passlib', { skip: noPasslib }, async (t) => {
  const passwords = ['correct horse', '한'.repeat(64), 'ㅎㅏㄴ글'.repeat(64), `${'x'.repeat(72)}👍`]
  const pairs = passwords.map((password) => [password, hashPassword(password, 10)])
  const script = `import json, sys
from passlib.hash import bcrypt_sha256
print(json.dumps([[bcrypt_sha256.verify(p, h), bcrypt_sha256.verify(p + "x", h)] for p, h in json.load(sys.stdin)]))`
  const answer = JSON.parse(execFileSync(PYTHON, ['-c', script], { input: JSON.stringify(pairs), encoding: 'utf8' }))
  t.strictSame(
    answer,
    passwords.map(() => [true, false]),
  )
})

t.test('the committed vectors are what passlib makes', { skip: noPasslib }, async (t) => {
  t.equal(execFileSync(PYTHON, [beside('make-vectors.py')], { encoding: 'utf8' }), committed)
})

t.test('a hash has the current form, and a salt of its own', async (t) => {
  const first = hashPassword('한글로 된 비밀번호', 4)
  t.match(first, /^\$bcrypt-sha256\$v=2,t=2b,r=4\$[./A-Za-z0-9]{22}\$[./A-Za-z0-9]{31}$/)
  t.match(hashPassword('한글로 된 비밀번호', 10), /^\$bcrypt-sha256\$v=2,t=2b,r=10\$/)
  t.not(hashPassword('한글로 된 비밀번호', 4).slice(28), first.slice(28))
  t.strictSame(checkPassword('한글로 된 비밀번호', first, 4), { ok: true })
})

t.test('NFC and NFD are one password, in every form', async (t) => {
  const composed = 'Café 한글'.normalize('NFC')
  const decomposed = composed.normalize('NFD')
  t.not(composed, decomposed)
  t.ok(checkPassword(decomposed, hashPassword(composed, 4), 4).ok)
  t.ok(checkPassword(composed, hashPassword(decomposed, 4), 4).ok)
  t.ok(checkPassword(decomposed, bcrypt.hashSync(composed, 4), 4).ok)
})

t.test('a foreign hash is renewed at the current cost, from lower and from higher', async (t) => {
  const foreign = [hashPassword('password', 4), hashPassword('password', 6), bcrypt.hashSync('password', 5)]
  for (const stored of foreign) {
    const { ok, renewed } = checkPassword('password', stored, 5)
    t.ok(ok, stored)
    t.match(renewed, /^\$bcrypt-sha256\$v=2,t=2b,r=5\$/)
    t.strictSame(checkPassword('password', renewed ?? null, 5), { ok: true })
  }
})

t.test('every check costs one hash at the current cost', async (t) => {
  const current = hashPassword('password', 6)
  const costs = (password: string, stored: string | null) => hashesOf(() => checkPassword(password, stored, 6))
  t.strictSame(costs('password', current), ['$2b$06$'], 'right')
  t.strictSame(costs('passwort', current), ['$2b$06$'], 'wrong')
  t.strictSame(costs('password', null), ['$2b$06$'], 'unknown account')
  for (const foreign of [hashPassword('password', 4), bcrypt.hashSync('password', 4)]) {
    t.strictSame(costs('password', foreign), ['$2b$04$', '$2b$06$'], 'foreign and right')
    t.strictSame(costs('passwort', foreign), ['$2b$04$', '$2b$06$'], 'foreign and wrong')
  }
})

t.test('a strange stored string is a wrong password', async (t) => {
  const [plain, current] = [bcrypt.hashSync('password', 4), hashPassword('password', 4)]
  const strange = [
    '',
    'password',
    '*',
    '$',
    '$2b$',
    `${plain}\n`,
    ` ${plain}`,
    plain.slice(0, -1),
    `${plain}x`,
    plain.replace('$2b$', '$2x$'),
    plain.replace('$04$', '$03$'),
    plain.replace('$04$', '$19$'),
    plain.replace('$04$', '$99$'),
    plain.replace('$04$', '$4$'),
    plain.replace(/.$/, 'ü'),
    current.replace('v=2', 'v=3'),
    current.replace('t=2b', 't=2a'),
    current.replace('r=4', 'r=31'),
    current.replace('r=4', 'r=0'),
    current.replace('r=4', 'r=-4'),
    `${current}$`,
    '$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk',
    '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA',
  ]
  for (const stored of strange) {
    t.strictSame(
      hashesOf(() => t.strictSame(checkPassword('password', stored, 5), { ok: false }, stored)),
      ['$2b$05$'],
    )
  }
})
