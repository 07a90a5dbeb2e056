// What the tests of user namespaces share.
import { lstatSync } from 'node:fs'
import { NamespaceMode } from '@coracle/cri-api'
import type { ContainerInit, Cri, PodInit } from '../cri/suite.ts'

/** The first id of the host that the pods have. */
export const base = 1_000_000
export const ids = [{ containerId: 0, hostId: base, length: 65536 }]
export const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids }

/** A pod with a user namespace. `options` are namespace options. */
export const mapped = (options: object = {}): PodInit => ({
  linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER, usernsOptions, ...options } } },
})

/** A container for it, with a security context. */
export const inside = (security: object = {}, options: object = {}): ContainerInit => ({
  linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER, usernsOptions, ...options }, ...security } },
})

export async function pidOf(cri: Cri, containerId: string): Promise<number> {
  const { info } = await cri.runtime.containerStatus({ containerId, verbose: true })
  // Ours: what convert/container.ts writes.
  return (JSON.parse(info['info'] ?? '{}') as { pid: number }).pid
}

export const owner = (path: string): [number, number] => [lstatSync(path).uid, lstatSync(path).gid]
