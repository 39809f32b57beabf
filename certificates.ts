/** The certificates of the authorities that `ssl-ca` in DATABASE_URL names: config.ts checks them, plugins/db trusts them. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** Each one is read here, since Node.js itself passes over what it cannot read. Throws an Error with a sentence for people. */
export function readCertificates(file: string): string[] {
  const refuse = (why: string) => new Error(`DATABASE_URL has ssl-ca=${file}, ${why}.`)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw refuse(`which cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  // One that is cut off reaches to the end of the file, and is refused like any other that is broken.
  const certificates = text.match(/-----BEGIN CERTIFICATE-----.*?(?:-----END CERTIFICATE-----|$)/gs) ?? []
  if (certificates.length === 0) throw refuse('which holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)')
  const broken = certificates.findIndex((certificate) => !isReadable(certificate))
  if (broken >= 0) throw refuse(`whose certificate ${broken + 1} of ${certificates.length} is broken`)
  return certificates
}

function isReadable(certificate: string): boolean {
  try {
    return new X509Certificate(certificate).raw.length > 0
  } catch {
    return false
  }
}
