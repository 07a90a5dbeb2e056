// How one metric is described: its words, its own labels, and where its values are found.

import type { MessageInitShape } from '@bufbuild/protobuf'
import { type MetricDescriptorSchema, type MetricSchema, MetricType } from '@coracle/cri-api'

/** A value with the values of the metric's own labels. */
export type Sample = readonly [value: number | undefined, ...labels: readonly string[]]

export interface MetricOf<T> {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  readonly labels: readonly string[]
  readonly samples: (of: T) => readonly Sample[]
}

/** The labels that every metric begins with, as kubelet names them for cAdvisor's. */
export const baseLabels = ['container', 'id', 'image', 'name', 'namespace', 'pod'] as const

type Define<T> = (name: string, help: string, samples: MetricOf<T>['samples'], labels?: readonly string[]) => MetricOf<T>

/** Makers of counters and gauges; names get the prefix `container_`. */
export function metricsOf<T>(): { readonly counter: Define<T>; readonly gauge: Define<T> } {
  const define =
    (type: MetricType): Define<T> =>
    (name, help, samples, labels = []) => ({ name: `container_${name}`, help, type, labels, samples })
  return { counter: define(MetricType.COUNTER), gauge: define(MetricType.GAUGE) }
}

export const descriptorOf = ({ name, help, labels }: MetricOf<never>): MessageInitShape<typeof MetricDescriptorSchema> => ({
  name,
  help,
  labelKeys: [...baseLabels, ...labels],
})

/** The metrics of one thing as messages. Values that the kernel does not keep are left out. */
export function measure<T>(
  metrics: readonly MetricOf<T>[],
  of: T,
  { base, timestamp }: { readonly base: readonly string[]; readonly timestamp: bigint },
): MessageInitShape<typeof MetricSchema>[] {
  return metrics.flatMap(({ name, type, samples }) =>
    samples(of).flatMap(([value, ...labels]) =>
      value === undefined
        ? []
        : [{ name, timestamp, metricType: type, labelValues: [...base, ...labels], value: { value: whole(value) } }],
    ),
  )
}

/** The messages hold whole numbers that are not negative. */
const whole = (value: number): bigint => (Number.isFinite(value) && value > 0 ? BigInt(Math.floor(value)) : 0n)
