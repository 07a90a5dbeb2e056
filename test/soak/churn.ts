// Churn: pods come and go while the daemon is killed again and again. At the end nothing may be left on the machine.
//   bin/node test/soak/churn.ts [--minutes N] [--pods N] [--kill-every SECONDS] [--runtime NAME]
// Needs root. Ends with 1 when an operation failed for another reason than the kills, a container died by one, or anything leaked.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { codeOf, explain } from '@coracle/base/errors'
import { ContainerState } from '@coracle/cri-api'
import { pushTestImages } from '@coracle/testkit/busybox-images'
import { startNode, type TestNode } from '@coracle/testkit/node'
import { startRegistry } from '@coracle/testkit/registry'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    pods: { type: 'string', default: '6' },
    'kill-every': { type: 'string', default: '15' },
    runtime: { type: 'string' },
  },
})
const untilMs = performance.now() + Number(values.minutes) * 60_000

/** What a call may end with while the daemon is down or was killed under it. */
const excused = ['unavailable', 'canceled', 'unknown', 'deadline_exceeded']

interface Tally {
  readonly cycles: number[]
  readonly faults: string[]
  kills: number
  retries: number
}

const tally: Tally = { cycles: [], faults: [], kills: 0, retries: 0 }
const fault = (text: string) => {
  tally.faults.push(text)
  console.error(`FAULT ${text}`)
}

/** Repeats a call, as a kubelet would, until it is answered by a daemon that was not killed meanwhile. */
async function insist<T>(what: string, call: () => Promise<T>, kills: () => number): Promise<T | undefined> {
  for (let attempt = 0; attempt < 60; attempt++) {
    const before = kills()
    try {
      return await call()
    } catch (err) {
      const code = codeOf(err)
      // After a kill in the middle a retry may find what the first call has made.
      const known = excused.includes(code) || (attempt > 0 && (code === 'already_exists' || code === 'not_found'))
      if (!known && kills() === before) fault(`${what}: ${code}: ${explain(err)}`)
      if (!excused.includes(code)) return undefined
      tally.retries++
      await sleep(250)
    }
  }
  fault(`${what}: no answer`)
  return undefined
}

async function cycle({ client: { runtime }, world }: TestNode, name: string, image: string): Promise<void> {
  const kills = () => tally.kills
  const config = {
    metadata: { name, namespace: 'soak', uid: `uid-${name}`, attempt: 0 },
    logDirectory: `${world.pods}/${name}`,
    linux: { securityContext: { namespaceOptions: { pid: Math.random() < 0.2 ? 0 : 1 } } },
  }
  const made = await insist('run', () => runtime.runPodSandbox({ config }), kills)
  const podSandboxId = made?.podSandboxId
  if (podSandboxId === undefined) return clear({ runtime }, name)
  const container = {
    metadata: { name: 'c', attempt: 0 },
    image: { image },
    command: ['sh', '-c', Math.random() < 0.3 ? 'exit 7' : 'trap "exit 0" TERM; sleep 1000 & wait'],
    logPath: 'c.log',
    linux: { securityContext: { namespaceOptions: { pid: config.linux.securityContext.namespaceOptions.pid } } },
  }
  const ends = container.command[2] === 'exit 7'
  const created = await insist(
    'create',
    () => runtime.createContainer({ podSandboxId, config: container, sandboxConfig: config }),
    kills,
  )
  const containerId = created?.containerId
  if (containerId !== undefined) {
    await insist('start', () => runtime.startContainer({ containerId }), kills)
    for (let i = 0; i < 3; i++) {
      await sleep(Math.random() * 2000)
      if (!ends) await insist('exec', () => runtime.execSync({ containerId, cmd: ['true'], timeout: 20n }), kills)
    }
    const answer = await insist('status', () => runtime.containerStatus({ containerId }), kills)
    const { state, exitCode } = answer?.status ?? {}
    if (ends && (state !== ContainerState.CONTAINER_EXITED || exitCode !== 7))
      fault(`${containerId}: state ${state}, exit ${exitCode}, expected 7`)
    if (!ends && state === ContainerState.CONTAINER_EXITED) fault(`${containerId} died: exit ${exitCode}`)
    await insist('stop', () => runtime.stopContainer({ containerId, timeout: 5n }), kills)
  }
  await insist('stop pod', () => runtime.stopPodSandbox({ podSandboxId }), kills)
  await insist('remove pod', () => runtime.removePodSandbox({ podSandboxId }), kills)
}

/** A pod whose id was lost with the answer. */
async function clear({ runtime }: Pick<TestNode['client'], 'runtime'>, name: string): Promise<void> {
  const listed = await insist(
    'list',
    () => runtime.listPodSandbox({}),
    () => tally.kills,
  )
  for (const { id } of listed?.items.filter(({ metadata }) => metadata?.name === name) ?? []) {
    await insist(
      'remove lost pod',
      () => runtime.removePodSandbox({ podSandboxId: id }),
      () => tally.kills,
    )
  }
}

async function worker(node: TestNode, n: number, image: string): Promise<void> {
  for (let i = 0; performance.now() < untilMs; i++) {
    const start = performance.now()
    await cycle(node, `w${n}-${i}`, image)
    tally.cycles.push(performance.now() - start)
  }
}

async function killer(node: TestNode, everyMs: number): Promise<void> {
  while (performance.now() + everyMs < untilMs) {
    await sleep(everyMs * (0.5 + Math.random()))
    tally.kills++
    await node.kill9()
    await sleep(Math.random() * 1500)
    await node.restart()
    tally.kills++
  }
}

async function main(): Promise<number> {
  await using registry = await startRegistry()
  const { busybox } = await pushTestImages(registry)
  const node = await startNode({
    config: `[registries."${registry.host}"]\ninsecure = true\n`,
    ...(values.runtime === undefined ? {} : { runtime: values.runtime }),
  })
  try {
    await node.client.image.pullImage({ image: { image: busybox } })
    const workers = Array.from({ length: Number(values.pods) }, (_value, n) => worker(node, n, busybox))
    await Promise.all([...workers, killer(node, Number(values['kill-every']) * 1000)])
    const { items } = await node.client.runtime.listPodSandbox({})
    if (items.length > 0) fault(`${items.length} pods left: ${items.map(({ metadata }) => metadata?.name).join(' ')}`)
  } finally {
    // Fails when anything is left on the machine.
    try {
      await node[Symbol.asyncDispose]()
    } catch (err) {
      fault(explain(err))
    }
  }
  const sorted = tally.cycles.toSorted((a, b) => a - b)
  const p = (part: number) => Math.round(sorted[Math.floor(sorted.length * part)] ?? 0)
  console.log(
    `${sorted.length} pods, ${tally.kills / 2} kills, ${tally.retries} retries, cycle p50 ${p(0.5)} ms p99 ${p(0.99)} ms, ${tally.faults.length} faults`,
  )
  return tally.faults.length === 0 ? 0 : 1
}

process.exitCode = await main()
