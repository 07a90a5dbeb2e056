// A run of tests that is ended from outside leaves nothing: what it had made is counted before and after, not asked of the runner.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { eventually } from '@coracle/testkit/eventually'
import { diff, type Scope, type Snapshot, takeSnapshot } from '@coracle/testkit/leak-oracle'
import { needsRoot } from '@coracle/testkit/needs-root'

const runner = fileURLToPath(new URL('../run.ts', import.meta.url))

interface RunUnderTest extends AsyncDisposable {
  readonly child: ChildProcess
  /** Below it lies all that the run makes in files. */
  readonly directory: string
  /** As long as it is there, held.test.ts stays where it is. */
  readonly hold: string
  readonly output: () => string
  readonly exited: Promise<number | NodeJS.Signals>
}

/** In a process group of its own, as a terminal's job has. */
function startRun(...words: readonly string[]): RunUnderTest {
  const directory = makeOwnDirectory('ct-run-')
  chmodSync(directory, 0o711)
  const hold = join(directory, 'hold')
  writeFileSync(hold, '')
  // Neither node:test's own variables nor the registry of the run that we are part of.
  const { NODE_TEST_CONTEXT: _context, TEST_REGISTRY: _registry, TEST_IMAGES: _images, ...inherited } = process.env
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', runner, ...words], {
    ...{ detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...inherited, TMPDIR: directory, TEST_HOLD: hold } },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => (output += text))
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('close', (code, signal) => resolve(signal ?? code ?? -1))
  })
  return {
    ...{ child, directory, hold, output: () => output, exited },
    async [Symbol.asyncDispose]() {
      // After a failed test only: it shall not go on beside the next.
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await exited
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

interface Scene {
  readonly look: () => Promise<Snapshot>
  readonly bridge: string
}

const nothing: Snapshot = {
  ...{ mounts: new Set(), cgroups: new Set(), processes: new Set(), rules: new Set() },
  ...{ links: new Set(), leases: new Set(), files: new Set() },
}

const kinds = [
  'process left: .*conmon',
  'mount left',
  'cgroup left',
  'network link left',
  'firewall rule left',
  'IPAM lease left',
]

/** Waits until the run's container runs. */
async function middleOf({ directory, hold, output, child }: RunUnderTest): Promise<Scene> {
  const ready = async () => {
    assert.equal(child.exitCode, null, `it ended before: ${output()}`)
    return existsSync(`${hold}.ready`)
  }
  await eventually('the test holds a container', ready, { timeoutMs: 120_000 })
  const world = worldIn(directory)
  const bridge = /"name":"(ct\d+)"/.exec(readFileSync(join(world, 'cni/10-test.conflist'), 'utf8'))?.[1] ?? ''
  const scope: Scope = {
    directories: [directory],
    watchedDirectories: [world],
    ...{ ipamDir: join(world, 'ipam'), bridge, networkName: bridge, subnetPrefix: `10.211.${bridge.slice(2)}.` },
    exceptTreeOf: undefined,
  }
  const names = readdirSync(join(world, 'state'), { recursive: true, encoding: 'utf8' })
  const ids = new Set(names.flatMap((name) => name.match(/\b[0-9a-f]{64}\b/g) ?? []))
  const look = () => takeSnapshot(scope, ids)
  const before = diff(nothing, await look())
  for (const kind of kinds)
    assert.ok(
      before.some((line) => new RegExp(kind).test(line)),
      `${kind}: ${before.join('\n')}`,
    )
  return { look, bridge }
}

function worldIn(directory: string): string {
  const name = readdirSync(directory).find((each) => /^ct-/.test(each))
  assert.ok(name, 'the run has a world')
  return join(directory, name)
}

/** What is left of the run, in words; processes by their environment, too. */
async function remains({ directory, hold }: RunUnderTest, { look, bridge }: Scene): Promise<string[]> {
  const ours = [hold, `${hold}.ready`]
  const names = readdirSync(directory).filter((name) => !ours.includes(join(directory, name)))
  const files = names.map((name) => `file left: ${name}`)
  const links = existsSync(`/sys/class/net/${bridge}`) ? [`bridge left: ${bridge}`] : []
  const processes = readdirSync('/proc').filter(
    (pid) => /^\d+$/.test(pid) && startedIn(pid, `TMPDIR=${directory}`) && !/State:\s+Z/.test(readQuietly(`/proc/${pid}/status`)),
  )
  const claims = '/tmp/ct-claims'
  const claimed = existsSync(`${claims}/${bridge.slice(2)}`) ? [`claim left: ${bridge}`] : []
  return [...diff(nothing, await look()), ...files, ...links, ...claimed, ...processes.map((pid) => `process left: ${pid}`)]
}

const startedIn = (pid: string, variable: string) => readQuietly(`/proc/${pid}/environ`).split('\0').includes(variable)

function readQuietly(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

const send = ({ child }: RunUnderTest, signal: NodeJS.Signals, to: 'runner' | 'group') =>
  process.kill((to === 'group' ? -1 : 1) * (child.pid ?? 0), signal)

describe('a run of tests that is ended from outside', needsRoot(), () => {
  const ways = [
    { what: 'SIGTERM to the runner, as a CI sends it', signal: 'SIGTERM', to: 'runner', code: 143 },
    { what: 'SIGINT to the process group, as Ctrl-C sends it', signal: 'SIGINT', to: 'group', code: 130 },
    { what: 'SIGHUP to the runner, as of a terminal that goes', signal: 'SIGHUP', to: 'runner', code: 129 },
  ] as const
  for (const { what, signal, to, code } of ways) {
    it(`${what}: leaves nothing, names the file, exits ${code}`, async () => {
      await using run = startRun('crash', 'held.test')
      const scene = await middleOf(run)
      send(run, signal, to)
      assert.equal(await run.exited, code, run.output())
      assert.match(run.output(), new RegExp(`^interrupted by ${signal}: test/crash/held\\.test\\.ts$`, 'm'))
      assert.match(run.output().trimEnd(), /\n\d+ passed, 0 failed, \d+ skipped, 1 interrupted$/)
      assert.deepEqual(await remains(run, scene), [])
    })
  }

  it('a second signal hurries, and nothing is left either', async () => {
    await using run = startRun('crash', 'held.test')
    const scene = await middleOf(run)
    send(run, 'SIGTERM', 'runner')
    await eventually('it has heard', async () => run.output().includes('a second signal hurries'))
    send(run, 'SIGTERM', 'runner')
    assert.equal(await run.exited, 143, run.output())
    assert.deepEqual(await remains(run, scene), [])
  })

  it('SIGKILL to all of it: the next run finds what is left, takes it away and says so', async () => {
    await using run = startRun('crash', 'held.test')
    const scene = await middleOf(run)
    send(run, 'SIGKILL', 'group')
    assert.equal(await run.exited, 'SIGKILL')
    assert.notDeepEqual(await remains(run, scene), [], 'what SIGKILL leaves')
    await using next = startRun('unit', 'testkit/src/fake-runtime')
    assert.equal(await next.exited, 0, next.output())
    assert.match(next.output(), /^of a run that was killed: taken from the machine: \d+ processes, \d+ mounts/m)
    assert.deepEqual(await remains(run, scene), [])
  })

  it('takes nothing of a run that lives', async () => {
    await using run = startRun('crash', 'held.test')
    const scene = await middleOf(run)
    await using other = startRun('unit', 'testkit/src/fake-runtime')
    assert.equal(await other.exited, 0, other.output())
    const still = diff(nothing, await scene.look())
    for (const kind of kinds)
      assert.ok(
        still.some((line) => new RegExp(kind).test(line)),
        kind,
      )
    rmSync(run.hold)
    assert.equal(await run.exited, 0, run.output())
    assert.deepEqual(await remains(run, scene), [])
  })
})
