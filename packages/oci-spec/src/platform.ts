// Platforms as image-spec's image-index.md names them, and the choice among those that an index offers.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Descriptor, Platform } from './image.ts'

const architectures: Readonly<Record<string, Platform>> = {
  x64: { os: 'linux', architecture: 'amd64' },
  x86_64: { os: 'linux', architecture: 'amd64' },
  aarch64: { os: 'linux', architecture: 'arm64' },
  ia32: { os: 'linux', architecture: '386' },
  i386: { os: 'linux', architecture: '386' },
  arm: { os: 'linux', architecture: 'arm', variant: 'v7' },
  armhf: { os: 'linux', architecture: 'arm', variant: 'v7' },
  armel: { os: 'linux', architecture: 'arm', variant: 'v6' },
}

/** The platform of this machine. */
export function hostPlatform(): Platform {
  return architectures[process.arch] ?? { os: 'linux', architecture: process.arch }
}

/** Parses `os/architecture[/variant]`. Throws `invalid_argument`. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/')
  const word = /^[A-Za-z0-9_.-]{1,64}$/
  if (!os || !architecture || rest.length > 0 || ![os, architecture, variant ?? 'x'].every((part) => word.test(part)))
    throw invalid(`platform ${quote(text)} must be os/architecture or os/architecture/variant`)
  return normalisePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) })
}

/** Lower case, the usual names (`x86_64` is `amd64`), and no variant where it says nothing (`amd64/v1`, `arm64/v8`). */
export function normalisePlatform(platform: Platform): Platform {
  const named = platform.architecture.toLowerCase()
  const known = architectures[named]
  const architecture = known?.architecture ?? named
  let variant = (platform.variant ?? known?.variant ?? '').toLowerCase()
  if (/^[0-9]+$/.test(variant)) variant = `v${variant}`
  if (architecture === 'arm' && variant === '') variant = 'v7'
  if ((architecture === 'arm64' && variant === 'v8') || (architecture === 'amd64' && variant === 'v1')) variant = ''
  return {
    os: platform.os.toLowerCase(),
    architecture,
    ...(variant === '' ? {} : { variant }),
    ...(platform.osVersion === undefined ? {} : { osVersion: platform.osVersion }),
  }
}

export const formatPlatform = (platform: Platform): string =>
  [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== '').join('/')

/** How well `offered` runs where `wanted` is: 0 not at all, more is better. A lower variant of the same architecture runs, a higher one not. */
export function fitness(wanted: Platform, offered: Platform): number {
  const [a, b] = [normalisePlatform(wanted), normalisePlatform(offered)]
  if (a.os !== b.os || a.architecture !== b.architecture) return 0
  const [have, need] = [variantNumber(a), variantNumber(b)]
  if (have === undefined || need === undefined) return a.variant === b.variant ? 1000 : 0
  return need > have ? 0 : 1000 - (have - need)
}

function variantNumber(platform: Platform): number | undefined {
  if (platform.variant === undefined) return platform.architecture === 'arm64' ? 8 : 1
  const digits = /^v([0-9]{1,3})(?:\.[0-9]+)?$/.exec(platform.variant)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** The best match, the first of equals; undefined when nothing fits. Attestations (`unknown/unknown`) never fit. */
export function selectPlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  let best: Descriptor | undefined
  let bestFitness = 0
  for (const descriptor of manifests) {
    if (descriptor.platform === undefined) continue
    const fit = fitness(wanted, descriptor.platform)
    if (fit > bestFitness) {
      best = descriptor
      bestFitness = fit
    }
  }
  return best
}

/**
 * What an index has for `wanted`: the best match, else its only entry that does not say for which platform it is (its config tells).
 * Attestations beside it do not count.
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const unnamed = manifests.filter(
    ({ platform, annotations }) => platform === undefined && annotations?.['vnd.docker.reference.type'] === undefined,
  )
  return selectPlatform(manifests, wanted) ?? (unnamed.length === 1 ? unnamed[0] : undefined)
}
