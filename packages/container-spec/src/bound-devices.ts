// Devices in user namespaces. Nobody may make nodes there, so runc binds the node's own, and it takes the path inside for the one of the node
// (tried with 1.1: another device than the one asked for, or none). Those that are called otherwise inside are bound by us.
import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { LinuxDevice, RuntimeSpec, SpecMount } from '@coracle/oci-spec/runtime-spec'
import { depthOf } from './paths.ts'

/** `hostDevices` by path. Throws `failed_precondition` for a device of which the node has no device file. */
export function bindRenamedDevices(spec: RuntimeSpec, hostDevices: ReadonlyMap<string, LinuxDevice>): RuntimeSpec {
  const devices = spec.linux.devices ?? []
  const mounts = devices.flatMap((device) => bindOf(device, hostDevices))
  if (mounts.length === 0) return spec
  const bound = new Set(mounts.map(({ destination }) => destination))
  return {
    ...spec,
    mounts: [...spec.mounts, ...mounts].toSorted((a, b) => depthOf(a.destination) - depthOf(b.destination)),
    linux: { ...spec.linux, devices: devices.filter(({ path }) => !bound.has(path)) },
  }
}

function bindOf(device: LinuxDevice, hostDevices: ReadonlyMap<string, LinuxDevice>): readonly SpecMount[] {
  const same = (other: LinuxDevice | undefined): other is LinuxDevice =>
    other !== undefined && other.type === device.type && other.major === device.major && other.minor === device.minor
  if (same(hostDevices.get(device.path))) return []
  const source = [...hostDevices.values()].find(same)
  if (source === undefined)
    throw new CodedError(
      'failed_precondition',
      `device ${quote(device.path)} cannot be made in a user namespace by this handler: the node has no such device file to bind`,
    )
  const options = ['bind', 'rprivate', 'nosuid', 'noexec', 'rw']
  return [{ type: 'bind', source: source.path, destination: device.path, options }]
}
