import { type CheckStoreResponse, CheckStoreResponseSchema, Store, type StoreFinding, StoreRepair } from '@coracle/cri-api/store'
import { defineCommand } from '../command.ts'
import { outputOption } from '../print/output-options.ts'
import type { Screen } from '../print/screen.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { formatBytes } from '../quantities.ts'
import { UsageError } from '../usage-error.ts'

const words: Readonly<Record<StoreRepair, string>> = {
  [StoreRepair.NOT_TRIED]: '',
  [StoreRepair.DONE]: 'mended',
  [StoreRepair.FAILED]: 'not mended',
}

export const command = defineCommand({
  name: 'store',
  summary: 'Check the image store, and mend it',
  usage: 'store check [options]',
  description:
    'Holds every layer against the record that was made when it was unpacked, and looks for what is missing or belongs to nothing. ' +
    'A damaged image is not used until it is mended: by --repair, which pulls only the damaged layers again, or by its next pull. ' +
    'Containers that run go on. Exit code 0: nothing is wrong (any more), 1: damage is left.',
  options: {
    deep: { kind: 'flag', help: 'read all content too, not only names, types, owners, modes, sizes and times' },
    repair: { kind: 'flag', help: 'pull damaged layers again, remove what belongs to nothing' },
    output: outputOption,
  },
  operands: { min: 1, max: 1 },
  examples: ['coracle store check', 'coracle store check --deep --repair'],
  async run(context, options, [verb]) {
    if (verb !== 'check') throw new UsageError(`store ${verb}: expected store check`)
    const { deep, repair } = options
    const call = { timeoutMs: 0, signal: context.interruption() }
    const messages: CheckStoreResponse[] = []
    const asTable = options.output === undefined || options.output === 'table'
    for await (const message of context.imageClient.service(Store).checkStore({ deep, repair }, call)) {
      messages.push(message)
      if (asTable) show(context.out, message)
    }
    if (!asTable && options.output !== undefined)
      await printStructured(
        context.out,
        options.output,
        messages.map((message) => messageToJson(CheckStoreResponseSchema, message)),
      )
    const last = messages.at(-1)?.what
    return last?.case === 'summary' && last.value.left === 0n ? 0 : 1
  },
})

function show(out: Screen, { what }: CheckStoreResponse): void {
  if (what.case === 'finding') showFinding(out, what.value)
  if (what.case !== 'summary') return
  const { images, layers, files, bytesRead, unrecorded, findings, left } = what.value
  const read = bytesRead > 0n ? `, ${formatBytes(bytesRead)} read` : ''
  out.line(`${images} images, ${layers} layers, ${files} files checked${read}`)
  if (unrecorded > 0n)
    out.line(`${unrecorded} layers were unpacked before there were records: only their directories were looked for`)
  if (findings === 0n) out.line(out.paint('green', 'nothing is wrong'))
  else if (left === 0n) out.line(out.paint('green', `${findings} findings, all mended`))
  else out.line(out.paint('red', `${findings} findings, ${left} left`))
}

function showFinding(out: Screen, finding: StoreFinding): void {
  const word = words[finding.repair]
  const outcome = word === '' ? '' : `: ${out.paint(finding.repair === StoreRepair.DONE ? 'green' : 'red', word)}`
  out.line(`${finding.kind} ${finding.subject}${outcome}`)
  for (const problem of finding.problems) out.line(`  ${problem}`)
  for (const image of finding.images) if (image !== finding.subject) out.line(`  image ${image}`)
  if (finding.containers.length > 0) out.line(`  used by containers ${finding.containers.join(', ')}`)
  if (finding.repairDetail !== '') out.line(`  ${finding.repairDetail}`)
}
