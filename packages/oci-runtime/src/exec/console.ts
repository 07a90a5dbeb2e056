// exec with a terminal: the runtime makes it and sends its master end over the console socket (runc's docs/terminals.md).
import { closeSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { ReadStream } from 'node:tty'
import { delay } from '@coracle/base/signals'
import type { ChildHandle, FdReceiver } from '@coracle/host'
import type { RuntimeContext } from '../context.ts'
import { drainedOutput, emptyOutput, readerOf } from './drain.ts'
import { endStarting, execArguments, type Running, type SpawnRequest } from './session.ts'

/** Several times the pause between two looks at the console socket. */
const onTheWayMs = 100

let serial = 0

export async function spawnWithConsole(ctx: RuntimeContext, request: SpawnRequest): Promise<Running> {
  mkdirSync(ctx.socketDirectory, { recursive: true, mode: 0o700 })
  const path = join(ctx.socketDirectory, `${process.pid.toString(36)}.${(++serial).toString(36)}`)
  rmSync(path, { force: true })
  using receiver = await ctx.deps.sockets.receiveFd(path)
  const { child, stderr } = await spawn(ctx, request, path)
  const common = { child, stderr, pipes: [] }
  const fd = await receiveOrEnd(receiver, child, request.signal).catch(async (err: unknown) => {
    stderr.close()
    await endStarting(ctx, { ...request, child, pipes: [] })
    throw err
  })
  // It could not start the process: the caller finds its words on stderr.
  if (fd === undefined) return { ...common, stdin: undefined, stdout: emptyOutput(), terminal: { resize: () => {} } }
  const terminal = new ReadStream(fd)
  // EIO: the last process has closed its end (pty(7)). That is the end of the output.
  terminal.on('error', () => {})
  return {
    ...common,
    stdin: request.stdin ? inputOf(terminal) : undefined,
    stdout: drainedOutput(terminal),
    terminal: {
      resize(size) {
        if (!terminal.destroyed) ctx.deps.sockets.setTerminalSize(fd, size)
      },
    },
  }
}

async function spawn(ctx: RuntimeContext, { paths, files }: SpawnRequest, socket: string) {
  const pipe = ctx.deps.processes.pipe()
  try {
    const child = await ctx.deps.processes.start({
      argv: [ctx.program, ...execArguments(ctx, files), `--console-socket=${socket}`, paths.id],
      env: ctx.env,
      stdio: ['ignore', 'ignore', pipe.write],
    })
    return { child, stderr: drainedOutput(readerOf(pipe.read)) }
  } catch (err) {
    closeSync(pipe.read)
    throw err
  } finally {
    closeSync(pipe.write)
  }
}

/** Undefined when the runtime ended without sending one. */
async function receiveOrEnd(receiver: FdReceiver, child: ChildHandle, signal: AbortSignal): Promise<number | undefined> {
  const ended = new AbortController()
  const received = receiver.receive(AbortSignal.any([signal, ended.signal])).catch((err: unknown) => {
    if (signal.aborted) throw err
    return undefined
  })
  // A short command ends before its terminal was looked for: what is on the way is still taken.
  void child.exited.then(() => delay(onTheWayMs)).then(() => ended.abort())
  // It obeys the signal; left alone with it, a terminal that comes at that very moment would have no owner.
  return received
}

// A terminal has no half-close: the end of the input changes nothing.
function inputOf(terminal: ReadStream): Writable {
  const input = new Writable({
    write: (chunk: Buffer, _encoding, done) => void terminal.write(chunk, (err) => done(err ?? null)),
  })
  input.on('error', () => {})
  return input
}
