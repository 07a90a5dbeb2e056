// The main job in one go: daemon up, a real image pulled from a registry, a pod with its network, a container, its log and state.
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { explain } from '@coracle/base/errors'
import {
  ContainerState,
  type CriClient,
  connect,
  NamespaceMode,
  PodSandboxState,
  SecurityProfile_ProfileType,
} from '@coracle/cri-api'
import { belong, makeOwnDirectory, ownerVariable } from '@coracle/testkit/belongings'
import { busyboxLayer } from '@coracle/testkit/busybox-images'
import { eventually } from '@coracle/testkit/eventually'
import { interruptible } from '@coracle/testkit/interruptible'
import { ownerName } from '@coracle/testkit/owner'
import { run } from '@coracle/testkit/program'
import { startRegistry } from '@coracle/testkit/registry'

const repository = fileURLToPath(new URL('..', import.meta.url))
const colour = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
const paint = (code: number) => (text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)
const [bold, dim, green, cyan, red] = [paint(1), paint(2), paint(32), paint(36), paint(31)]

const interruption = interruptible()

const podName = `demo-${process.pid}`

const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false }, image: { type: 'string' } } })

interface Place {
  readonly root: string
  readonly state: string
  readonly socket: string
  readonly cniConfigDir: string
  readonly log: string
  /** Removed at the end; undefined: everything stays. */
  readonly temporary: string | undefined
}

function choosePlace(keep: boolean): Place {
  if (keep) {
    return {
      root: '/var/lib/coracle',
      state: '/run/coracle',
      socket: '/run/coracle/coracle.sock',
      cniConfigDir: '/etc/cni/net.d',
      log: '/var/log/coracled.log',
      temporary: undefined,
    }
  }
  const temporary = makeOwnDirectory('coracle-demo-')
  const at = (name: string) => join(temporary, name)
  return {
    root: at('root'),
    state: at('state'),
    socket: at('coracle.sock'),
    cniConfigDir: at('cni'),
    log: at('daemon.log'),
    temporary,
  }
}

async function step<T>(title: string, work: () => Promise<T>, show: (result: T) => string): Promise<T> {
  const start = performance.now()
  try {
    const result = await interruption.step(work())
    const ms = `${(performance.now() - start).toFixed(0)} ms`
    console.log(`${green('✓')} ${title.padEnd(28)} ${dim(ms.padStart(8))}   ${show(result)}`)
    return result
  } catch (err) {
    console.log(`${red('✗')} ${title}`)
    // What an interrupted call makes shall be there for its undoing to find.
    await interruption.settled()
    throw err
  }
}

/** `onPid` gets the pid at once, the promise resolves to it when the daemon serves. */
async function startDaemon(place: Place, onPid: (pid: number) => void): Promise<number> {
  mkdirSync(place.cniConfigDir, { recursive: true })
  // A machine that has a network configuration keeps it.
  if (readdirSync(place.cniConfigDir).length === 0) {
    const network = JSON.parse(readFileSync(join(repository, 'deploy/10-coracle.conflist'), 'utf8'))
    // Address leases of a passing demonstration pass with it.
    if (place.temporary !== undefined) network.plugins[0].ipam.dataDir = join(place.temporary, 'leases')
    writeFileSync(join(place.cniConfigDir, '10-coracle.conflist'), JSON.stringify(network, null, 2))
  }
  const log = openSync(place.log, 'a', 0o600)
  const flags = ['--root', place.root, '--state', place.state, '--socket', place.socket, '--cni-config-dir', place.cniConfigDir]
  // One that shall stay carries no mark of ours.
  const { [ownerVariable]: mark, ...env } = process.env
  const marked = place.temporary === undefined ? env : { ...env, [ownerVariable]: mark }
  const daemon = spawn(join(repository, 'bin/coracled'), flags, { detached: true, stdio: ['ignore', log, log], env: marked })
  closeSync(log)
  daemon.unref()
  const { pid } = daemon
  if (pid === undefined) throw new Error('bin/coracled could not be started')
  onPid(pid)
  const name = ownerName(pid)
  if (place.temporary !== undefined && name !== undefined) belong({ kind: 'process', owner: name })
  await eventually('the daemon serves', async () => daemon.exitCode !== null || existsSync(place.socket), { timeoutMs: 20_000 })
  if (daemon.exitCode !== null) throw new Error(`the daemon ended at once:\n${readFileSync(place.log, 'utf8').slice(-2000)}`)
  return pid
}

// As kubelet sends it for a pod without wishes.
const securityContext = {
  namespaceOptions: { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD },
  seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
}

async function runPod(client: CriClient, image: string, logDirectory: string): Promise<{ podId: string; containerId: string }> {
  const name = podName
  const labels = { 'io.kubernetes.pod.name': name, 'io.kubernetes.pod.namespace': 'default', 'io.kubernetes.pod.uid': name }
  const config = {
    metadata: { name, namespace: 'default', uid: name, attempt: 0 },
    labels,
    logDirectory,
    linux: { securityContext },
  }
  const { podSandboxId: podId } = await step(
    'run pod sandbox',
    () => client.runtime.runPodSandbox({ config }),
    (reply) => reply.podSandboxId.slice(0, 13),
  )
  const { status } = await client.runtime.podSandboxStatus({ podSandboxId: podId })
  const script = 'echo "Hello from $(hostname), kernel $(uname -r), address $(hostname -i)"; exec sleep 3600'
  const { containerId } = await step(
    'create container',
    () =>
      client.runtime.createContainer({
        podSandboxId: podId,
        sandboxConfig: config,
        config: {
          metadata: { name: 'hello', attempt: 0 },
          labels,
          image: { image },
          command: ['sh', '-c', script],
          logPath: 'hello.log',
          linux: { resources: { memoryLimitInBytes: 64n << 20n }, securityContext },
        },
      }),
    (reply) => reply.containerId.slice(0, 13),
  )
  await step(
    'start container',
    () => client.runtime.startContainer({ containerId }),
    () => '',
  )
  console.log(`\n  pod        ${bold(name)}  ${PodSandboxState[status?.state ?? 0]}  address ${cyan(status?.network?.ip ?? '')}`)
  return { podId, containerId }
}

