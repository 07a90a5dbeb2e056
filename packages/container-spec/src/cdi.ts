// The edits that CDI devices ask for, applied to a spec.
import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Mount } from '@coracle/oci-spec/mount'
import type { DeviceRule, Hook, LinuxDevice, RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import type { CdiDeviceNode, CdiEdits, CdiHook } from './cdi-parse.ts'
import { deviceRule } from './devices.ts'
import { parseTarget } from './mounts.ts'
import { cleanPath, depthOf } from './paths.ts'

/** Host paths of device nodes whose numbers the file leaves to be looked up (`SpecInput.devices`); with `all` those of the others, too. */
export const cdiDevicePaths = (edits: CdiEdits, all = false): readonly string[] => [
  ...new Set(edits.deviceNodes.filter((node) => all || !isComplete(node)).map((node) => node.hostPath)),
]

const isComplete = (node: CdiDeviceNode): boolean =>
  node.type === 'p' || (node.type !== undefined && node.major !== undefined && node.minor !== undefined)

/** `spec` with `edits` on top. Throws `failed_precondition` when a device node is not on this host. */
export function applyCdi(spec: RuntimeSpec, edits: CdiEdits, devices: ReadonlyMap<string, LinuxDevice>): RuntimeSpec {
  const nodes = edits.deviceNodes.map((node) => resolveNode(node, devices))
  return {
    ...spec,
    process: {
      ...spec.process,
      env: withEnvironment(spec.process.env, edits.env),
      user: {
        ...spec.process.user,
        additionalGids: [...new Set([...spec.process.user.additionalGids, ...edits.additionalGids.filter((gid) => gid !== 0)])],
      },
    },
    mounts: withMounts(spec.mounts, edits),
    ...(edits.hooks.length === 0 ? {} : { hooks: withHooks(spec.hooks ?? {}, edits.hooks) }),
    linux: {
      ...spec.linux,
      devices: [
        ...new Map([...(spec.linux.devices ?? []), ...nodes.map(({ device }) => device)].map((d) => [d.path, d])).values(),
      ],
      resources: {
        ...spec.linux.resources,
        devices: [...(spec.linux.resources.devices ?? []), ...nodes.map(({ rule }) => rule)],
      },
    },
  }
}

function resolveNode(node: CdiDeviceNode, devices: ReadonlyMap<string, LinuxDevice>): { device: LinuxDevice; rule: DeviceRule } {
  const found = devices.get(node.hostPath)
  const type = node.type ?? found?.type
  const major = node.major ?? found?.major
  const minor = node.minor ?? found?.minor
  if (type === undefined || (type !== 'p' && (major === undefined || minor === undefined)))
    throw new CodedError('failed_precondition', `CDI device node ${quote(node.hostPath)} is no device of this node`)
  const mode = node.fileMode ?? found?.fileMode
  const uid = node.uid ?? found?.uid
  const gid = node.gid ?? found?.gid
  const device: LinuxDevice = {
    path: cleanPath(node.path),
    type,
    major: major ?? 0,
    minor: minor ?? 0,
    ...(mode === undefined ? {} : { fileMode: mode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  }
  return { device, rule: deviceRule(device, node.permissions) }
}

function withEnvironment(env: readonly string[], added: readonly string[]): readonly string[] {
  const values = new Map(env.map((entry) => split(entry)))
  for (const entry of added) values.set(...split(entry))
  return [...values].map(([name, value]) => `${name}=${value}`)
}

const split = (entry: string): [string, string] => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]

// The operator's files may name any option that a runtime knows, but no target that CRI itself may not.
function withMounts(mounts: readonly Mount[], edits: CdiEdits): readonly Mount[] {
  const byPath = new Map(mounts.map((mount) => [mount.destination, mount]))
  for (const { hostPath, containerPath, type, options } of edits.mounts) {
    const destination = parseTarget('CDI mount containerPath', containerPath)
    byPath.set(destination, {
      type,
      source: hostPath,
      destination,
      options: options.length === 0 ? ['rbind', 'rprivate', 'ro'] : options,
    })
  }
  return [...byPath.values()].sort((a, b) => depthOf(a.destination) - depthOf(b.destination))
}

// The environment is the file's, or a fixed one: never the container's, whose author would then choose for a process of the host.
function withHooks(
  hooks: Readonly<Record<string, readonly Hook[]>>,
  added: readonly CdiHook[],
): Readonly<Record<string, readonly Hook[]>> {
  const all: Record<string, readonly Hook[]> = { ...hooks }
  for (const { hookName, path, args, env, timeout } of added) {
    const hook = {
      path,
      args: args.length === 0 ? [path] : args,
      env: env.length === 0 ? ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'] : env,
      ...(timeout === undefined ? {} : { timeout }),
    }
    all[hookName] = [...(all[hookName] ?? []), hook]
  }
  return all
}
