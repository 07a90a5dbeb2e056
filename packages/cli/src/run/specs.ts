// The small languages of `coracle run`: volumes, ports, variables, users.
import { resolve } from 'node:path'
import { Protocol } from '@coracle/cri-api'
import { UsageError } from '../usage-error.ts'

export type VolumeSpec = { readonly hostPath: string; readonly containerPath: string; readonly readonly: boolean }
export type PortSpec = {
  readonly hostIp: string
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: Protocol
}
export type UserSpec = { readonly uid?: bigint; readonly username?: string; readonly gid?: bigint }

/** `HOST:CONTAINER[:ro|rw]`; a host path may be relative to the working directory when it starts with a dot. */
export function parseVolume(text: string): VolumeSpec {
  const [host = '', containerPath = '', mode = 'rw', ...rest] = text.split(':')
  if (rest.length > 0 || !containerPath.startsWith('/') || (mode !== 'ro' && mode !== 'rw'))
    throw new UsageError(`volume "${text}"; expected HOST:CONTAINER or HOST:CONTAINER:ro with an absolute CONTAINER path`)
  if (!host.startsWith('/') && !host.startsWith('.'))
    throw new UsageError(
      `volume "${text}"; its host part must be a path (there are no named volumes), such as ./${host || 'data'}`,
    )
  return { hostPath: resolve(host), containerPath, readonly: mode === 'ro' }
}

const PROTOCOLS: Record<string, Protocol> = { tcp: Protocol.TCP, udp: Protocol.UDP, sctp: Protocol.SCTP }

/** `[IP:]HOSTPORT:PORT[/tcp|udp|sctp]`; an IPv6 address in brackets. */
export function parsePort(text: string): PortSpec {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+):)?(\d+):(\d+)(?:\/(\w+))?$/.exec(text)
  const protocol = PROTOCOLS[match?.[4]?.toLowerCase() ?? 'tcp']
  const [hostPort, containerPort] = [Number(match?.[2]), Number(match?.[3])]
  if (!match || protocol === undefined || !isPort(hostPort) || !isPort(containerPort))
    throw new UsageError(`port "${text}"; expected HOSTPORT:PORT, such as 8080:80, 127.0.0.1:8080:80 or 5353:53/udp`)
  return { hostIp: (match[1] ?? '').replace(/[[\]]/g, ''), hostPort, containerPort, protocol }
}

const isPort = (port: number): boolean => port >= 1 && port <= 65_535

/** `KEY=VALUE`, or `KEY` for the value it has here; a KEY unset here is left out. */
export function parseVariable(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): { key: string; value: string } | undefined {
  const equals = text.indexOf('=')
  if (equals === 0 || text === '') throw new UsageError(`variable "${text}"; expected KEY=VALUE or KEY`)
  if (equals > 0) return { key: text.slice(0, equals), value: text.slice(equals + 1) }
  const value = environment[text]
  return value === undefined ? undefined : { key: text, value }
}

/** `UID[:GID]` or `NAME`. The CRI knows no group beside a user name, and no group by name. */
export function parseUser(text: string): UserSpec {
  const [user = '', group, ...rest] = text.split(':')
  if (user === '' || rest.length > 0) throw new UsageError(`user "${text}"; expected UID, UID:GID or NAME`)
  if (group !== undefined && (!/^\d+$/.test(group) || !/^\d+$/.test(user)))
    throw new UsageError(`user "${text}"; with a group both must be numbers: UID:GID`)
  const gid = group === undefined ? {} : { gid: BigInt(group) }
  return /^\d+$/.test(user) ? { uid: BigInt(user), ...gid } : { username: user }
}
