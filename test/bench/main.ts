// npm run bench: our daemon and Debian's containerd, measured in turns in one run on one machine.
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { explain } from '@coracle/base/errors'
import { run } from '@coracle/testkit/program'
import { type Registry, startRegistry } from '@coracle/testkit/registry'
import { exitCodeOf, handleSignals, undoNow } from '@coracle/testkit/signals'
import type { Bench } from './bench.ts'
import { prepareImages } from './images.ts'
import { type Options, parseOptions, type ScenarioName, usage } from './options.ts'
import { busyShare } from './processes.ts'
import { attachEndpoint, startProduct } from './products.ts'
import { Recorder } from './recorder.ts'
import { measureChurn } from './scenarios/churn.ts'
import { measureDensity, measureIdle } from './scenarios/density.ts'
import { measureExec } from './scenarios/exec.ts'
import { measureIsolation } from './scenarios/isolation.ts'
import { measureKubelet } from './scenarios/kubelet.ts'
import { measureParallel } from './scenarios/parallel.ts'
import { measurePods } from './scenarios/pods.ts'
import { measurePull } from './scenarios/pull.ts'
import { measureExecSessions, measureExecStream, measurePortForward } from './scenarios/streams.ts'
import type { Target } from './target.ts'

const scenarios: Readonly<Record<ScenarioName, (bench: Bench) => Promise<void>>> = {
  pods: measurePods,
  exec: measureExec,
  'exec-stream': measureExecStream,
  'port-forward': measurePortForward,
  'exec-sessions-50': measureExecSessions,
  parallel: measureParallel,
  density: measureDensity,
  churn: measureChurn,
  kubelet: measureKubelet,
  isolation: measureIsolation,
  pull: measurePull,
}

async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(usage)
    return 0
  }
  const options = parseOptions(argv)
  const say = (line: string) => void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`)
  const stop = new AbortController()
  // In order, since there may be pods on a server that is not ours; the second time at once.
  handleSignals((signal) => {
    process.exitCode = exitCodeOf(signal)
    if (stop.signal.aborted) {
      undoNow(process.pid)
      process.exit()
    }
    say(`${signal}: stopping and cleaning up`)
    stop.abort(new Error(`stopped by ${signal}`))
  })
  await using stack = new AsyncDisposableStack()
  const recorder = new Recorder()
  const targets = await prepare(options, { stack, say, signal: stop.signal })
  const bench = { options, targets, recorder, signal: stop.signal, say }
  const others = await busyShare(2000)
  if (others > 0.1)
    say(`other work takes ${(others * 100).toFixed(0)} % of this machine: expect figures that are too high and scattered`)
  if (options.scenarios.includes('density')) await measureIdle(bench)
  for (const name of options.scenarios) {
    say(`measuring ${name}`)
    await scenarios[name](bench)
  }
  await report({ options, recorder, targets, others })
  return 0
}

interface Setting {
  readonly stack: AsyncDisposableStack
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

/** Images first, then the servers; each is undone by the stack. */
async function prepare(options: Options, { stack, say, signal }: Setting): Promise<readonly Target[]> {
  let registry: Registry | undefined
  say('preparing images')
  const images = await prepareImages(options, async () => {
    registry ??= stack.use(await startRegistry())
    return registry
  })
  const targets: Target[] = []
  for (const product of ['containerd', 'coracle'] as const) {
    signal.throwIfAborted()
    if (!options.targets.some((name) => name === product || name.startsWith(`${product}-`))) continue
    say(`starting ${product}`)
    targets.push(...stack.use(await startProduct(product, options, images)).targets)
  }
  for (const endpoint of options.endpoints) targets.push(...stack.use(await attachEndpoint(endpoint, images)).targets)
  return targets
}

interface Outcome {
  readonly options: Options
  readonly recorder: Recorder
  readonly targets: readonly Target[]
  /** Share of the machine that was busy before we were. */
  readonly others: number
}

async function report({ options, recorder, targets, others }: Outcome): Promise<void> {
  // A scenario may measure handlers that the others do not.
  const names = [...new Set([...targets.map(({ name }) => name), ...recorder.targets()])]
  const machine = await describeMachine()
  const conditions = `median / p95; network ${options.network}; ${(others * 100).toFixed(0)} % of the machine busy with other work`
  process.stdout.write(`${Object.values(machine).join(' · ')}\n${conditions}\n\n${recorder.table(names)}\n`)
  if (options.jsonFile === undefined) return
  const document = { machine, time: new Date().toISOString(), options, others, targets: names, metrics: recorder.toJson() }
  await writeFile(options.jsonFile, `${JSON.stringify(document, null, 1)}\n`)
}

async function describeMachine(): Promise<Readonly<Record<string, string>>> {
  const version = async (...argv: [string, ...string[]]) => (await run(argv)).stdout.split('\n')[0]?.trim() ?? ''
  const os = /PRETTY_NAME="(.*)"/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? ''
  return {
    cpu: `${cpus().length} × ${cpus()[0]?.model.trim() || process.arch}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${os}, Linux ${release()}`,
    containerd: (await version('containerd', '--version')).replace(/^containerd \S+ (\S+).*/, 'containerd $1'),
    runc: await version('runc', '--version'),
    crun: await version('crun', '--version'),
    conmon: await version('conmon', '--version'),
    node: `node ${process.version}`,
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (err) {
  console.error(explain(err))
  process.exitCode ??= 1
}
