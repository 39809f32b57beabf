/** TLS to MySQL and MariaDB: what `ssl-mode` and `ssl-ca` are to the driver, and what its errors are to people. */
import { connect, isIP } from 'node:net'
import type { PoolOptions } from 'mysql2/promise'
import { readCertificates } from '../../certificates.ts'
import type { DatabaseAddress } from '../../schemas/config.ts'

export type MysqlAddress = Extract<DatabaseAddress, { kind: 'mysql' }>

/** As the driver and Node.js throw them; of a certificate that is refused, Node.js's code is lost on the way. */
interface DriverError extends Error {
  code?: string
  errno?: number
  /** Of OpenSSL. */
  library?: string
  reason?: string
  /** Of a certificate for another host. */
  cert?: { subject: { CN?: string }; subjectaltname?: string }
}

/** MySQL's number for "not without TLS". MariaDB says 1045, as for a wrong password. */
const TLS_DEMANDED = 3159

/** The driver's options. Throws where the file of `ssl-ca` is not what it was when the settings were read. */
export function tlsOptions({ host, port, tls }: MysqlAddress): Pick<PoolOptions, 'ssl' | 'stream'> {
  if (!tls) return {}
  const verifyIdentity = tls.mode === 'verify_identity'
  return {
    ssl: {
      minVersion: 'TLSv1.2',
      rejectUnauthorized: tls.mode !== 'required',
      verifyIdentity,
      ...(tls.ca !== undefined && { ca: readCertificates(tls.ca) }),
    },
    ...(verifyIdentity && isIP(host) && { stream: () => namedSocket(host, port) }),
  }
}

/**
 * For an address mysql2 3.24 gives no name to Node.js, which then asks the socket for one and, finding none, takes
 * `localhost`: a certificate for localhost would pass for any address, and one for the address would be refused.
 */
function namedSocket(host: string, port: number) {
  return Object.assign(connect({ host, port, keepAlive: true, noDelay: true }), { _host: host })
}

/** What is wrong with the server's TLS and how to mend it, said of the database; undefined where it is anything else. */
export function tlsFault(error: DriverError, { host, tls }: MysqlAddress): string | undefined {
  const { code, errno, message, library, reason, cert } = error
  if (errno === TLS_DEMANDED) return 'demands TLS: add ssl-mode=verify_identity to DATABASE_URL'
  if (code === 'HANDSHAKE_NO_SSL_SUPPORT')
    return `offers no TLS, and ssl-mode=${tls?.mode} demands it: give the server a certificate (ssl_cert and ssl_key)`
  if (code !== 'HANDSHAKE_SSL_ERROR' || isCutOff(error)) return undefined
  if (library) return `offers no TLS that is good enough (${reason}): it must speak version 1.2 or newer`
  if (cert)
    return `shows a certificate for ${cert.subjectaltname ?? cert.subject.CN}, not for ${host}: write the name that it is made for into DATABASE_URL, or give the server one for this name`
  if (/expired|not yet valid/.test(message))
    return `shows a certificate that is out of its time (${message}): renew it, or its authority's, or set the clock right`
  const mend = tls?.ca === undefined ? 'name the file of its authority by ssl-ca' : `put its authority into ${tls.ca}`
  return `shows a certificate that cannot be trusted (${message}): ${mend}`
}

/** The server went away in the middle: it may come back. */
function isCutOff(error: DriverError): boolean {
  return 'syscall' in error || error.message.includes('disconnected before secure TLS')
}
