import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { KeyedLock } from './keyed-lock.ts'
import { Limiter } from './limiter.ts'
import { SingleFlight } from './single-flight.ts'
import { StageHistory } from './stage-history.ts'
import { beginStage, currentStage, inStage, listenToStages, noteSubject, type Stage, stage, stagesUnderWay } from './stages.ts'
import { hangsIn } from './why.ts'

const never = new AbortController().signal
const hang = () => Promise.withResolvers<void>()

test('a stage is known while it runs and belongs to the one around it', async () => {
  const blocked = hang()
  const ended: [string, string | undefined, boolean][] = []
  using _listening = listenToStages({ ended: ({ kind }, { error, isRoot }) => void ended.push([kind, error, isRoot]) })
  const work = stage(['call', ''], async () => {
    noteSubject({ pod: 'default/web' })
    await assert.rejects(
      stage(['registry', 'one'], () => Promise.reject(new Error('no answer'))),
      /no answer/,
    )
    await stage(['registry', 'two'], () => blocked.promise, { detail: () => '3 of 5 bytes' })
  })
  await turn()
  const [root, ...others] = [...stagesUnderWay()]
  assert.deepEqual(others, [])
  assert.ok(root)
  assert.deepEqual(root.subject, { pod: 'default/web' })
  assert.match(
    hangsIn(root),
    /^registry two, for \d+ ms since [\d:]{8} \(3 of 5 bytes\); tried: registry one failed after \d+ ms: no answer$/,
  )
  blocked.resolve()
  await work
  assert.deepEqual([...stagesUnderWay()], [])
  assert.equal(hangsIn(root), '')
  assert.deepEqual(ended, [
    ['registry', 'no answer', false],
    ['registry', undefined, false],
    ['call', undefined, true],
  ])
})

test('a part that its caller has left behind tells where it is itself, and so does what follows it', async () => {
  const blocked = [hang(), hang()] as const
  const caller = beginStage(['StopPodSandbox', ''], { owner: 'StopPodSandbox (request r1)', subject: { pod: 'a/b' } })
  const work = inStage(caller, async () => {
    await stage(['CNI DEL', 'plugin x'], () => blocked[0].promise)
    await stage(['unmount', 'y'], () => blocked[1].promise)
  })
  caller.end('the caller left')
  const [first] = [...stagesUnderWay()]
  assert.ok(first)
  assert.match(hangsIn(first), /^CNI DEL plugin x, for/)
  assert.equal(first.owner, 'StopPodSandbox (request r1)')
  blocked[0].resolve()
  await turn()
  assert.equal(hangsIn(first), '')
  const [second] = [...stagesUnderWay()]
  assert.ok(second)
  assert.match(hangsIn(second), /^unmount y, for/)
  blocked[1].resolve()
  await work
  assert.deepEqual([...stagesUnderWay()], [])
})

test('work that outlives its caller stays known, under the owner who asked for it', async () => {
  const blocked = hang()
  const caller = beginStage(['RunPodSandbox', ''], { owner: 'RunPodSandbox (request r1)', subject: { pod: 'a/b' } })
  const flights = new SingleFlight<void>('run pod')
  const first = inStage(caller, () => flights.join('key', never, () => stage(['CNI ADD', 'plugin x'], () => blocked.promise)))
  await turn()
  assert.match(hangsIn(caller), /^CNI ADD plugin x, for/)
  const second = beginStage(['RunPodSandbox', ''], { owner: 'RunPodSandbox (request r2)' })
  const joined = inStage(second, () => flights.join('key', never, () => assert.fail('runs twice')))
  await turn()
  assert.match(
    hangsIn(second),
    /^shared work run pod, for .*: waits for run pod of RunPodSandbox \(request r1\), which is in CNI ADD plugin x, for \d+ ms/,
  )
  caller.end('the caller left')
  const orphan = [...stagesUnderWay()].find(({ kind }) => kind === 'run pod')
  assert.equal(orphan?.owner, 'RunPodSandbox (request r1)')
  assert.deepEqual(orphan?.subject, { pod: 'a/b' })
  blocked.resolve()
  await Promise.all([first, joined])
  second.end(undefined)
  assert.deepEqual([...stagesUnderWay()], [])
})

