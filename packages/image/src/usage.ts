// What ImageFsInfo tells: layers by what was written when they were unpacked, writable layers by a count now and then.

import { statSync } from 'node:fs'
import { monotonicMs } from '@coracle/base/clock'
import { SingleFlight } from '@coracle/base/single-flight'
import type { Paths } from '@coracle/host'
import type { FileSystems, StoreUsage } from './images.ts'
import type { Store } from './store/store.ts'

const freshMs = 60_000

export function fileSystemsOf({ layout: { layers, containers } }: Store): FileSystems {
  return { images: layers, containers: statSync(layers).dev === statSync(containers).dev ? layers : containers }
}

export function imageUsage({ layout, index }: Store): StoreUsage {
  let usedBytes = 0n
  let inodesUsed = 0n
  for (const layer of index.layers()) {
    if (layer.origin !== undefined) continue
    usedBytes += BigInt(layer.usedBytes)
    inodesUsed += BigInt(layer.inodes)
  }
  return { mountpoint: layout.layers, usedBytes, inodesUsed }
}

/** Counts the containers' directory at most once a minute. */
export function createContainerUsage(
  store: Store,
  paths: Pick<Paths, 'diskUsage'>,
): (signal: AbortSignal) => Promise<StoreUsage> {
  const flights = new SingleFlight<StoreUsage>()
  let last: { readonly at: number; readonly usage: StoreUsage } | undefined
  return async (signal) => {
    if (last !== undefined && monotonicMs() - last.at < freshMs) return last.usage
    return flights.join('containers', signal, async (flightSignal) => {
      const { usedBytes, inodes } = await paths.diskUsage(store.layout.containers, flightSignal)
      const usage = { mountpoint: fileSystemsOf(store).containers, usedBytes, inodesUsed: inodes }
      last = { at: monotonicMs(), usage }
      return usage
    })
  }
}
