// Named places where a test may kill, delay or fail the process. Empty, and so free, in production.
import { delay } from './signals.ts'

export type FailpointAction =
  | { readonly kind: 'kill' }
  | { readonly kind: 'throw' }
  | { readonly kind: 'delay'; readonly ms: number }

const armed = new Map<string, FailpointAction>()

/** Arms failpoints from `name=kill,name=throw,name=delay:500`. Throws on anything else. Each acts once. */
export function armFailpoints(spec: string): void {
  for (const item of spec.split(',').filter((text) => text !== '')) {
    const match = /^([a-z][a-z0-9.-]*)=(?:(kill|throw)|delay:(\d{1,6}))$/.exec(item)
    if (match === null) throw new Error(`failpoint "${item}" must be NAME=kill, NAME=throw or NAME=delay:MS`)
    const [, name = '', kind, ms] = match
    armed.set(name, ms === undefined ? { kind: kind === 'kill' ? 'kill' : 'throw' } : { kind: 'delay', ms: Number(ms) })
  }
}

/** Acts if `name` is armed: ends the process with SIGKILL, throws, or waits. */
export async function failpoint(name: string): Promise<void> {
  if (armed.size === 0) return
  const action = armed.get(name)
  if (action === undefined) return
  armed.delete(name)
  if (action.kind === 'kill') process.kill(process.pid, 'SIGKILL')
  if (action.kind === 'throw') throw new Error(`failpoint ${name}`)
  if (action.kind === 'delay') await delay(action.ms)
}
