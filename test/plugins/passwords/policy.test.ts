/** Which passwords are refused when one is set. */
import { createRequire } from 'node:module'
import t from 'tap'
import { isCommon } from '../../../plugins/passwords/policy.ts'

const list: string[] = createRequire(import.meta.url)('@zxcvbn-ts/language-common/src/passwords.json')

t.test('the list is what policy.ts takes it for', async (t) => {
  t.ok(list.filter((entry) => [...entry].length >= 8).length >= 10_000, 'at least 10,000 that could be chosen')
  t.strictSame(
    list.filter((entry) => !/^[\x20-\x7e]+$/.test(entry) || /["\\A-Z]/.test(entry)),
    [],
    'printable ASCII in lower case, the same in JSON as in itself',
  )
})

t.test('a commonly used password is found, in any case', async (t) => {
  for (const entry of ['password1', 'PassWord1', '1234567890', 'QWERTYUIOP', list[0]!, list.at(-1)!]) {
    t.equal(await isCommon(entry, []), true, entry)
  }
  const sample = list.filter((_, index) => index % 500 === 0)
  t.ok((await Promise.all(sample.map((entry) => isCommon(entry.toUpperCase(), [])))).every(Boolean))
})

t.test('a password that only holds one, or a part of one, is not', async (t) => {
  const [first, second] = list as [string, string]
  const free = [
    'password1 it is not',
    'qwertyuiop[]asdf',
    `${first}","${second}`,
    `"${first}"`,
    `${first},${second}`,
    '한글로 된 비밀번호',
    '',
  ]
  for (const password of free) t.equal(await isCommon(password, []), false, password)
})

t.test("the person's own names, in any case and either normal form", async (t) => {
  const own = ['Ann.Example@example.com', 'ann.example@example.com', 'Zoë Müller 한글']
  for (const password of ['ann.example@EXAMPLE.com', 'ZOË MÜLLER 한글', 'zoë müller 한글'.normalize('NFD')]) {
    t.equal(await isCommon(password, own), true, password)
    t.equal(await isCommon(password, []), false, `${password} of somebody else`)
  }
  t.equal(await isCommon('ann.example@example.com!', own), false)
})
