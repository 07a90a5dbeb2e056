import { delay } from '@coracle/base/signals'
import { ListPodSandboxMetricsResponseSchema, type Metric } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { jsonFirstOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { renderTable, shortId } from '../print/table.ts'
import { nameFilter } from '../select.ts'

export const command = defineCommand({
  name: 'metricsp',
  summary: 'Show the metrics of pods',
  usage: 'metricsp [options] [POD-ID]',
  description: 'What a kubelet serves at /metrics/cadvisor. POD-ID is an id or the start of one.',
  options: {
    name: { kind: 'string', value: 'REGEX', help: 'by name of the metric' },
    watch: { kind: 'flag', short: 'w', help: 'again each second, until interrupted' },
    output: jsonFirstOption,
  },
  operands: { min: 0, max: 1 },
  examples: ['coracle metricsp', 'coracle metricsp --name memory -o table'],
  async run(context, options, [id = '']) {
    const { name, output, watch } = options
    const print = () => {
      if (watch && output === 'yaml') context.out.line('---')
      return printMetrics(context, { id, name, output })
    }
    await print()
    while (watch) {
      await delay(1000, context.interruption())
      await print()
    }
  },
})

interface Wanted {
  readonly id: string
  readonly name: string | undefined
  readonly output: string | undefined
}

async function printMetrics(context: Context, { id, name, output }: Wanted): Promise<void> {
  const [{ podMetrics }, { descriptors }] = await Promise.all([
    context.runtime.listPodSandboxMetrics({}),
    context.runtime.listMetricDescriptors({}),
  ])
  const matches = nameFilter('name', name)
  const pick = (metrics: readonly Metric[]) => metrics.filter(({ name }) => matches(name))
  const pods = podMetrics.filter(({ podSandboxId }) => podSandboxId.startsWith(id))
  for (const pod of pods) {
    pod.metrics = pick(pod.metrics)
    for (const container of pod.containerMetrics) container.metrics = pick(container.metrics)
  }
  if (output !== 'table') {
    const reply = { $typeName: ListPodSandboxMetricsResponseSchema.typeName, podMetrics: pods }
    const json = messageToJson(ListPodSandboxMetricsResponseSchema, reply)
    return void (await printStructured(context.out, output ?? 'json', json))
  }
  const keys = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]))
  const row = (podId: string, metric: Metric) => [
    shortId(podId),
    metric.name,
    String(metric.value?.value ?? 0n),
    ownLabels(metric, keys.get(metric.name) ?? []),
  ]
  const rows = pods.flatMap(({ podSandboxId, metrics, containerMetrics }) =>
    [...metrics, ...containerMetrics.flatMap((container) => container.metrics)].map((metric) => row(podSandboxId, metric)),
  )
  context.out.write(renderTable(['POD ID', 'METRIC', 'VALUE', 'LABELS'], rows))
}

/** Without those that only repeat which pod it is. */
const repeated = new Set(['id', 'image', 'name', 'namespace', 'pod'])

const ownLabels = ({ labelValues }: Metric, keys: readonly string[]): string =>
  keys.flatMap((key, index) => (repeated.has(key) ? [] : [`${key}=${labelValues[index] ?? ''}`])).join(' ')