async function show(client: CriClient, containerId: string, logPath: string): Promise<void> {
  await eventually('the log has a line', async () => readFileSync(logPath, 'utf8').includes('Hello'), { timeoutMs: 5000 })
  const { status } = await client.runtime.containerStatus({ containerId })
  console.log(`  container  ${bold('hello')}  ${ContainerState[status?.state ?? 0]}  image ${status?.image?.image}`)
  console.log(`  log        ${cyan(readFileSync(logPath, 'utf8').trim())}\n`)
  const command = ['sh', '-c', 'cat /etc/resolv.conf /proc/1/status | grep -E "^(nameserver|NSpid|Seccomp:|CapEff)"']
  await step(
    'exec in the container',
    () => client.runtime.execSync({ containerId, cmd: command, timeout: 5n }),
    ({ stdout }) => Buffer.from(stdout).toString().trim().replaceAll(/\s*\n/g, ', ').replaceAll('\t', ' '),
  )
}

/** After a failure half-way: pods of this demonstration only, since with --keep the daemon may hold others. */
async function removePods(socket: string): Promise<void> {
  await using client = connect(socket, { timeoutMs: 30_000 })
  const { items } = await client.runtime.listPodSandbox({})
  for (const { id, metadata } of items) {
    if (metadata?.name === podName) await client.runtime.removePodSandbox({ podSandboxId: id })
  }
}

async function stopDaemon(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM')
  await eventually(
    'the daemon has ended',
    async () => !existsSync(`/proc/${pid}/stat`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')),
    {
      timeoutMs: 15_000,
    },
  )
}

function sayHowToTalk(pid: number, place: Place): void {
  console.log(bold('\nThe daemon and the pod go on running. Talk to them:'))
  for (const command of ['ps', 'pods', 'exec --sync hello uname -a', 'logs hello', 'doctor'])
    console.log(`  ${repository}bin/coracle ${command}`)
  console.log(`  ${dim('the daemon logs to')} ${place.log}`)
  console.log(bold('End them:'))
  console.log(`  ${repository}bin/coracle rmp -a -f && kill ${pid}`)
}

async function main(): Promise<void> {
  console.log(bold('Coracle: from nothing to a running pod\n'))
  const place = choosePlace(values.keep)
  const hadBridge = existsSync('/sys/class/net/coracle0')
  using bridge = new DisposableStack()
  if (!hadBridge && place.temporary !== undefined) bridge.use(belong({ kind: 'link', name: 'coracle0' }))
  const logDirectory = join(place.state, 'demo-logs')
  let pid: number | undefined
  let succeeded = false
  try {
    await using registry = values.image === undefined ? await startRegistry() : undefined
    const image = values.image ?? `${registry?.host}/demo/busybox:1`
    if (registry !== undefined) {
      const source = { layers: [await busyboxLayer()], config: { Cmd: ['sh'], Env: ['PATH=/bin'] } }
      await step(
        'make and push an image',
        () => registry.push('demo/busybox', '1', source),
        () => `${image} ${dim('(busybox-static, registry on loopback)')}`,
      )
    }
    await step(
      'start the daemon',
      () => startDaemon(place, (started) => (pid = started)),
      (daemon) => `pid ${daemon}, ${place.socket}`,
    )
    await using client = connect(place.socket)
    await step(
      'pull the image',
      () => client.image.pullImage({ image: { image } }),
      ({ imageRef }) => imageRef.slice(0, 19),
    )
    mkdirSync(logDirectory, { recursive: true })
    const { podId, containerId } = await runPod(client, image, logDirectory)
    await show(client, containerId, join(logDirectory, 'hello.log'))
    if (values.keep) {
      succeeded = true
      return sayHowToTalk(pid ?? -1, place)
    }
    await step(
      'stop the container',
      () => client.runtime.stopContainer({ containerId, timeout: 0n }),
      () => '',
    )
    await step(
      'stop the pod sandbox',
      () => client.runtime.stopPodSandbox({ podSandboxId: podId }),
      () => '',
    )
    await step(
      'remove it',
      () => client.runtime.removePodSandbox({ podSandboxId: podId }),
      () => '',
    )
    succeeded = true
  } finally {
    if (!values.keep || !succeeded) {
      if (pid !== undefined) {
        if (!succeeded) await removePods(place.socket)
        await stopDaemon(pid)
      }
      if (place.temporary !== undefined) rmSync(place.temporary, { recursive: true, force: true })
      if (!hadBridge && existsSync('/sys/class/net/coracle0')) await run(['/sbin/ip', 'link', 'delete', 'coracle0'])
    }
  }
  console.log(bold('\nAll of it is gone again. To keep it running: npm run demo -- --keep'))
}

try {
  await main()
} catch (err) {
  process.exitCode ??= 1
  console.error(`${red('✗')} ${explain(err)}`)
}
