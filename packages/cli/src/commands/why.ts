import { notFound } from '@coracle/base/errors'
import { type ExplainResponse, ExplainResponseSchema, type Part, type Thing, Why, type Work } from '@coracle/cri-api/why'
import { defineCommand } from '../command.ts'
import type { Screen } from '../print/screen.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { shortId } from '../print/table.ts'

export const command = defineCommand({
  name: 'why',
  summary: 'Say where a pod, container or pull hangs',
  usage: 'why [options] [POD|CONTAINER|IMAGE]',
  description:
    'Tells what is under way for a thing: where it hangs, since when, on what (plugin, mount, registry, lock, OCI runtime) and what was\n' +
    'tried; then what was slow or failed lately. A pod that is only being made goes by NAMESPACE/NAME or name. Without an argument:\n' +
    'everything that is under way.',
  options: {
    output: { kind: 'string', short: 'o', value: 'FORMAT', choices: ['json', 'yaml', 'text'], help: 'json, yaml or text' },
  },
  operands: { min: 0, max: 1 },
  examples: ['coracle why default/web', 'coracle why 3f2a91', 'coracle why docker.io/library/busybox', 'coracle why'],
  async run({ client, out }, options, [name = '']) {
    const answer = await client.service(Why).explain({ name })
    if (options.output === 'json' || options.output === 'yaml') {
      return void (await printStructured(out, options.output, messageToJson(ExplainResponseSchema, answer)))
    }
    if (name !== '' && answer.things.length + answer.underWay.length + answer.lately.length === 0) {
      throw notFound(`no pod, container or image goes by ${JSON.stringify(name)}, and nothing is under way for one`)
    }
    printText(out, answer)
  },
})

function printText(out: Screen, { things, underWay, lately }: ExplainResponse): void {
  for (const thing of things) out.line(describeThing(thing))
  if (underWay.length === 0) out.line('nothing is under way')
  for (const work of underWay) {
    out.line(
      `${out.paint('yellow', 'under way')}: ${work.owner || work.what}, for ${time(work.elapsedMs)} since ${clock(work.startedAt)}`,
    )
    out.line(work.where === '' ? '  it waits for nothing that is known' : `  it is in ${out.paint('bold', work.where)}`)
    for (const part of work.parts) out.line(describePart(part))
  }
  for (const work of lately) {
    const outcome = work.error === '' ? `took ${time(work.elapsedMs)}` : `failed after ${time(work.elapsedMs)}: ${work.error}`
    out.line(`${out.paint('dim', clock(work.startedAt))} ${title(work)} ${outcome}`)
    for (const part of work.parts) out.line(describePart(part))
  }
}

const title = ({ owner, what }: Work): string => (owner === '' || owner.startsWith(what) ? owner || what : `${what} of ${owner}`)

function describeThing({ kind, id, name, state, words }: Thing): string {
  return `${kind} ${name} ${shortId(id)}: ${state}${words === '' ? '' : `, ${words}`}`
}

function describePart({ depth, kind, on, elapsedMs, underWay, words }: Part): string {
  const state = underWay ? `under way for ${time(elapsedMs)}` : time(elapsedMs)
  return `${'  '.repeat(depth + 1)}${on === '' ? kind : `${kind} ${on}`}: ${state}${words === '' ? '' : ` (${words})`}`
}

const time = (ms: bigint): string => (ms < 1000n ? `${ms} ms` : `${(Number(ms) / 1000).toFixed(1)} s`)
const clock = (startedAt: bigint): string => new Date(Number(startedAt / 1_000_000n)).toISOString().slice(11, 19)
