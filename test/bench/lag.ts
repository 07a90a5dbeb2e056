// The lag of the server's event loop, from its metrics.
import { parseExposition } from '@coracle/testkit/exposition'
import type { Target } from './target.ts'

/** Its 99th percentile since the last question, in ms. Undefined for a server that does not tell. */
export async function readLag(target: Target): Promise<number | undefined> {
  if (target.metricsPort === undefined) return undefined
  const reply = await fetch(`http://127.0.0.1:${target.metricsPort}/metrics`)
  const samples = parseExposition(await reply.text()).get('coracle_event_loop_lag_seconds')?.samples ?? []
  const seconds = samples.find(({ labels }) => labels['quantile'] === '0.99')?.value
  return seconds === undefined ? undefined : seconds * 1000
}
