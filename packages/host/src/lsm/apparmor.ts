// AppArmor as the kernel shows it (apparmor(7)), and loading of a profile by its own compiler.
import { existsSync, readFileSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import { CodedError, doing } from '@coracle/base/errors'
import type { Processes } from '../host.ts'

export interface AppArmorOptions {
  /** In front of /sys, for tests. */
  readonly root?: string
  /** apparmor_parser(8); absolute. Default: where distributions have it. */
  readonly parser?: string
}

export interface AppArmor {
  /** Names of the profiles that are loaded now. Throws `failed_precondition` when the kernel's list cannot be read. */
  loaded(): ReadonlySet<string>
  /** Loads the profiles of a policy text, replacing those of the same names. Throws `failed_precondition` when there is no compiler. */
  load(policy: string, signal: AbortSignal): Promise<void>
}

const compileMs = 30_000
const parsers = ['/usr/sbin/apparmor_parser', '/sbin/apparmor_parser', '/usr/bin/apparmor_parser']

export const appArmorParser = (): string | undefined => parsers.find((path) => existsSync(path))

/** Undefined where the kernel has none, or it is switched off. */
export function openAppArmor(processes: Pick<Processes, 'run'>, options: AppArmorOptions = {}): AppArmor | undefined {
  const { root = '' } = options
  if (!hasAppArmor(root)) return undefined
  return {
    loaded: () => loadedProfiles(`${root}/sys/kernel/security/apparmor/profiles`),
    load: (policy, signal) => doing('load AppArmor profile', () => load(processes, { ...options, policy, signal })),
  }
}

/** The kernel has AppArmor and it is on. */
export const hasAppArmor = (root = ''): boolean =>
  unlessErrno(
    ['ENOENT', 'EACCES'],
    () => readFileSync(`${root}/sys/module/apparmor/parameters/enabled`, 'latin1').startsWith('Y'),
    false,
  )

// A name may have blanks; the mode in brackets is the last word.
function loadedProfiles(path: string): ReadonlySet<string> {
  const text = unlessErrno(['ENOENT', 'EACCES'], () => readFileSync(path, 'utf8'), undefined)
  if (text === undefined)
    throw new CodedError('failed_precondition', `${path} cannot be read: mount securityfs at /sys/kernel/security`)
  return new Set(text.split('\n').flatMap((line) => /^(.+) \([a-z]+\)$/.exec(line)?.[1] ?? []))
}

async function load(
  processes: Pick<Processes, 'run'>,
  { policy, signal, parser = appArmorParser() }: AppArmorOptions & { policy: string; signal: AbortSignal },
): Promise<void> {
  if (parser === undefined)
    throw new CodedError('failed_precondition', 'apparmor_parser is not installed: apt-get install apparmor')
  // From stdin, past the cache: the text is ours, the kernel's features are those of now.
  const argv = [parser, '--replace', '--skip-cache'] as const
  const { exitCode, stderr } = await processes.run({ argv, stdin: policy, timeoutMs: compileMs, signal })
  if (exitCode === 0) return
  const words = stderr.toString().trim().split('\n').at(-1) ?? ''
  throw new CodedError('failed_precondition', `${parser} ended with exit code ${exitCode}: ${words.slice(0, 300)}`)
}
