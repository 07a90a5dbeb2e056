// SELinux as the daemon uses it: policy and labels of the node, volumes relabelled by a program of their own.
import { join } from 'node:path'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import {
  type Finding,
  type Host,
  hasSelinux,
  readSelinuxPolicy,
  runRelabel,
  selinuxAttribute,
  setSelinuxLabel,
} from '@coracle/host'
import { createRelabeler, type RunRelabel, type Selinux } from '@coracle/lifecycle'
import type { Config } from '../config/config.ts'

const log = logger('selinux')

/** A volume that does nothing for so long is taken for dead. */
const stallMs = 120_000

export interface SelinuxOptions {
  /** In front of /sys and /etc, for tests. */
  readonly root?: string
}

/** Undefined where the kernel has no SELinux or it is not to be used. */
export function openSelinux(
  config: Pick<Config, 'root' | 'selinux'>,
  { processes }: Pick<Host, 'processes'>,
  { root = '' }: SelinuxOptions = {},
): Selinux | undefined {
  if (!config.selinux.enabled || !hasSelinux(root)) return undefined
  return {
    ...createRelabeler(join(config.root, 'relabel'), relabelRunner(processes, selinuxAttribute)),
    policy: () => readSelinuxPolicy(root),
    setLabel: setSelinuxLabel,
  }
}

/** Runs the program, and says what it did. */
export function relabelRunner(processes: Host['processes'], attribute: string): RunRelabel {
  return async ({ state, onPosition }, signal) => {
    const started = performance.now()
    const { identity, counts } = await runRelabel(processes, { task: { ...state, attribute }, stallMs, onPosition }, signal)
    log.info('volume relabelled', { path: state.path, ms: Math.round(performance.now() - started), ...counts })
    return identity
  }
}

export function selinuxFinding({ selinux }: Pick<Config, 'selinux'>, root = ''): Finding {
  const check = 'SELinux'
  if (!hasSelinux(root)) return { check, state: 'ok', detail: 'not in this kernel, or off: containers have no labels' }
  if (!selinux.enabled) return { check, state: 'ok', detail: 'not used, by configuration: containers have no labels' }
  try {
    const { process, file } = readSelinuxPolicy(root)
    return { check, state: 'ok', detail: `${process.type}, files ${file.type}` }
  } catch (err) {
    return {
      check,
      state: 'missing',
      detail: `${explain(err)}; containers are refused`,
      remedy: 'install container-selinux, or set selinux.enabled = false',
    }
  }
}
