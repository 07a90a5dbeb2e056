import { type ListPullsResponse, ListPullsResponseSchema, Pulls } from '@coracle/cri-api/pulls'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { renderPulls } from '../pull/pulls-table.ts'

export const command = defineCommand({
  name: 'pulls',
  summary: 'Show the pulls under way',
  usage: 'pulls [options]',
  description: "All of them, also kubelet's: layers, bytes, speed, time left, and who waits.",
  options: {
    watch: { kind: 'flag', short: 'w', help: 'go on until interrupted' },
    output: outputOption,
  },
  operands: { min: 0, max: 0 },
  examples: ['coracle pulls', 'coracle pulls --watch', 'coracle pulls -o json'],
  async run(context, options) {
    const pulls = context.imageClient.service(Pulls)
    if (!options.watch) return void (await show(context, await pulls.listPulls({}), options.output))
    const signal = context.interruption()
    let painted = 0
    try {
      for await (const answer of pulls.watchPulls({}, { signal })) {
        if (!context.out.isTerminal || options.output === 'json' || options.output === 'yaml')
          await show(context, answer, options.output)
        else {
          const text = renderPulls(answer.pulls, Date.now())
          context.out.write(`${painted === 0 ? '' : `\u001b[${painted}A\r\u001b[J`}${text}`)
          painted = text.split('\n').length - 1
        }
      }
    } catch (err) {
      if (!signal.aborted) throw err
    }
  },
})

async function show({ out }: Context, answer: ListPullsResponse, output: string | undefined): Promise<void> {
  if (output === 'json' || output === 'yaml')
    return void (await printStructured(out, output, messageToJson(ListPullsResponseSchema, answer)))
  out.write(renderPulls(answer.pulls, Date.now()))
}
