// What ImageFsInfo tells: layers by what was written when they were unpacked, writable layers by a count now and then.

import { statSync } from 'node:fs'
import { monotonicMs } from '@coracle/base/clock'
import { delay } from '@coracle/base/signals'
import { SingleFlight } from '@coracle/base/single-flight'
import type { Paths } from '@coracle/host'
import type { FileSystems, StoreUsage } from './images.ts'
import type { Store } from './store/store.ts'

export function fileSystemsOf({ layout: { layers, containers } }: Pick<Store, 'layout'>): FileSystems {
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

interface CountOptions {
  /** Ends a count that is under way. */
  readonly closing: AbortSignal
  readonly freshMs?: number
  /** How long a question waits for a new count where there is an older one to tell. */
  readonly patienceMs?: number
}

/**
 * Counts the containers' directory at most once a minute. Whoever asks may leave: the count goes on, for the next one. A disk on which
 * it takes long, or never ends, has the last one told.
 */
export function createContainerUsage(
  store: Pick<Store, 'layout'>,
  paths: Pick<Paths, 'diskUsage'>,
  { closing, freshMs = 60_000, patienceMs = 1000 }: CountOptions,
): (signal: AbortSignal) => Promise<StoreUsage> {
  const flights = new SingleFlight<StoreUsage>('disk usage')
  let last: { readonly at: number; readonly usage: StoreUsage } | undefined
  const count = async (): Promise<StoreUsage> => {
    const { usedBytes, inodes } = await paths.diskUsage(store.layout.containers, closing)
    const usage = { mountpoint: fileSystemsOf(store).containers, usedBytes, inodesUsed: inodes }
    last = { at: monotonicMs(), usage }
    return usage
  }
  const counting = (signal: AbortSignal) => flights.join('containers', signal, count, 'continue')
  return async (signal) => {
    if (last === undefined) return counting(signal)
    const { at, usage } = last
    if (monotonicMs() - at < freshMs) return usage
    const newer = flights.resultOf('containers') ?? counting(closing)
    const older = delay(patienceMs, signal).then(() => usage)
    older.catch(() => {})
    return Promise.race([newer.catch(() => usage), older])
  }
}
