// exec without a terminal.
import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { RuntimeContext } from '../context.ts'
import { drainedOutput, readerOf } from './drain.ts'
import { execArguments, type Running, type SpawnRequest } from './session.ts'
import { pipeName } from './tree.ts'

export async function spawnWithPipes(ctx: RuntimeContext, { paths, files, stdin: wanted }: SpawnRequest): Promise<Running> {
  const { processes } = ctx.deps
  // Real pipes, not the sockets of child_process: a process in the container may open /dev/stdout again.
  const theirs: number[] = []
  const ours: number[] = []
  const pipe = (mine: 'read' | 'write') => {
    const ends = processes.pipe()
    theirs.push(mine === 'read' ? ends.write : ends.read)
    ours.push(ends[mine])
    return { ours: ends[mine], theirs: mine === 'read' ? ends.write : ends.read }
  }
  try {
    const stdin = pipe('write')
    // At its end, and not /dev/null: crun gives its stdio to the container's user, who could then close the host's own to others.
    if (!wanted) closeSync(ours.pop() ?? -1)
    const stdout = pipe('read')
    const stderr = pipe('read')
    const child = await processes.start({
      argv: [ctx.program, ...execArguments(ctx, files), paths.id],
      env: ctx.env,
      stdio: [stdin.theirs, stdout.theirs, stderr.theirs],
    })
    const pipes = theirs.map(pipeName)
    return {
      child,
      pipes,
      stdin: wanted ? writerOf(stdin.ours) : undefined,
      stdout: drainedOutput(readerOf(stdout.ours)),
      stderr: drainedOutput(readerOf(stderr.ours)),
      terminal: undefined,
    }
  } catch (err) {
    for (const fd of ours) closeSync(fd)
    throw err
  } finally {
    for (const fd of theirs) closeSync(fd)
  }
}

function writerOf(fd: number): Writable {
  const socket = new Socket({ fd, readable: false, writable: true })
  // A process need not read its input.
  socket.on('error', () => {})
  return socket
}
