import { monotonicMs } from '@coracle/base/clock'
import { CodedError, explain } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import { logger } from '@coracle/base/log'
import { abortable, delay } from '@coracle/base/signals'
import { beginStage, inStage, type Stage, stage } from '@coracle/base/stages'
import { runtimeOf } from '../handlers.ts'
import { containerPaths } from '../layout.ts'
import { type Container, isLive, isRunning } from '../model/container.ts'
import type { Services } from '../services.ts'
import { cleanUpAfterExit, watchContainer } from './exit.ts'
import { sendStopSignal } from './stop-signal.ts'

const log = logger('lifecycle')

const SIGKILL = 9
/** How long SIGKILL is repeated before the caller is told that the process does not go away. */
const killPatienceMs = 120_000

/** One container being stopped; a later request may shorten the grace, never lengthen it. */
export interface StopOperation {
  readonly done: Promise<void>
  readonly stage: Stage
  /** Whether SIGKILL was sent: from then on nothing new may be started inside. */
  isKilling(): boolean
  shorten(graceMs: number): void
}

/**
 * Asks a running container to end with its stop signal, and kills it after the grace. Unknown, ended, and not yet started
 * containers: succeeds; but one that is being started is waited for, within the grace. The kill happens even if the caller leaves.
 */
export async function stopContainer(
  services: Services,
  request: { readonly id: string; readonly graceMs: number },
  signal: AbortSignal,
): Promise<void> {
  const container = services.containers.find(request.id)
  if (container === undefined || !isLive(container)) return
  if (isRunning(container)) return abortable(stopLive(services, container, request.graceMs), signal)
  const start = services.startFlights.resultOf(container.id)
  if (start !== undefined) await abortable(stopStarting(services, { container, start, graceMs: request.graceMs }), signal)
}

interface StartUnderWay {
  readonly container: Container
  readonly start: Promise<void>
  readonly graceMs: number
}

/** Otherwise what the caller was told is stopped would run a moment later. */
async function stopStarting(services: Services, { container, start, graceMs }: StartUnderWay): Promise<void> {
  const until = monotonicMs() + graceMs
  const timer = new AbortController()
  const over = start.catch(() => {})
  await stage(['shared work', 'start container'], () =>
    Promise.race([over, delay(Math.min(graceMs, 2 ** 31 - 1), timer.signal).catch(() => {})]),
  )
  timer.abort()
  const now = services.containers.find(container.id)
  if (now !== undefined && isLive(now)) await stopLive(services, now, Math.max(0, until - monotonicMs()))
}

/** Kills everything of a pod without grace; for those not started too. */
export async function killContainers(services: Services, podId: string): Promise<void> {
  const live = [...services.containers.all()].filter((container) => container.podId === podId && isLive(container))
  await Promise.all(live.map((container) => stopLive(services, container, 0)))
}

export function stopLive(services: Services, container: Container, graceMs: number): Promise<void> {
  const running = services.stops.get(container.id)
  if (running !== undefined) {
    running.shorten(graceMs)
    return stage(['shared work', 'stop container'], () => running.done, { waitsFor: () => running.stage })
  }
  const operation = startStop(services, container, graceMs)
  services.stops.set(container.id, operation)
  const forget = () => services.stops.delete(container.id)
  operation.done.then(forget, forget)
  return operation.done
}

function startStop(services: Services, container: Container, graceMs: number): StopOperation {
  let deadline = monotonicMs() + graceMs
  let killing = false
  let wake = Promise.withResolvers<void>()
  const grace = async (exited: Promise<unknown>): Promise<boolean> => {
    for (;;) {
      const left = deadline - monotonicMs()
      if (left <= 0) return false
      const timer = new AbortController()
      const outcome = await Promise.race([
        exited.then(() => 'exited' as const),
        wake.promise.then(() => 'changed' as const),
        delay(Math.min(left, 2 ** 31 - 1), timer.signal).then(
          () => 'passed' as const,
          () => 'passed' as const,
        ),
      ])
      timer.abort()
      if (outcome === 'exited') return true
    }
  }
  const run = async () => {
    const current = services.containers.find(container.id)
    // It may have ended since the caller looked. One whose recovery failed is not watched yet.
    if (current !== undefined) watchContainer(services, current)
    const waiter = services.exits.get(container.id)
    if (waiter === undefined) return endUnwatched(services, container)
    const paths = containerPaths(services.settings, container.id)
    const runtime = runtimeOf(services, container)
    await failpoint('container.stop')
    if (isRunning(container) && deadline > monotonicMs()) {
      let over = false
      const ended = waiter.promise.then(() => {
        over = true
      })
      // A runtime that cannot send it is no reason not to kill at the end of the grace.
      const sent = sendStopSignal(services, container, () => over || deadline <= monotonicMs()).catch((err: unknown) =>
        log.warn('stop signal failed; waiting for the grace to pass', { containerId: container.id, error: err }),
      )
      const left = () => `${Math.max(0, Math.ceil((deadline - monotonicMs()) / 1000))} s left before it is killed`
      if (await stage(['grace period', 'after the stop signal'], () => grace(ended), { detail: left })) return
      await sent
    }
    killing = true
    const kill = () => runtime.kill(paths, SIGKILL, true)
    await stage(['kill', 'its processes, until all are gone'], () => killUntilGone(kill, waiter.promise, container.id))
  }
  const own = beginStage(['stop container', container.id], { subject: { containerId: container.id, podId: container.podId } })
  const done = inStage(own, run)
  done.then(
    () => own.end(undefined),
    (err: unknown) => own.end(explain(err)),
  )
  return {
    done,
    stage: own,
    isKilling: () => killing,
    shorten: (ms) => {
      deadline = Math.min(deadline, monotonicMs() + ms)
      const { resolve } = wake
      wake = Promise.withResolvers<void>()
      resolve()
    },
  }
}

async function killUntilGone(kill: () => Promise<void>, exited: Promise<void>, id: string): Promise<void> {
  const start = monotonicMs()
  let gone = false
  void exited.then(() => {
    gone = true
  })
  for (let pause = 1000; ; pause = Math.min(pause * 2, 15_000)) {
    try {
      await kill()
    } catch (err) {
      log.warn('kill failed', { containerId: id, error: err })
    }
    const timer = new AbortController()
    await Promise.race([exited, delay(pause, timer.signal).catch(() => {})])
    timer.abort()
    if (gone) return
    if (monotonicMs() - start > killPatienceMs) {
      throw new CodedError('deadline_exceeded', `container ${id} does not end after SIGKILL: a process may hang in the kernel`)
    }
  }
}

/** A created container without a process: the runtime had refused it. */
async function endUnwatched(services: Services, container: Container): Promise<void> {
  const current = services.containers.find(container.id)
  if (current === undefined || current.state.kind !== 'created') return
  const { failure } = current.state
  const exited = services.containers.put({
    ...current,
    state: {
      kind: 'exited',
      startedAt: 0n,
      finishedAt: current.createdAt,
      exitCode: 128,
      reason: 'StartError',
      message: failure ?? '',
    },
  })
  cleanUpAfterExit(services, exited)
}
