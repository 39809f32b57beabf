// Where the keys of an issuer are, for libraries that do not look for them by themselves (OpenID Connect Discovery 1.0,
// section 4). Ask once, at the start.

export async function metadataOf(issuer) {
  const response = await fetch(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}`)
  const metadata = await response.json()
  // Section 4.3: or somebody else's keys would be taken for those of this issuer.
  if (metadata.issuer !== issuer) throw new Error(`${response.url} is the document of ${metadata.issuer}`)
  return metadata
}
