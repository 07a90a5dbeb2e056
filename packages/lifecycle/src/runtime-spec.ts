// What the OCI runtime was told, for people and scripts that look into containers and pods from outside.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unlessErrno } from '@coracle/base/errno'
import { containerPaths, podLayout } from './layout.ts'
import type { Container } from './model/container.ts'
import { isHostIpc, isHostNetwork, type Pod } from './model/pod.ts'
import type { Settings } from './services.ts'

type Places = Pick<Settings, 'stateDirectory'>

/** config.json of the container's bundle (runtime-spec bundle.md). Undefined when there is none, as after a reboot. */
export function containerSpec(settings: Places, { id }: Pick<Container, 'id'>): unknown {
  const file = join(containerPaths(settings, id).bundle, 'config.json')
  const text = unlessErrno(['ENOENT', 'ENOTDIR'], () => readFileSync(file, 'utf8'), undefined)
  return text === undefined ? undefined : JSON.parse(text)
}

/** The namespaces that a pod holds for its containers, as in `linux.namespaces` of runtime-spec. */
export function podNamespaces(settings: Places, { id, config, held }: Pick<Pod, 'id' | 'config' | 'held'>): readonly object[] {
  if (!held.namespaces) return []
  const { namespaces } = podLayout(settings, id)
  const own = [...(isHostNetwork(config) ? [] : ['network', 'uts']), ...(isHostIpc(config) ? [] : ['ipc'])]
  return own.map((type) => ({ type, path: join(namespaces, type === 'network' ? 'net' : type) }))
}
