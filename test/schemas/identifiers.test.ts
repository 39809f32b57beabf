/** E-mail addresses and usernames: which are accepted, which are the same, and what holds for every code point. */
import { Ajv } from 'ajv'
import t from 'tap'
import { canonicalEmail, canonicalUsername, Email, formats, Username } from '../../schemas/identifiers.ts'

type Canonical = (text: string) => string | undefined
type Accepted = [name: string, text: string, canonical: string]
type Refused = [name: string, text: string]

function accepts(title: string, canonical: Canonical, cases: Accepted[]) {
  t.test(title, (t) => {
    for (const [name, text, expected] of cases) t.equal(canonical(text), expected, name)
    for (const [name, , expected] of cases) t.equal(canonical(expected), expected, `its own canonical form: ${name}`)
    t.end()
  })
}

function refuses(title: string, canonical: Canonical, cases: Refused[]) {
  t.test(title, (t) => {
    for (const [name, text] of cases) t.equal(canonical(text), undefined, name)
    t.end()
  })
}

function* everyCodePoint() {
  for (let code = 0; code <= 0x10ffff; code++) yield String.fromCodePoint(code)
}

const hex = (text: string) => [...text].map((c) => `U+${c.codePointAt(0)!.toString(16).toUpperCase()}`).join(' ')

/** The code points for which a property fails, so that a failure names them; ten are enough. */
function failing(holds: (character: string) => boolean): string[] {
  const found: string[] = []
  for (const character of everyCodePoint()) {
    if (!holds(character)) found.push(hex(character))
    if (found.length === 10) break
  }
  return found
}

/** Three labels of 63, then one of the length given; with `a@` before it the whole has 194 more. */
const longDomain = (last: number) => [63, 63, 63, last].map((length) => 'd'.repeat(length)).join('.')

accepts('e-mail addresses and their canonical form', canonicalEmail, [
  ['a plain one', 'ann@example.com', 'ann@example.com'],
  ['upper case on both sides', 'Ann.B@EXAMPLE.Com', 'ann.b@example.com'],
  ["every character of the HTML standard's local part", "aZ9.!#$%&'*+/=?^_`{|}~-@b.c", "az9.!#$%&'*+/=?^_`{|}~-@b.c"],
  ['dots anywhere in the local part, as HTML has it', '.a..b.@c.d', '.a..b.@c.d'],
  ['one label', 'a@localhost', 'a@localhost'],
  ['a label of digits that is not the last', 'a@163.com', 'a@163.com'],
  ['a last label with a digit', 'a@host1', 'a@host1'],
  ['two hyphens within a label', 'a@r3---sn.example', 'a@r3---sn.example'],
  ['a label of 63', `a@${'d'.repeat(63)}.com`, `a@${'d'.repeat(63)}.com`],
  ['254 in all', `a@${longDomain(60)}`, `a@${longDomain(60)}`],
  ['a local part of 252', `${'a'.repeat(252)}@b`, `${'a'.repeat(252)}@b`],
  ['Hangul', 'a@한국.kr', 'a@xn--3e0b707e.kr'],
  ['Hangul decomposed', `a@${'한국'.normalize('NFD')}.kr`, 'a@xn--3e0b707e.kr'],
  ['the same as an A-label', 'a@XN--3E0B707E.kr', 'a@xn--3e0b707e.kr'],
  ['an accent, upper case', 'a@BÜCHER.example', 'a@xn--bcher-kva.example'],
  ['an accent, decomposed', 'a@bu\u0308cher.example', 'a@xn--bcher-kva.example'],
  ['ß is not ss', 'a@straße.de', 'a@xn--strae-oqa.de'],
  ['ẞ is ß, on every line of Node', 'a@STRAẞE.de', 'a@xn--strae-oqa.de'],
  ['ß as an A-label', 'a@xn--strae-oqa.de', 'a@xn--strae-oqa.de'],
  ['ς is not σ', 'a@σας.gr', 'a@xn--mxa8ab.gr'],
  ['Σ is σ', 'a@ΣΑΣ.gr', 'a@xn--mxa9ab.gr'],
  ['dotless ı is not i', 'a@ı.com', 'a@xn--cfa.com'],
  ['the Kelvin sign is k by UTS 46', 'a@\u212A.com', 'a@k.com'],
  ['full-width letters and digits are plain by UTS 46', 'a@ｅｘ１.com', 'a@ex1.com'],
  ['right to left', 'a@אבג.com', 'a@xn--4dbcd.com'],
  ['Devanagari digits that are not the last label', 'a@१.com', 'a@xn--e4b.com'],
  ['a symbol only as an A-label', 'a@xn--ls8h.la', 'a@xn--ls8h.la'],
  ['a joiner in its context only as an A-label', 'a@xn--mgba3gch31f060k.com', 'a@xn--mgba3gch31f060k.com'],
])

