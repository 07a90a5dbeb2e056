import type { MessageInitShape } from '@bufbuild/protobuf'
import { invalid } from '@coracle/base/errors'
import { type AuthConfig, ImageSchema } from '@coracle/cri-api'
import type { Credentials, Image } from '@coracle/image'
import { withPlainHost } from '@coracle/oci-spec/reference'
import { cachedItem } from '../encoded.ts'

/** Either uid or username is set; the group part is not shown (CRI, message Image). */
export function imageMessage(image: Image): MessageInitShape<typeof ImageSchema> {
  const user = image.config.user.split(':')[0] ?? ''
  const numeric = /^\d{1,18}$/.test(user)
  return {
    id: image.id,
    repoTags: [...image.tags],
    repoDigests: [...image.digests],
    size: BigInt(image.sizeBytes),
    ...(numeric ? { uid: { value: BigInt(user) } } : {}),
    username: numeric ? '' : user,
    spec: { image: image.id },
    pinned: image.pinned,
  }
}

export const imageItem = cachedItem(ImageSchema, imageMessage)

/** Credentials of one request. Those meant for another server than the image's are not used. */
export function credentialsOf(auth: AuthConfig | undefined, registry: string): Credentials | undefined {
  if (auth === undefined) return undefined
  if (auth.serverAddress !== '' && hostOf(auth.serverAddress) !== hostOf(registry)) return undefined
  if (auth.registryToken !== '') return { registryToken: auth.registryToken }
  if (auth.identityToken !== '') return { identityToken: auth.identityToken, username: auth.username }
  if (auth.username !== '') return { username: auth.username, password: auth.password }
  if (auth.auth === '') return undefined
  const decoded = Buffer.from(auth.auth, 'base64').toString('utf8').replace(/\0+$/, '')
  const colon = decoded.indexOf(':')
  if (colon < 1) throw invalid('auth.auth must be the base64 of "username:password" (value not shown)')
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) }
}

/** Host and port of a server address, which may be a URL such as https://index.docker.io/v1/. */
function hostOf(address: string): string {
  const host = address.replace(/^https?:\/\//, '').split('/')[0] ?? ''
  const plain = withPlainHost(host)
  return /^(index\.|registry-1\.)?docker\.io$/.test(plain) ? 'docker.io' : plain
}
