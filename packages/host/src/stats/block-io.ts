// Bytes and operations by block device (Documentation/admin-guide/cgroup-v1/blkio-controller.rst, cgroup-v2.rst).
import type { Hierarchy } from '../cgroup/layout.ts'
import type { DeviceIo } from './door.ts'
import { readSmall } from './read-small.ts'

type Counters = { readBytes: number; writeBytes: number; reads: number; writes: number }

export function readDevices({ version }: Hierarchy, directory: string): readonly DeviceIo[] {
  const found = version === 1 ? legacyIo(directory) : unifiedIo(readSmall(`${directory}/io.stat`) ?? '')
  return [...found].map(([number, counters]) => {
    const [major = 0, minor = 0] = number.split(':').map(Number)
    return { device: deviceName(number), major, minor, ...counters }
  })
}

function legacyIo(directory: string): ReadonlyMap<string, Counters> {
  const found = new Map<string, Counters>()
  const collect = (file: string, reads: 'readBytes' | 'reads', writes: 'writeBytes' | 'writes') => {
    // Lines of `8:0 Read 4096`, then a sum of all.
    for (const line of (readSmall(`${directory}/blkio.throttle.${file}_recursive`) ?? '').split('\n')) {
      const [number = '', operation, value] = line.split(' ')
      if (operation !== 'Read' && operation !== 'Write') continue
      counters(found, number)[operation === 'Read' ? reads : writes] = Number(value) || 0
    }
  }
  collect('io_service_bytes', 'readBytes', 'writeBytes')
  collect('io_serviced', 'reads', 'writes')
  return found
}

/** Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`. */
function unifiedIo(text: string): ReadonlyMap<string, Counters> {
  const found = new Map<string, Counters>()
  for (const line of text.split('\n')) {
    const [number = '', ...pairs] = line.split(' ')
    if (!number.includes(':')) continue
    const values = new Map(
      pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), Number(pair.slice(pair.indexOf('=') + 1)) || 0]),
    )
    Object.assign(counters(found, number), {
      readBytes: values.get('rbytes') ?? 0,
      writeBytes: values.get('wbytes') ?? 0,
      reads: values.get('rios') ?? 0,
      writes: values.get('wios') ?? 0,
    })
  }
  return found
}

function counters(found: Map<string, Counters>, number: string): Counters {
  let entry = found.get(number)
  if (entry === undefined) {
    entry = { readBytes: 0, writeBytes: 0, reads: 0, writes: 0 }
    found.set(number, entry)
  }
  return entry
}

const names = new Map<string, string>()

/** `/dev/NAME` of a block device, by sysfs; empty when there is none. */
export function deviceName(number: string): string {
  let name = names.get(number)
  if (name === undefined) {
    const match = /^DEVNAME=(.+)$/m.exec(readSmall(`/sys/dev/block/${number}/uevent`) ?? '')
    name = match === null ? '' : `/dev/${match[1]}`
    names.set(number, name)
  }
  return name
}