refuses('no e-mail addresses', canonicalEmail, [
  ['nothing', ''],
  ['no @', 'example.com'],
  ['only an @', '@'],
  ['no local part', '@example.com'],
  ['no domain', 'a@'],
  ['two @', 'a@b@example.com'],
  ['a space at the front', ' a@example.com'],
  ['a space at the end', 'a@example.com '],
  ['a newline at the end', 'a@example.com\n'],
  ['a quoted local part', '"a b"@example.com'],
  ['a display name', 'Ann <ann@example.com>'],
  ['an international local part', 'é@example.com'],
  ['a full-width local part', 'ａ@example.com'],
  ['the Kelvin sign in the local part', '\u212A@example.com'],
  ['ſ in the local part', 'ſ@example.com'],
  ['a full-width @', 'a＠example.com'],
  ['a slash, where the host parser ends', 'a@victim.com/한국'],
  ['a backslash', 'a@victim.com\\한국'],
  ['a question mark', 'a@victim.com?한국'],
  ['a hash', 'a@victim.com#한국'],
  ['a port', 'a@victim.com:80'],
  ['a newline, which the host parser drops', 'a@vic\ntim.com'],
  ['a tab, which the host parser drops', 'a@vic\ttim.com'],
  ['a percent-encoding, which the host parser decodes', 'a@ex%61mple.com'],
  ['a NUL', 'a@example.com\0'],
  ['an underscore', 'a@ex_ample.com'],
  ['a symbol', 'a@💩.la'],
  ['an ideographic full stop', 'a@example。com'],
  ['a full-width full stop', 'a@example．com'],
  ['a half-width ideographic full stop', 'a@example｡com'],
  ['a one-dot leader', 'a@example․com'],
  ['a soft hyphen', 'a@ex\u00ADample.com'],
  ['a zero-width space', 'a@ex\u200Bample.com'],
  ['a joiner', 'a@ex\u200Dample.com'],
  ['a combining grapheme joiner', 'a@ex\u034Fample.com'],
  ['a variation selector', 'a@ex\uFE0Fample.com'],
  ['a Hangul filler', 'a@ex\u3164ample.com'],
  ['a direction override', 'a@ex\u202Eample.com'],
  ['a lone surrogate', 'a@ex\uD800ample.com'],
  ['a dot at the end', 'a@example.com.'],
  ['a dot at the front', 'a@.example.com'],
  ['two dots', 'a@example..com'],
  ['only a dot', 'a@.'],
  ['a hyphen at the front of a label', 'a@-example.com'],
  ['a hyphen at the end of a label', 'a@example-.com'],
  ['a mark at the front of a label', 'a@\u0301a.com'],
  ['a mixture of directions', 'a@אa.com'],
  ['the same as an A-label, which Node 24 lets through', 'a@xn--a-zhc.com'],
  ['a letter that UTS 46 maps to something with a space', 'a@ﷺ.com'],
  ['a label of 64', `a@${'d'.repeat(64)}.com`],
  ['a label that is over 63 in ASCII', `a@${'한'.repeat(60)}.com`],
  ['255 in all', `a@${longDomain(61)}`],
  ['255 in all by the local part', `${'a'.repeat(253)}@b`],
  ['a text that is far too long', `a@${'d.'.repeat(1_000_000)}com`],
  ['an IPv4 address', 'a@127.0.0.1'],
  ['an IPv4 address in brackets', 'a@[127.0.0.1]'],
  ['an IPv6 address', 'a@[::1]'],
  ['a short IPv4 address', 'a@127.1'],
  ['an IPv4 address as one number', 'a@2130706433'],
  ['a hexadecimal IPv4 address', 'a@0x7f000001'],
  ['a hexadecimal IPv4 address of no digits', 'a@0x'],
  ['a hexadecimal last label', 'a@foo.0x7f'],
  ['an octal last label', 'a@foo.09'],
  ['a numeric last label', 'a@example.123'],
  ['a full-width IPv4 address', 'a@１２７.１'],
  ['a full-width hexadecimal IPv4 address', 'a@０ｘ７ｆ'],
  ['a mathematical IPv4 address', 'a@𝟏𝟐𝟕.𝟏'],
  ['a last label of Arabic digits', 'a@example.٣'],
  ['a last label of Devanagari digits', 'a@example.१'],
  ['the same as an A-label', 'a@example.xn--e4b'],
  ['Punycode that does not decode', 'a@xn--zzzzzz.com'],
  ['Punycode that ends too early', 'a@xn--a.com'],
  ['Punycode of nothing', 'a@xn--.com'],
  ['Punycode of plain ASCII', 'a@xn--abcde-.com'],
  ['Punycode of upper case', 'a@xn--wca.com'],
  ['Punycode of a joiner out of its context', 'a@xn--1ug.com'],
  ['Punycode that does not decode, beside Hangul', 'a@xn--a.한국'],
])

