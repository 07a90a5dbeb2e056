import { type Container, ContainerState, type ListContainersResponse, ListContainersResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import type { OptionTable, OptionValues } from '../options.ts'
import { outputOption } from '../print/output-options.ts'
import { mapLines, renderTable, shortId } from '../print/table.ts'
import { formatAge } from '../quantities.ts'
import { nameFilter, newest, parsePairs } from '../select.ts'

const STATES = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
  unknown: ContainerState.CONTAINER_UNKNOWN,
} as const

/** Which containers: the options that `ps` and `inspect` share. */
export const containerFilters = {
  all: { kind: 'flag', short: 'a', help: 'containers in every state' },
  name: { kind: 'string', value: 'REGEX', help: 'by container name' },
  pod: { kind: 'string', short: 'p', value: 'ID', help: 'of one pod' },
  namespace: { kind: 'string', value: 'REGEX', help: 'by namespace of the pod' },
  image: { kind: 'string', value: 'IMAGE', help: 'by image id or name' },
  label: { kind: 'list', value: 'KEY=VALUE', help: 'by label' },
  state: {
    kind: 'string',
    short: 's',
    value: 'STATE',
    choices: Object.keys(STATES),
    help: 'created, running, exited or unknown',
  },
  latest: { kind: 'flag', short: 'l', help: 'the newest container, whatever its state' },
  last: { kind: 'number', short: 'n', value: 'N', help: 'the N newest containers, whatever their state; 0 for all' },
} as const satisfies OptionTable

export const command = defineCommand({
  name: 'ps',
  summary: 'List containers',
  usage: 'ps [options]',
  description: 'Only running containers, unless -a, --state, --id, --latest or --last asks for others.',
  options: {
    quiet: { kind: 'flag', short: 'q', help: 'only ids, in full' },
    verbose: { kind: 'flag', short: 'v', help: 'a block of lines for each container' },
    output: outputOption,
    id: { kind: 'string', value: 'ID', help: 'by id or start of an id' },
    ...containerFilters,
    'no-trunc': { kind: 'flag', help: 'ids in full' },
    'resolve-image-path': { kind: 'flag', short: 'r', help: "the image's tag instead of its id" },
  },
  operands: { min: 0, max: 0 },
  examples: ['coracle ps', 'coracle ps -a --name web', 'coracle ps -q --label app=web', 'coracle ps -a -o json'],
  async run(context, options) {
    const reply = await findContainers(context, options)
    const { containers } = reply
    if (options.quiet) for (const { id } of containers) context.out.line(id)
    else if (options.output === 'json' || options.output === 'yaml') {
      const { messageToJson, printStructured } = await import('../print/structured.ts')
      await printStructured(context.out, options.output, messageToJson(ListContainersResponseSchema, reply))
    } else if (options.verbose) for (const container of containers) context.out.line(describe(container))
    else await printTable(context, containers, options)
  },
})

/** Newest first. */
export async function findContainers(
  context: Context,
  options: OptionValues<typeof containerFilters> & { readonly id?: string | undefined },
): Promise<ListContainersResponse> {
  const count = options.latest ? 1 : options.last || undefined
  const everyState = options.all || options.id !== undefined || count !== undefined
  const stateName = options.state ?? (everyState ? undefined : 'running')
  const state = stateName === undefined ? undefined : STATES[stateName as keyof typeof STATES]
  const reply = await context.runtime.listContainers({
    filter: {
      id: options.id ?? '',
      podSandboxId: options.pod ?? '',
      labelSelector: parsePairs('label', options.label),
      ...(state === undefined ? {} : { state: { state } }),
    },
  })
  const nameMatches = nameFilter('name', options.name)
  const namespaceMatches = nameFilter('namespace', options.namespace)
  const imageMatches = await imageFilter(context, options.image)
  const found = reply.containers.filter(
    (container) =>
      nameMatches(container.metadata?.name ?? '') && namespaceMatches(namespaceOf(container)) && imageMatches(container),
  )
  reply.containers = newest(found, count)
  return reply
}

async function printTable(
  context: Context,
  containers: readonly Container[],
  options: { readonly 'no-trunc': boolean; readonly 'resolve-image-path': boolean },
): Promise<void> {
  const idOf = options['no-trunc'] ? (id: string) => id : shortId
  const tags = options['resolve-image-path'] ? await imageTags(context) : undefined
  const rows = containers.map((container) => [
    idOf(container.id),
    tags?.get(container.imageRef) ?? tags?.get(container.image?.image ?? '') ?? imageName(container, idOf),
    formatAge(container.createdAt),
    stateText(container),
    container.metadata?.name ?? '',
    String(container.metadata?.attempt ?? 0),
    idOf(container.podSandboxId),
    container.labels['io.kubernetes.pod.name'] ?? 'unknown',
    namespaceOf(container) || 'unknown',
  ])
  context.out.write(
    renderTable(['CONTAINER', 'IMAGE', 'CREATED', 'STATE', 'NAME', 'ATTEMPT', 'POD ID', 'POD', 'NAMESPACE'], rows),
  )
}

const namespaceOf = (container: Container): string => container.labels['io.kubernetes.pod.namespace'] ?? ''

function imageName(container: Container, idOf: (id: string) => string): string {
  const name = container.image?.userSpecifiedImage || container.image?.image || container.imageRef
  return /^(sha256:)?[0-9a-f]{64}$/.test(name) ? idOf(name) : name
}

export function stateText(container: { readonly state: ContainerState }): string {
  return { 0: 'Created', 1: 'Running', 2: 'Exited', 3: 'Unknown' }[container.state] ?? 'Unknown'
}

async function imageTags(context: Context): Promise<Map<string, string>> {
  const { images } = await context.image.listImages({})
  return new Map(images.flatMap(({ id, repoTags }) => (repoTags[0] ? [[id, repoTags[0]] as const] : [])))
}

/** An image is meant by its id, its start, or a name that the image service can resolve. */
async function imageFilter(context: Context, text: string | undefined): Promise<(container: Container) => boolean> {
  if (text === undefined) return () => true
  const { image } = await context.image.imageStatus({ image: { image: text } })
  const id = image?.id ?? text
  return ({ imageRef, imageId, image: spec }) =>
    [imageId, imageRef, spec?.image ?? ''].some(
      (ref) => ref === id || ref === text || (ref !== '' && ref.replace('sha256:', '').startsWith(id.replace('sha256:', ''))),
    )
}

function describe(container: Container): string {
  const lines = [
    `ID: ${container.id}`,
    `PodID: ${container.podSandboxId}`,
    `Name: ${container.metadata?.name ?? ''}`,
    `Attempt: ${container.metadata?.attempt ?? 0}`,
    `Namespace: ${namespaceOf(container)}`,
    `Image: ${container.image?.image ?? ''}`,
    `State: ${stateText(container)}`,
    `Created: ${new Date(Number(container.createdAt / 1_000_000n)).toISOString()}`,
    ...mapLines('Labels', container.labels),
    ...mapLines('Annotations', container.annotations),
  ]
  return `${lines.join('\n')}\n`
}
