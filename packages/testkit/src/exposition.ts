// Reads the text format of Prometheus strictly, as `promtool check metrics` does: what it takes, a scraper takes.

export interface ParsedFamily {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: readonly ParsedSample[]
}

export interface ParsedSample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Throws, naming the line, on anything that is not well-formed or not consistent. */
export function parseExposition(text: string): ReadonlyMap<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, { name: string; type: string; help: string; samples: ParsedSample[] }>()
  const seen = new Set<string>()
  let current: { name: string; type: string; help: string; samples: ParsedSample[] } | undefined
  for (const [index, line] of text.slice(0, -1).split('\n').entries()) {
    const fail = (why: string) => new Error(`line ${index + 1}: ${why}: ${line}`)
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/.exec(line)
    if (help !== null) {
      const [, name = '', words = ''] = help
      if (families.has(name)) throw fail('the family comes twice')
      current = { name, type: '', help: words, samples: [] }
      families.set(name, current)
    } else if (type !== null) {
      if (current?.name !== type[1] || current?.type !== '') throw fail('a type without its help before')
      current.type = type[2] ?? ''
    } else {
      const sample = parseSample(line)
      if (sample === undefined) throw fail('is no sample')
      if (current === undefined || current.type === '' || !belongs(sample.name, current)) throw fail('stands outside its family')
      const key = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`
      if (seen.has(key)) throw fail('the series comes twice')
      seen.add(key)
      current.samples.push(sample)
    }
  }
  for (const family of families.values()) checkFamily(family)
  return families
}

function parseSample(line: string): ParsedSample | undefined {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (NaN|[+-]?Inf|[+-]?[0-9.]+(?:[eE][+-]?\d+)?)$/.exec(line)
  if (match === null) return undefined
  const [, name = '', inner = '', number = ''] = match
  const labels: Record<string, string> = {}
  let rest = inner
  while (rest !== '') {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest)
    if (label === null || Object.hasOwn(labels, label[1] ?? '')) return undefined
    labels[label[1] ?? ''] = (label[2] ?? '').replaceAll(/\\(["\\n])/g, (_, char) => (char === 'n' ? '\n' : char))
    rest = rest.slice(label[0].length)
  }
  return { name, labels, value: number.endsWith('Inf') ? (number.startsWith('-') ? -Infinity : Infinity) : Number(number) }
}

const belongs = (name: string, family: { name: string; type: string }): boolean =>
  family.type === 'histogram'
    ? ['_bucket', '_sum', '_count'].some((suffix) => name === `${family.name}${suffix}`)
    : name === family.name

function checkFamily({ name, type, samples }: ParsedFamily): void {
  if (type === '') throw new Error(`${name} has no type`)
  if (type === 'counter' && !name.endsWith('_total')) throw new Error(`counter ${name} does not end with _total`)
  if (type !== 'counter' && name.endsWith('_total')) throw new Error(`${type} ${name} ends with _total`)
  for (const { value, name: series } of samples) {
    if (Number.isNaN(value)) throw new Error(`${series} is no number`)
    if (type !== 'gauge' && value < 0) throw new Error(`${series} is negative`)
  }
  if (type === 'histogram') checkHistogram(name, samples)
}

function checkHistogram(name: string, samples: readonly ParsedSample[]): void {
  const without = ({ labels: { le: _, ...labels } }: ParsedSample) => JSON.stringify(Object.entries(labels).sort())
  for (const [labels, own] of Map.groupBy(samples, without)) {
    const buckets = own.filter((sample) => sample.name === `${name}_bucket`)
    const bounds = buckets.map((bucket) => (bucket.labels['le'] === '+Inf' ? Infinity : Number(bucket.labels['le'])))
    const rises = (numbers: readonly number[], strictly: boolean) =>
      numbers.every((number, i) => i === 0 || (strictly ? number > (numbers[i - 1] ?? 0) : number >= (numbers[i - 1] ?? 0)))
    const values = buckets.map(({ value }) => value)
    if (!rises(bounds, true) || !rises(values, false)) throw new Error(`buckets of ${name} ${labels} do not rise`)
    const count = own.find((sample) => sample.name === `${name}_count`)?.value
    if (bounds.at(-1) !== Infinity || values.at(-1) !== count) throw new Error(`${name} ${labels}: the last bucket is not all`)
    if (!own.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name} ${labels} has no sum`)
  }
}
