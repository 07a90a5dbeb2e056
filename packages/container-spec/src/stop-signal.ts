// The signal that asks a container to end: CRI's, else the image's, else SIGTERM (signal(7), x86 and arm numbers).

import { invalid } from '@coracle/base/errors'
import type { ContainerConfig } from '@coracle/cri-api'

const SIGRTMIN = 34
const SIGRTMAX = 64
const SIGTERM = 15

/** Numbers by name, `SIG` left out. */
const numbers: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ...{
      ABRT: 6,
      ALRM: 14,
      BUS: 7,
      CHLD: 17,
      CLD: 17,
      CONT: 18,
      FPE: 8,
      HUP: 1,
      ILL: 4,
      INT: 2,
      IO: 29,
      IOT: 6,
      KILL: 9,
      PIPE: 13,
    },
    ...{
      POLL: 29,
      PROF: 27,
      PWR: 30,
      QUIT: 3,
      SEGV: 11,
      STKFLT: 16,
      STOP: 19,
      SYS: 31,
      TERM: SIGTERM,
      TRAP: 5,
      TSTP: 20,
      TTIN: 21,
    },
    ...{ TTOU: 22, URG: 23, USR1: 10, USR2: 12, VTALRM: 26, WINCH: 28, XCPU: 24, XFSZ: 25, RTMIN: SIGRTMIN, RTMAX: SIGRTMAX },
  }),
)

/** CRI's enum Signal in order: index is the enum's value. 1 to 34 by name, then SIGRTMIN+0…15, then SIGRTMAX-14…0. */
const byEnum: readonly (number | undefined)[] = [
  undefined,
  ...(
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG ' +
    'USR1 USR2 VTALRM WINCH XCPU XFSZ'
  )
    .split(' ')
    .map((name) => numbers.get(name)),
  ...Array.from({ length: 16 }, (_, i) => SIGRTMIN + i),
  ...Array.from({ length: 15 }, (_, i) => SIGRTMAX - 14 + i),
]

/** The signal's number. A stop signal of the image that cannot be understood is SIGTERM (see `stopSignalWarning`). Throws `invalid_argument` for an unknown enum value. */
export function resolveStopSignal(config: ContainerConfig, imageStopSignal: string): number {
  if (config.stopSignal === 0) return parseSignal(imageStopSignal) ?? SIGTERM
  const number = byEnum[config.stopSignal]
  if (number === undefined) throw invalid(`config.stop_signal ${String(config.stopSignal)} is unknown`)
  return number
}

/** What is to be logged about an image's stop signal; undefined: nothing. */
export const stopSignalWarning = (imageStopSignal: string): string | undefined =>
  imageStopSignal === '' || parseSignal(imageStopSignal) !== undefined
    ? undefined
    : `stop signal ${JSON.stringify(imageStopSignal.slice(0, 64))} of the image is unknown: SIGTERM is used`

/** The CRI enum value of a signal's number, as ContainerStatus.stop_signal reports it; 0 when CRI has no name for it. */
export const stopSignalEnum = (number: number): number => Math.max(byEnum.indexOf(number), 0)

/** `15`, `TERM`, `SIGTERM`, `SIGRTMIN+3`, `RTMAX-2`, in any case. Undefined when it is none of these. */
export function parseSignal(text: string): number | undefined {
  if (/^[0-9]{1,2}$/.test(text)) {
    const number = Number(text)
    return number >= 1 && number <= SIGRTMAX ? number : undefined
  }
  const [, name = '', sign, offset = '0'] = /^(?:SIG)?([A-Z][A-Z0-9]*)(?:([+-])([0-9]{1,2}))?$/.exec(text.toUpperCase()) ?? []
  const base = numbers.get(name)
  if (base === undefined || sign === undefined) return base
  if ((sign === '+' && name !== 'RTMIN') || (sign === '-' && name !== 'RTMAX')) return undefined
  const number = sign === '+' ? base + Number(offset) : base - Number(offset)
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined
}
