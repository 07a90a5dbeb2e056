import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ListPodSandboxStatsResponseSchema } from '@coracle/cri-api'
import { create } from '@coracle/cri-api/protobuf'
import { frame, plainTable } from './frame.ts'
import { containerRows, podRows, type Snapshot, sorted } from './rows.ts'

const second = 1_000_000_000n

function snapshot(atS: bigint, pods: readonly { name: string; cpuS: bigint; memory: bigint; rx: bigint }[]): Snapshot {
  const timestamp = atS * second
  const value = (n: bigint) => ({ value: n })
  return create(ListPodSandboxStatsResponseSchema, {
    stats: pods.map(({ name, cpuS, memory, rx }) => ({
      attributes: { id: `${name}-pod`.padEnd(64, '0'), metadata: { name, namespace: 'ns', uid: name } },
      linux: {
        cpu: { timestamp, usageCoreNanoSeconds: value(cpuS * second) },
        memory: { timestamp, workingSetBytes: value(memory), availableBytes: value(memory) },
        network: { timestamp, defaultInterface: { name: 'eth0', rxBytes: value(rx), txBytes: value(0n) } },
        process: { timestamp, processCount: value(3n) },
        containers: [
          {
            attributes: { id: `${name}-c`.padEnd(64, '0'), metadata: { name: 'main', attempt: 0 } },
            cpu: { timestamp, usageCoreNanoSeconds: value(cpuS * second) },
            memory: { timestamp, workingSetBytes: value(memory) },
            writableLayer: { timestamp, usedBytes: value(memory / 2n) },
          },
        ],
      },
    })),
  }).stats
}

const before = snapshot(100n, [
  { name: 'a', cpuS: 1n, memory: 1000n, rx: 0n },
  { name: 'b', cpuS: 1n, memory: 5000n, rx: 100n },
])
const after = snapshot(102n, [
  { name: 'a', cpuS: 2n, memory: 1000n, rx: 0n },
  { name: 'b', cpuS: 1n, memory: 5000n, rx: 4100n },
  { name: 'new', cpuS: 9n, memory: 10n, rx: 0n },
])

test('rows have rates over the time between two looks', () => {
  const pods = podRows(before, after)
  assert.deepEqual(
    pods.map(({ name, cpuPercent, memoryPercent, receivedBytesPerSecond, tasks }) => [
      name,
      cpuPercent,
      memoryPercent,
      receivedBytesPerSecond,
      tasks,
    ]),
    [
      ['ns/a', 50, 50, 0, 3],
      ['ns/b', 0, 50, 2000, 3],
      ['ns/new', undefined, 50, 0, 3],
    ],
  )
  const [first] = containerRows(before, after)
  assert.deepEqual(
    [first?.name, first?.pod, first?.cpuPercent, first?.memoryPercent, first?.diskBytes],
    ['main', 'ns/a', 50, undefined, 500],
  )
})

test('rows are sorted, and equal ones keep their places', () => {
  const names = (key: 'cpu' | 'mem' | 'net' | 'name') => sorted(podRows(before, after), key).map(({ name }) => name)
  assert.deepEqual(names('cpu'), ['ns/a', 'ns/b', 'ns/new'])
  assert.deepEqual(names('mem'), ['ns/b', 'ns/a', 'ns/new'])
  assert.deepEqual(names('net'), ['ns/b', 'ns/a', 'ns/new'])
  assert.deepEqual(names('name'), ['ns/a', 'ns/b', 'ns/new'])
})

test('a frame fits the terminal, whatever its size and the names', () => {
  const rows = podRows(before, after).map((row) => ({ ...row, name: `${row.name}\u001b[2J\r\n` }))
  const picture = { rows, view: 'pods', sort: 'cpu', seconds: 2 } as const
  for (const size of [
    { columns: 80, rows: 24 },
    { columns: 20, rows: 4 },
    { columns: 1, rows: 1 },
    { columns: 300, rows: 5 },
  ]) {
    const lines = frame(picture, size, (_paint, text) => text)
    assert.equal(lines.length, size.rows)
    for (const line of lines) {
      assert.ok(line.length <= size.columns)
      assert.doesNotMatch(line, /\p{Cc}/u)
    }
  }
  assert.match(frame(picture, { columns: 200, rows: 4 }, (_paint, text) => text).at(-1) ?? '', /\(2 more\)/)
  assert.match(frame({ ...picture, problem: 'no daemon' }, { columns: 80, rows: 6 }, (_p, text) => text)[2] ?? '', /no daemon/)
  assert.match(plainTable({ ...picture, rows: podRows(before, after) }), /^POD ID +POD +CPU %[\s\S]*ns\/a +50\.0 /)
})