test('who waits for a lock is told who holds it and where the holder is', async () => {
  const locks = new KeyedLock('pod')
  const blocked = hang()
  const holder = stage(['StopPodSandbox', ''], async () => {
    using _lock = await locks.lock('p1', never)
    await stage(['CNI DEL', 'plugin bridge'], () => blocked.promise)
  })
  await turn()
  let waiting: Stage | undefined
  const waiter = stage(['RemovePodSandbox', ''], async () => {
    waiting = currentStage()
    using _lock = await locks.lock('p1', never)
    // The holder is the waiter now.
    await turn()
  })
  await turn()
  assert.ok(waiting)
  assert.match(hangsIn(waiting), /^pod lock p1, for .*: waits for StopPodSandbox, which is in CNI DEL plugin bridge, for/)
  blocked.resolve()
  await Promise.all([holder, waiter])
  assert.deepEqual([...stagesUnderWay()], [])
})

test('two that wait for each other are told in finite words', async () => {
  const locks = new KeyedLock('pod')
  const patience = new AbortController()
  const cross = (name: string, first: string, second: string) =>
    stage([name, ''], async () => {
      using _first = await locks.lock(first, never)
      await turn()
      using _second = await locks.lock(second, patience.signal)
    })
  const work = [cross('one', 'a', 'b'), cross('two', 'b', 'a')]
  await turn()
  await turn()
  const [one] = [...stagesUnderWay()]
  assert.ok(one)
  assert.ok(hangsIn(one).length < 5000)
  assert.match(hangsIn(one), /^pod lock b.*waits for two, which is in pod lock a/)
  patience.abort(new Error('enough'))
  assert.deepEqual(
    (await Promise.allSettled(work)).map(({ status }) => status),
    ['rejected', 'rejected'],
  )
})

test('a limiter names what there is too little of', async () => {
  const limiter = new Limiter(1, 'download slot')
  const blocked = hang()
  const first = limiter.run(never, () => blocked.promise)
  const root = beginStage(['pull', ''])
  const second = inStage(root, () => limiter.run(never, async () => {}))
  await turn()
  assert.match(hangsIn(root), /^download slot, for/)
  blocked.resolve()
  await Promise.all([first, second])
  root.end(undefined)
})

test('the history keeps what failed on its way, and not what was refused at the door', async () => {
  using history = new StageHistory(2)
  await assert.rejects(stage(['refused', ''], () => Promise.reject(new Error('no such pod'))))
  for (const n of [1, 2, 3]) {
    await assert.rejects(
      stage(['call', String(n)], () => stage(['CNI ADD', 'plugin x'], () => Promise.reject(new Error(`no address ${n}`)))),
    )
  }
  await stage(['fast', ''], () => stage(['part', ''], () => {}))
  assert.deepEqual(
    history.past().map(({ kind, on, error, done }) => [kind, on, error, done.map((part) => part.kind)]),
    [
      ['call', '2', 'no address 2', ['CNI ADD']],
      ['call', '3', 'no address 3', ['CNI ADD']],
    ],
  )
})

test('long errors are cut', async () => {
  using history = new StageHistory()
  const fail = () => Promise.reject(new Error('x'.repeat(100_000)))
  await assert.rejects(stage(['call', ''], () => stage(['CNI ADD', ''], fail)))
  const [work] = history.past()
  assert.equal(work?.error?.length, 2000)
  assert.equal(work?.done[0]?.error?.length, 2000)
})

test('a stage that begins in the context of one that has ended stands alone', async () => {
  const over = beginStage(['call', ''], { owner: 'call r1' })
  over.end(undefined)
  const late = inStage(over, () => beginStage(['cleanup', '']))
  assert.deepEqual([...stagesUnderWay()], [late])
  assert.equal(late.owner, 'call r1')
  late.end(undefined)
})
