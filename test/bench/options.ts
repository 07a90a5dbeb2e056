// The command line of the benchmark.
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'

export const scenarioNames = [
  'pods',
  'exec',
  'exec-stream',
  'port-forward',
  'exec-sessions-50',
  'parallel',
  'density',
  'churn',
  'kubelet',
  'isolation',
  'pull',
] as const
export type ScenarioName = (typeof scenarioNames)[number]

export const targetNames = ['containerd', 'coracle-runc', 'coracle'] as const
export type TargetName = (typeof targetNames)[number]

export interface Options {
  readonly scenarios: readonly ScenarioName[]
  readonly targets: readonly TargetName[]
  /** Servers that run already: their name and socket. */
  readonly endpoints: readonly { readonly name: string; readonly socket: string }[]
  readonly quick: boolean
  readonly jsonFile: string | undefined
  /** Where the disk image with the data of the runtimes is made. */
  readonly scratchDir: string
  /** `plain`: bridge and host-local; `full`: also masquerading and portmap, as in the network we ship. */
  readonly network: 'plain' | 'full'
  /** References, when images are not to be made. */
  readonly images: { readonly busybox?: string; readonly large?: string; readonly small?: string; readonly pause?: string }
}

export const usage = `usage: npm run bench -- [options]
  --quick                a tenth of the rounds
  --scenario NAME        ${scenarioNames.join(', ')}; may be repeated; default all
  --target NAME          ${targetNames.join(', ')}; may be repeated; default all
  --endpoint NAME=SOCKET also measure a server that runs already; its network is its own
  --network plain|full   plain (default): bridge and host-local; full: with masquerading and portmap too
  --json FILE            write every sample
  --scratch DIR          where the disk image (8 GiB, sparse) goes; default ${tmpdir()}
  --busybox REF, --large REF, --small REF, --pause REF
                         images to use instead of those made on the spot
`

/** Throws an Error with one line for the user. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      scenario: { type: 'string', multiple: true },
      target: { type: 'string', multiple: true },
      endpoint: { type: 'string', multiple: true },
      network: { type: 'string', default: 'plain' },
      json: { type: 'string' },
      scratch: { type: 'string', default: tmpdir() },
      busybox: { type: 'string' },
      large: { type: 'string' },
      small: { type: 'string' },
      pause: { type: 'string' },
    },
  })
  const { network, busybox, large, small, pause } = values
  if (network !== 'plain' && network !== 'full') throw new Error(`--network ${network}: expected plain or full`)
  return {
    scenarios: pick('--scenario', scenarioNames, values.scenario),
    targets: pick('--target', targetNames, values.target),
    endpoints: (values.endpoint ?? []).map(parseEndpoint),
    quick: values.quick,
    jsonFile: values.json,
    scratchDir: values.scratch,
    network,
    images: Object.fromEntries(Object.entries({ busybox, large, small, pause }).filter(([, value]) => value !== undefined)),
  }
}

function pick<T extends string>(flag: string, all: readonly T[], wanted: readonly string[] | undefined): readonly T[] {
  for (const name of wanted ?? []) {
    if (!all.some((known) => known === name)) throw new Error(`${flag} ${name}: expected ${all.join(', ')}`)
  }
  return wanted === undefined ? all : all.filter((name) => wanted.includes(name))
}

function parseEndpoint(text: string): Options['endpoints'][number] {
  const [, name, socket] = /^([^=]+)=(.+)$/.exec(text) ?? []
  if (name === undefined || socket === undefined) throw new Error(`--endpoint ${text}: expected NAME=SOCKET`)
  return { name, socket }
}
