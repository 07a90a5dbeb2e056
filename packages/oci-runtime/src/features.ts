// What a runtime can do: by its own `features` command (runtime-spec features.md), else by kind, version and kernel.
import { release } from 'node:os'
import { isObject } from '@coracle/base/parse-json'
import { command, tryCommand } from './command.ts'
import type { RuntimeContext, RuntimeKind } from './context.ts'
import type { RuntimeFeatures } from './oci-runtime.ts'

export async function version(ctx: RuntimeContext, signal: AbortSignal): Promise<string> {
  const request = { action: `ask ${ctx.program} for its version`, args: ['--version'], timeoutMs: ctx.timeouts.stateMs, signal }
  const { stdout } = await command(ctx, request)
  return parseVersion(stdout.toString('utf8'))
}

/** `1.1.5+ds1` of `runc version 1.1.5+ds1`; the whole first line of what looks otherwise. */
export function parseVersion(text: string): string {
  const [first = ''] = text.split('\n')
  return /\bversion[: ]+(?:release-)?v?(\S+)/i.exec(first)?.[1] ?? first.trim()
}

export async function features(ctx: RuntimeContext, signal: AbortSignal): Promise<RuntimeFeatures> {
  const request = { action: 'ask for features', args: ['features'], timeoutMs: ctx.timeouts.stateMs, signal }
  const { exitCode, stdout } = await tryCommand(ctx, request)
  const told = exitCode === 0 ? parseFeatures(stdout.toString('utf8'), release()) : undefined
  return told ?? probedFeatures(ctx.kind, await version(ctx, signal), release())
}

/** Undefined when `text` is no such document. */
export function parseFeatures(text: string, kernel: string): RuntimeFeatures | undefined {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(document) || !Array.isArray(document['mountOptions'])) return undefined
  const mountOptions = document['mountOptions'].filter((option): option is string => typeof option === 'string')
  return {
    recursiveReadOnlyMounts: mountOptions.includes('rro') && atLeast(kernel, '5.12'),
    mountOptions,
  }
}

/**
 * crun knows `rro` since 1.4 but tells so only since 1.8.6. mount_setattr(2) is in Linux since 5.12. gVisor has it not.
 */
export function probedFeatures(kind: RuntimeKind, programVersion: string, kernel: string): RuntimeFeatures {
  const recursiveReadOnlyMounts = kind === 'crun' && atLeast(programVersion, '1.4') && atLeast(kernel, '5.12')
  return {
    recursiveReadOnlyMounts,
    mountOptions: [...plainOptions, ...(kind === 'crun' ? timeOptions : []), ...(recursiveReadOnlyMounts ? ['rro'] : [])],
  }
}

// What is not listed here a program may well accept and then ignore.
const timeOptions: readonly string[] = 'noatime atime nodiratime diratime relatime norelatime strictatime'.split(' ')

const plainOptions: readonly string[] = [
  ...['ro', 'rw', 'bind', 'rbind', 'nosuid', 'suid', 'nodev', 'dev', 'noexec', 'exec'],
  ...['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared', 'unbindable', 'runbindable'],
]

/** Compares leading dotted numbers. */
export function atLeast(actual: string, wanted: string): boolean {
  const numbers = (text: string) => (/^\d+(?:\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number)
  const [a, b] = [numbers(actual), numbers(wanted)]
  for (let i = 0; i < b.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}