t.test('a decomposed domain counts as typed: its composed spelling is the one that fits', (t) => {
  const domain = `${'각'.repeat(40)}.${'각'.repeat(40)}.${'각'.repeat(40)}`
  t.type(canonicalEmail(`a@${domain}`), 'string')
  t.equal(canonicalEmail(`a@${domain.normalize('NFD')}`), undefined, '364 code points')
  t.end()
})

t.test('every code point in a domain: none is dropped or makes another label, the canonical form is its own', (t) => {
  const holds = (character: string) => {
    const canonical = canonicalEmail(`a@x${character}y.com`)
    if (canonical === undefined) return true
    if (canonical === 'a@xy.com' || !/^a@[a-z0-9.-]+$/.test(canonical)) return false
    return canonical.split('.').length === (character === '.' ? 3 : 2) && canonicalEmail(canonical) === canonical
  }
  t.same(failing(holds), [])
  t.end()
})

t.test('no code point but ASCII in a local part', (t) => {
  t.same(
    failing((character) => character < '\x80' || canonicalEmail(`${character}@example.com`) === undefined),
    [],
  )
  t.end()
})

accepts('usernames and their canonical form', canonicalUsername, [
  ['a plain one', 'ann', 'ann'],
  ['upper case', 'ANN', 'ann'],
  ['one character', 'x', 'x'],
  ['only digits', '12345', '12345'],
  ['ASCII punctuation', "o'neill_<b>%&.-", "o'neill_<b>%&.-"],
  ['one space inside', 'Ann Lee', 'ann lee'],
  ['two spaces inside, apart', 'a b c', 'a b c'],
  ['a no-break space is a space', 'ann\u00A0lee', 'ann lee'],
  ['an ideographic space is a space', '홍\u3000길동', '홍 길동'],
  ['full-width', 'ＡＤＭＩＮ', 'admin'],
  ['mathematical', '𝐀𝐝𝐦𝐢𝐧', 'admin'],
  ['a ligature', 'ﬁn', 'fin'],
  ['straße', 'straße', 'strasse'],
  ['STRASSE', 'STRASSE', 'strasse'],
  ['STRAẞE', 'STRAẞE', 'strasse'],
  ['a mark after ß composes with its second s', 'ß\u0307', 'sṡ'],
  ['σας', 'σας', 'σασ'],
  ['ΣΑΣ', 'ΣΑΣ', 'σασ'],
  ['the lunate sigma', 'ϲ', 'σ'],
  ['İ keeps its dot', 'İ', 'i\u0307'],
  ['dotless ı is not i', 'ı', 'ı'],
  ['the Kelvin sign', '\u212A', 'k'],
  ['a capital whose lower case composes', 'J\u030C', 'ǰ'],
  ['Hangul', '홍길동', '홍길동'],
  ['Hangul decomposed', '홍길동'.normalize('NFD'), '홍길동'],
  ['half-width kana', 'ｶﾞ', 'ガ'],
  ['an accent decomposed', 'Rene\u0301', 'rené'],
  ['an emoji', '👩🏽', '👩🏽'],
  ['a diaeresis inside, whose NFKC has a space', 'a¨b', 'a \u0308b'],
  ['80 code points of 4 bytes: 320', '𠀀'.repeat(80), '𠀀'.repeat(80)],
])

