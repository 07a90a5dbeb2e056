// /proc/PID/status, limits, uid_map and the like, parsed (proc(5)).
import { capabilityNames, maskOf } from '../features.ts'
import type { CapabilitySets, FourIds, IdRange, ProcessIsolation, Rlimit } from './door.ts'

type FromStatus = Pick<ProcessIsolation, 'uids' | 'gids' | 'groups' | 'capabilities' | 'noNewPrivileges' | 'seccomp'>

export function parseStatus(text: string): FromStatus {
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? ''
  return {
    uids: fourIds(field('Uid')),
    gids: fourIds(field('Gid')),
    groups: numbers(field('Groups')),
    capabilities: capabilitySets(text),
    noNewPrivileges: field('NoNewPrivs') === '1',
    seccomp: { mode: seccompModes[field('Seccomp')] ?? 'unknown', filters: Number(field('Seccomp_filters') || '0') },
  }
}

const seccompModes: Readonly<Record<string, ProcessIsolation['seccomp']['mode']>> = { 0: 'disabled', 1: 'strict', 2: 'filter' }

const numbers = (text: string): readonly number[] => (text === '' ? [] : text.split(/\s+/).map(Number))

function fourIds(text: string): FourIds {
  const [real = -1, effective = -1, saved = -1, fileSystem = -1] = numbers(text)
  return { real, effective, saved, fileSystem }
}

function capabilitySets(status: string): CapabilitySets {
  const set = (name: string) => capabilityNames(maskOf(status, name))
  return {
    effective: set('CapEff'),
    permitted: set('CapPrm'),
    inheritable: set('CapInh'),
    bounding: set('CapBnd'),
    ambient: set('CapAmb'),
  }
}

export const parseIdMap = (text: string): readonly IdRange[] =>
  text
    .split('\n')
    .map((line) => numbers(line.trim()))
    .filter((line) => line.length === 3)
    .map(([inside = 0, outside = 0, count = 0]) => ({ inside, outside, count }))

/** The kernel's words for limits, and getrlimit(2)'s. */
const rlimitNames: Readonly<Record<string, string>> = {
  'Max cpu time': 'RLIMIT_CPU',
  'Max file size': 'RLIMIT_FSIZE',
  'Max data size': 'RLIMIT_DATA',
  'Max stack size': 'RLIMIT_STACK',
  'Max core file size': 'RLIMIT_CORE',
  'Max resident set': 'RLIMIT_RSS',
  'Max processes': 'RLIMIT_NPROC',
  'Max open files': 'RLIMIT_NOFILE',
  'Max locked memory': 'RLIMIT_MEMLOCK',
  'Max address space': 'RLIMIT_AS',
  'Max file locks': 'RLIMIT_LOCKS',
  'Max pending signals': 'RLIMIT_SIGPENDING',
  'Max msgqueue size': 'RLIMIT_MSGQUEUE',
  'Max nice priority': 'RLIMIT_NICE',
  'Max realtime priority': 'RLIMIT_RTPRIO',
  'Max realtime timeout': 'RLIMIT_RTTIME',
}

/** From /proc/PID/limits. Limits that are newer than the table carry the kernel's words. */
export function parseRlimits(text: string): readonly Rlimit[] {
  return text.split('\n').flatMap((line) => {
    const [, words = '', soft = '', hard = ''] = /^(Max [a-z ]*[a-z]) +(unlimited|\d+) +(unlimited|\d+)/.exec(line) ?? []
    return words === '' ? [] : [{ name: rlimitNames[words] ?? words, soft: limit(soft), hard: limit(hard) }]
  })
}

const limit = (word: string): bigint | undefined => (word === 'unlimited' ? undefined : BigInt(word))
