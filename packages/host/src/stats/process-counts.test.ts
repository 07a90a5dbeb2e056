import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { countProcesses } from './process-counts.ts'

test('countProcesses() counts open files and sockets', async () => {
  const before = await countProcesses([process.pid])
  await using server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const after = await countProcesses([process.pid])
  assert.equal(after.processes, 1)
  assert.equal(after.fileDescriptors, before.fileDescriptors + 1)
  assert.equal(after.sockets, before.sockets + 1)
})

test('countProcesses() lets others work while it counts very many', async () => {
  const fds = Array.from({ length: 500 }, () => openSync('/dev/null', 'r'))
  let ticks = 0
  const ticking = setInterval(() => ticks++, 1)
  try {
    const { fileDescriptors } = await countProcesses(Array.from({ length: 100 }, () => process.pid))
    assert.ok(fileDescriptors > 50_000)
    assert.ok(ticks >= 2, `${ticks} turns of the event loop`)
  } finally {
    clearInterval(ticking)
    for (const fd of fds) closeSync(fd)
  }
})
