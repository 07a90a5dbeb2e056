import { type ContainerEventResponse, ContainerEventResponseSchema, ContainerEventType } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { templateOption } from '../print/output-options.ts'
import { shortId } from '../print/table.ts'
import { renderTemplate } from '../print/template.ts'
import { UsageError } from '../usage-error.ts'

const words = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
} as const

export const command = defineCommand({
  name: 'events',
  summary: 'Follow what happens to pods and containers',
  usage: 'events [options]',
  description:
    'From now on, until interrupted. Each event has the state of the pod and its containers right after it. On a terminal a line says\n' +
    'what has happened; elsewhere JSON is the default, as with crictl.',
  options: {
    pod: { kind: 'string', short: 'p', value: 'ID', help: 'of one pod: its id or the start of it' },
    type: { kind: 'string', value: 'TYPE', choices: Object.keys(words), help: 'created, started, stopped or deleted' },
    'no-trunc': { kind: 'flag', help: 'ids in full' },
    output: {
      kind: 'string',
      short: 'o',
      value: 'FORMAT',
      choices: ['json', 'yaml', 'table', 'go-template'],
      help: 'json (one line an event), yaml, table or go-template',
    },
    template: templateOption,
  },
  operands: { min: 0, max: 0 },
  examples: [
    'coracle events',
    'coracle events --type stopped -o json',
    "coracle events -o go-template --template '{{.containerId}}'",
  ],
  async run(context, options) {
    if (options.pod === '') throw new UsageError('--pod must not be empty')
    const preset = context.out.isTerminal ? 'table' : 'json'
    const output = options.output ?? (options.template === undefined ? preset : 'go-template')
    const print = await printer({ ...options, output })
    const signal = context.interruption()
    const wanted = options.type === undefined ? undefined : words[options.type as keyof typeof words]
    for await (const event of context.runtime.getContainerEvents({}, { signal, timeoutMs: 0 })) {
      // What is not wanted may name what is.
      const text = print(event)
      if (wanted !== undefined && event.containerEventType !== wanted) continue
      if (options.pod !== undefined && !event.podSandboxStatus?.id.startsWith(options.pod)) continue
      context.out.line(text)
    }
  },
})

interface Form {
  readonly output: string
  readonly template: string | undefined
  readonly 'no-trunc': boolean
}

async function printer({ output, template, 'no-trunc': inFull }: Form): Promise<(event: ContainerEventResponse) => string> {
  if (output === 'table') return describer(inFull ? (id) => id : shortId)
  const { messageToJson } = await import('../print/structured.ts')
  const json = (event: ContainerEventResponse) => messageToJson(ContainerEventResponseSchema, event)
  if (output === 'json') return (event) => JSON.stringify(json(event))
  if (output !== 'yaml') return (event) => renderTemplate(template ?? '', json(event))
  const { stringify } = await import('yaml')
  return (event) => `---\n${stringify(json(event)).trimEnd()}`
}

/** Remembers the names of containers: the event of a removal no longer has them. */
function describer(idOf: (id: string) => string): (event: ContainerEventResponse) => string {
  const names = new Map<string, string>()
  return (event) => {
    for (const { id, metadata } of event.containersStatuses) names.set(id, metadata?.name ?? '-')
    const name = names.get(event.containerId) ?? '-'
    if (event.containerEventType === words.deleted) names.delete(event.containerId)
    return describe(event, name, idOf)
  }
}

/** `TIME TYPE container ID NAME of pod NAMESPACE/NAME`, and the exit code of what has ended. */
function describe(event: ContainerEventResponse, name: string, idOf: (id: string) => string): string {
  const { containerId, podSandboxStatus: pod, containersStatuses } = event
  const isPod = pod?.id === containerId
  const container = containersStatuses.find(({ id }) => id === containerId)
  const podName = `${pod?.metadata?.namespace ?? ''}/${pod?.metadata?.name ?? ''}`
  const ended = event.containerEventType === ContainerEventType.CONTAINER_STOPPED_EVENT && container !== undefined
  return [
    new Date(Number(event.createdAt / 1_000_000n)).toISOString(),
    (Object.entries(words).find(([, type]) => type === event.containerEventType)?.[0] ?? 'unknown').padEnd(7),
    isPod ? `pod       ${idOf(containerId)} ${podName}` : `container ${idOf(containerId)} ${name}`,
    ...(isPod ? [] : [`of pod ${podName}`]),
    ...(ended ? [`exit code ${container.exitCode}${container.reason === '' ? '' : ` (${container.reason})`}`] : []),
  ].join(' ')
}
