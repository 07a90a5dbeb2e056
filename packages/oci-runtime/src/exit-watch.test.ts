import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessIdentity } from '@coracle/host'
import type { RuntimeContext } from './context.ts'
import { ExitWatch } from './exit-watch.ts'
import type { ContainerPaths, Exit } from './oci-runtime.ts'
import { writeRecord } from './record.ts'

const never = new AbortController().signal
const monitor: ProcessIdentity = { pid: 11, startTime: 1n }
const init: ProcessIdentity = { pid: 12, startTime: 2n }

describe('the end of a container', () => {
  let paths: ContainerPaths
  let alive: Set<number>
  let oomKills: number
  let ctx: RuntimeContext
  let awake: NodeJS.Timeout

  beforeEach(() => {
    const directory = mkdtempSync(join(tmpdir(), 'coracle-exit-'))
    paths = { id: 'c1', bundle: join(directory, 'b'), state: join(directory, 's') }
    mkdirSync(paths.state)
    alive = new Set([monitor.pid, init.pid])
    oomKills = 0
    awake = setInterval(() => {}, 1000)
    const processes = { bootId: () => 'boot', isAlive: ({ pid }: ProcessIdentity) => alive.has(pid), signal: () => true }
    const cgroups = { exists: () => true, oomKills: () => oomKills }
    // Only these are asked for here.
    ctx = { deps: { processes, cgroups }, monitors: new Map() } as unknown as RuntimeContext
    writeRecord(paths, { boot: 'boot', monitor, init, cgroup: '/c', hooks: false, logPath: undefined })
  })

  afterEach(() => {
    clearInterval(awake)
    rmSync(join(paths.state, '..'), { recursive: true, force: true })
  })

  const writeExit = (text: string) => {
    writeFileSync(join(paths.state, 'exit.ABC'), text)
    renameSync(join(paths.state, 'exit.ABC'), join(paths.state, 'exit'))
  }
  const watched = (signal = never) => {
    const { promise, resolve } = Promise.withResolvers<Exit>()
    let calls = 0
    const watch = new ExitWatch(ctx)
    watch.watch(paths, signal, (exit) => {
      calls++
      resolve(exit)
    })
    return { exit: promise, watch, calls: () => calls }
  }

  test('is told by the file, once', async () => {
    const { exit, watch, calls } = watched()
    oomKills = 1
    writeExit('42')
    assert.deepEqual({ ...(await exit), finishedAt: 0n }, { exitCode: 42, finishedAt: 0n, oomKilled: true })
    writeExit('43')
    await sleep(50)
    assert.equal(calls(), 1)
    assert.equal(watch.size, 0)
  })

  test('was told before anybody watched', async () => {
    writeExit('7')
    assert.equal((await watched().exit).exitCode, 7)
  })

  test('is lost when both are gone, one second later', async () => {
    alive.clear()
    const startedAt = performance.now()
    assert.equal((await watched().exit).exitCode, 255)
    assert.ok(performance.now() - startedAt >= 950)
  })

  test('is not lost when the file comes late', async () => {
    alive.clear()
    const { exit } = watched()
    await sleep(300)
    writeExit('9')
    assert.equal((await exit).exitCode, 9)
  })

  test('of an adopted container is seen by the sweep', async () => {
    alive.delete(monitor.pid)
    const { exit, calls } = watched()
    await sleep(1300)
    assert.equal(calls(), 0)
    alive.clear()
    assert.equal((await exit).exitCode, 255)
  })

  test('is seen among many, each of which is looked at', async () => {
    alive.delete(monitor.pid)
    const watch = new ExitWatch(ctx)
    const exits = Array.from({ length: 50 }, () => new Promise<Exit>((resolve) => watch.watch(paths, never, resolve)))
    await sleep(100)
    alive.clear()
    for (const { exitCode } of await Promise.all(exits)) assert.equal(exitCode, 255)
    assert.equal(watch.size, 0)
  })

  test('is told to nobody after an abort', async () => {
    const controller = new AbortController()
    const { calls, watch } = watched(controller.signal)
    controller.abort()
    writeExit('1')
    await sleep(50)
    assert.equal(calls(), 0)
    assert.equal(watch.size, 0)
  })
})
