// Which cgroups the numbers of pods and containers come from.
import { cgroupsPath } from '@coracle/container-spec'
import type { Container } from '../model/container.ts'
import type { Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'

type Facts = Pick<Services, 'facts'>

/** Undefined when it was never made. */
export function containerCgroup({ facts }: Facts, container: Container): string | undefined {
  const path = container.made?.cgroupsPath
  return path === undefined ? undefined : toPath(path, facts.cgroupDriver)
}

/** Of the pod's own init, where it has one. */
export const infraCgroup = ({ facts }: Facts, pod: Pod): string =>
  toPath(cgroupsPath(pod.cgroupParent, pod.id, facts), facts.cgroupDriver)

export const podCgroup = ({ facts }: Facts, pod: Pod): string =>
  facts.cgroupDriver === 'systemd' ? expandSlice(pod.cgroupParent) : pod.cgroupParent

// `slice:prefix:name` is the scope `prefix-name.scope` in that slice.
function toPath(path: string, driver: string): string {
  if (driver === 'cgroupfs') return path
  const [slice = '', prefix = '', name = ''] = path.split(':')
  return `${expandSlice(slice)}/${prefix}-${name}.scope`
}

// The dashes of a slice's name are its ancestors (systemd.slice(5)).
function expandSlice(slice: string): string {
  const words = slice.replace(/\.slice$/, '').split('-')
  return words.map((_word, index) => `/${words.slice(0, index + 1).join('-')}.slice`).join('')
}