refuses('no usernames', canonicalUsername, [
  ['nothing', ''],
  ['81 code points', 'a'.repeat(81)],
  ['81 code points outside the BMP', '𠀀'.repeat(81)],
  ['81 code points that compose to fewer', `${'a'.repeat(79)}e\u0301`],
  ['a text that is far too long', 'a'.repeat(1_000_000)],
  ['10 × U+FDFA: 330 bytes', '\uFDFA'.repeat(10)],
  ['80 × U+FDFA: 2,640 bytes', '\uFDFA'.repeat(80)],
  ['a zero-width space', 'ad\u200Bmin'],
  ['a joiner', 'ad\u200Dmin'],
  ['a soft hyphen', 'ad\u00ADmin'],
  ['a byte order mark', '\uFEFFadmin'],
  ['a direction override', '\u202Eadmin'],
  ['an emoji of several, held by joiners', '👩‍🚀'],
  ['a NUL', 'ad\0min'],
  ['a tab', 'ad\tmin'],
  ['a newline', 'ad\nmin'],
  ['DEL', 'ad\x7Fmin'],
  ['a C1 control', 'ad\x85min'],
  ['a line separator', 'ad\u2028min'],
  ['a paragraph separator', 'ad\u2029min'],
  ['private use', 'ad\uE000min'],
  ['private use in plane 16', 'ad\u{10FFFD}min'],
  ['a lone high surrogate', 'ad\uD83Dmin'],
  ['a lone low surrogate', 'admin\uDE00'],
  ['a noncharacter', 'ad\uFFFFmin'],
  ['Hangul choseong filler', 'a\u115F'],
  ['Hangul jungseong filler', 'a\u1160'],
  ['Hangul filler', '\u3164'],
  ['half-width Hangul filler', 'a\uFFA0'],
  ['an @', 'ann@example.com'],
  ['a full-width @', 'ann＠example.com'],
  ['a small @', 'ann﹫example.com'],
  ['only a space', ' '],
  ['a space at the front', ' ann'],
  ['a space at the end', 'ann '],
  ['a no-break space at the end', 'ann\u00A0'],
  ['an ideographic space at the front', '\u3000ann'],
  ['an Ogham space mark at the end', 'ann\u1680'],
  ['two spaces together', 'ann  lee'],
  ['a space and a no-break space together', 'ann \u00A0lee'],
  ['a space and an Ogham space mark together', 'ann \u1680lee'],
  ['a diaeresis at the front, whose NFKC begins with a space', '¨ann'],
  ['a diaeresis after a space', 'ann ¨lee'],
])

t.test(
  'every code point in a username: the canonical form is its own, is not empty, and holds nothing refused',
  (t) => {
    const stable = (character: string) => {
      const canonical = canonicalUsername(`x${character}x`)
      if (canonical === undefined) return true
      return canonical !== 'xx' && !/[\p{C}@]/u.test(canonical) && canonicalUsername(canonical) === canonical
    }
    t.same(failing(stable), [])
    t.end()
  },
)

t.test('every code point in a username is the same in upper and lower case, in NFC and NFD', (t) => {
  // Lower case has no way back from these: what shares an upper case with another letter (ı, ᲀ) or expands (ᾳ).
  const apart = /[ı𝚤ͺ\u1C80-\u1C88\u1F80-\u1FFC]|\u0345/u
  const same = (character: string) => {
    const cases = [character.toUpperCase(), character.toLowerCase()]
    const others = [...cases, character.normalize('NFC'), character.normalize('NFD')].filter(
      (other) => other !== character,
    )
    const canonical = canonicalUsername(`x${character}x`)
    return others.every((other) => canonicalUsername(`x${other}x`) === canonical) || apart.test(character)
  }
  t.same(failing(same), [])
  t.end()
})

t.test('a canonical username may be longer than one that is typed, up to 320 bytes', (t) => {
  const canonical = canonicalUsername('\uFDFA'.repeat(9))
  t.equal(canonical, '\uFDFA'.repeat(9).normalize('NFKC'))
  t.equal(Buffer.byteLength(canonical!), 297)
  t.end()
})

t.test('the schemas, in ajv', (t) => {
  const ajv = new Ajv({ formats })
  const email = ajv.compile(Email)
  const username = ajv.compile(Username)
  t.equal(email('Ann@한국.kr'), true)
  t.equal(email(`a@${longDomain(60)}`), true, '254 of ASCII')
  t.equal(email('a@127.1'), false)
  t.equal(email(7), false)
  t.equal(username('홍 길동'), true)
  t.equal(username('👩'.repeat(80)), true, 'code points are counted, not UTF-16')
  t.equal(username('👩'.repeat(81)), false)
  t.equal(username('a@b'), false)
  t.end()
})
