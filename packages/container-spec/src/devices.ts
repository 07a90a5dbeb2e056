// Device nodes and the device cgroup: all denied, then what is asked for. The runtimes add null, zero and their like themselves.

import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Device } from '@coracle/cri-api'
import type { DeviceRule, LinuxDevice } from '@coracle/oci-spec/runtime-spec'
import { isWithin, parseAbsolute } from './paths.ts'
import type { SpecInput } from './spec-input.ts'

export interface PlannedDevices {
  readonly devices: readonly LinuxDevice[]
  readonly rules: readonly DeviceRule[]
}

// Made by the runtime on its own tmpfs, or file systems of their own.
const runtimeNodes = new Set(
  ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'console', 'ptmx'].map((name) => `/dev/${name}`),
)
const otherMounts = ['/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/fd']

/** Throws `invalid_argument` for a bad path or permission, `failed_precondition` when the device does not exist. */
export function planDevices(input: SpecInput): PlannedDevices {
  if (input.config.linux?.securityContext?.privileged === true && input.withoutHostDevices !== true) {
    const devices = [...input.devices.values()].filter(
      (device) => !runtimeNodes.has(device.path) && !otherMounts.some((directory) => isWithin(device.path, directory)),
    )
    return { devices: withRequested(devices, input), rules: [{ allow: true, access: 'rwm' }] }
  }
  const requested = input.config.devices.flatMap((device, i) => requestedDevices(`config.devices[${i}]`, device, input))
  return {
    devices: requested.map((entry) => entry.device),
    rules: [{ allow: false, access: 'rwm' }, ...requested.map((entry) => entry.rule)],
  }
}

function withRequested(devices: readonly LinuxDevice[], input: SpecInput): readonly LinuxDevice[] {
  const byPath = new Map(devices.map((device) => [device.path, device]))
  input.config.devices.forEach((device, i) => {
    for (const entry of requestedDevices(`config.devices[${i}]`, device, input)) byPath.set(entry.device.path, entry.device)
  })
  return [...byPath.values()]
}

interface Requested {
  readonly device: LinuxDevice
  readonly rule: DeviceRule
}

/** A directory stands for every device below it. */
function requestedDevices(field: string, request: Device, input: SpecInput): readonly Requested[] {
  const { hostPath, containerPath, access } = parseDevice(field, request)
  const found = [...input.devices.values()].filter((device) => isWithin(device.path, hostPath))
  if (found.length === 0)
    throw new CodedError('failed_precondition', `${field}.host_path ${quote(hostPath)} is no device of this node`)
  const owner = input.ownDevices === true ? askedOwner(input) : {}
  return found.map((device) => ({
    device: { ...device, ...owner, path: containerPath + device.path.slice(hostPath.length) },
    rule: deviceRule(device, access),
  }))
}

// kubelet's words, not the image's: a user by name may be anyone there.
function askedOwner(input: SpecInput): { readonly uid?: number; readonly gid?: number } {
  const security = input.config.linux?.securityContext
  return {
    ...(security?.runAsUser === undefined ? {} : { uid: Number(security.runAsUser.value) }),
    ...(security?.runAsGroup === undefined ? {} : { gid: Number(security.runAsGroup.value) }),
  }
}

/** The cgroup rule that lets a container use `device`. */
export const deviceRule = (device: LinuxDevice, access: string): DeviceRule => ({
  allow: true,
  type: device.type === 'b' ? 'b' : 'c',
  major: device.major,
  minor: device.minor,
  access,
})

/** Checks the text of a device request. Throws `invalid_argument`. */
export function parseDevice(field: string, request: Device): { hostPath: string; containerPath: string; access: string } {
  const hostPath = parseAbsolute(`${field}.host_path`, request.hostPath)
  const containerPath = request.containerPath === '' ? hostPath : parseAbsolute(`${field}.container_path`, request.containerPath)
  for (const [name, path] of [
    ['host_path', hostPath],
    ['container_path', containerPath],
  ] as const)
    if (path === '/dev' || !isWithin(path, '/dev')) throw invalid(`${field}.${name} ${quote(path)} must lie below /dev`)
  const access = request.permissions === '' ? 'rwm' : request.permissions
  if (!/^[rwm]{1,3}$/.test(access) || new Set(access).size !== access.length)
    throw invalid(`${field}.permissions ${quote(access)} must be letters of "rwm", each once`)
  return { hostPath, containerPath, access }
}
