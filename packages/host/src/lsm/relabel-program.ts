// Relabels one tree, in a process of its own: it may take hours, and it may hang with the volume. The task comes as a JSON line on stdin, where
// it is goes to stdout as JSON lines.
import { readFileSync } from 'node:fs'
import { explain } from '@coracle/base/errors'
import { loadUnpackSyscalls } from '../unpack-syscalls.ts'
import type { RelabelMessage, RelabelTask } from './relabel.ts'
import { identityOf, type Position, relabelTree } from './relabel-walk.ts'

const reportMs = 500

const say = (message: RelabelMessage) => process.stdout.write(`${JSON.stringify(message)}\n`)

function main(): void {
  // The daemon's own words.
  const task = JSON.parse(readFileSync(0, 'utf8')) as RelabelTask
  const sys = loadUnpackSyscalls()
  const identity = identityOf(task.path)
  const same = task.identity === identity
  const label = Buffer.from(`${task.label}\0`)
  const counts = { changed: 0, right: 0, left: 0, skipped: 0 }
  const done = same && task.finished && sys.xattr(Buffer.from(task.path), task.attribute)?.equals(label) === true
  if (!done) {
    let last = performance.now()
    const onDone = (position: Position) => {
      if (performance.now() - last < (task.reportMs ?? reportMs)) return
      last = performance.now()
      say({ identity, after: position.map((name) => name.toString('base64')) })
    }
    const after = same && !task.finished ? task.after.map((name) => Buffer.from(name, 'base64')) : []
    relabelTree(task.path, { sys, attribute: task.attribute, label, onDone, counts }, after)
  }
  say({ identity, counts })
}

try {
  main()
} catch (err) {
  process.stderr.write(explain(err))
  process.exitCode = 1
}
