import { type ListPodSandboxResponse, ListPodSandboxResponseSchema, type PodSandbox, PodSandboxState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import type { OptionTable, OptionValues } from '../options.ts'
import { outputOption } from '../print/output-options.ts'
import { mapLines, renderTable, shortId } from '../print/table.ts'
import { formatAge } from '../quantities.ts'
import { nameFilter, newest, parsePairs } from '../select.ts'

const STATES = { ready: PodSandboxState.SANDBOX_READY, notready: PodSandboxState.SANDBOX_NOTREADY } as const

/** Which pods: the options that `pods` and `inspectp` share. */
export const podFilters = {
  name: { kind: 'string', value: 'REGEX', help: 'by name' },
  namespace: { kind: 'string', value: 'REGEX', help: 'by namespace' },
  label: { kind: 'list', value: 'KEY=VALUE', help: 'by label' },
  state: { kind: 'string', short: 's', value: 'STATE', choices: Object.keys(STATES), help: 'ready or notready' },
  latest: { kind: 'flag', short: 'l', help: 'the newest pod' },
  last: { kind: 'number', short: 'n', value: 'N', help: 'the N newest pods; 0 for all' },
} as const satisfies OptionTable

export const command = defineCommand({
  name: 'pods',
  summary: 'List pods',
  usage: 'pods [options]',
  options: {
    quiet: { kind: 'flag', short: 'q', help: 'only ids, in full' },
    verbose: { kind: 'flag', short: 'v', help: 'a block of lines for each pod' },
    output: outputOption,
    id: { kind: 'string', value: 'ID', help: 'by id or start of an id' },
    ...podFilters,
    'no-trunc': { kind: 'flag', help: 'ids in full' },
  },
  operands: { min: 0, max: 0 },
  examples: ['coracle pods', 'coracle pods --namespace kube-system --state ready', 'coracle pods -q --label app=web'],
  async run({ runtime, out }, options) {
    const reply = await findPods(runtime, options)
    const pods = reply.items
    if (options.quiet) for (const { id } of pods) out.line(id)
    else if (options.output === 'json' || options.output === 'yaml') {
      const { messageToJson, printStructured } = await import('../print/structured.ts')
      await printStructured(out, options.output, messageToJson(ListPodSandboxResponseSchema, reply))
    } else if (options.verbose) for (const pod of pods) out.line(describe(pod))
    else out.write(tableOf(pods, options['no-trunc'] ? (id) => id : shortId))
  },
})

/** Newest first. */
export async function findPods(
  runtime: Context['runtime'],
  options: OptionValues<typeof podFilters> & { readonly id?: string | undefined },
): Promise<ListPodSandboxResponse> {
  const state = options.state === undefined ? undefined : STATES[options.state as keyof typeof STATES]
  const reply = await runtime.listPodSandbox({
    filter: {
      id: options.id ?? '',
      labelSelector: parsePairs('label', options.label),
      ...(state === undefined ? {} : { state: { state } }),
    },
  })
  const nameMatches = nameFilter('name', options.name)
  const namespaceMatches = nameFilter('namespace', options.namespace)
  const found = reply.items.filter(
    ({ metadata }) => nameMatches(metadata?.name ?? '') && namespaceMatches(metadata?.namespace ?? ''),
  )
  reply.items = newest(found, options.latest ? 1 : options.last)
  return reply
}

function tableOf(pods: readonly PodSandbox[], idOf: (id: string) => string): string {
  const rows = pods.map(({ id, createdAt, state, metadata, runtimeHandler }) => [
    idOf(id),
    formatAge(createdAt),
    stateText(state),
    metadata?.name ?? '',
    metadata?.namespace ?? '',
    String(metadata?.attempt ?? 0),
    runtimeHandler || '(default)',
  ])
  return renderTable(['POD ID', 'CREATED', 'STATE', 'NAME', 'NAMESPACE', 'ATTEMPT', 'RUNTIME'], rows)
}

const stateText = (state: PodSandboxState): string => (state === PodSandboxState.SANDBOX_READY ? 'Ready' : 'NotReady')

function describe({ id, metadata, state, createdAt, labels, annotations, runtimeHandler }: PodSandbox): string {
  const lines = [
    `ID: ${id}`,
    `Name: ${metadata?.name ?? ''}`,
    `UID: ${metadata?.uid ?? ''}`,
    `Namespace: ${metadata?.namespace ?? ''}`,
    `Attempt: ${metadata?.attempt ?? 0}`,
    `Status: ${stateText(state)}`,
    `Created: ${new Date(Number(createdAt / 1_000_000n)).toISOString()}`,
    ...mapLines('Labels', labels),
    ...mapLines('Annotations', annotations),
    `Runtime: ${runtimeHandler || '(default)'}`,
  ]
  return `${lines.join('\n')}\n`
}
