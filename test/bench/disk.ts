// File systems for the measurement: data on ext4 with a journal (loop-mounted), run state on tmpfs.
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { belong } from '@coracle/testkit/belongings'
import { run } from '@coracle/testkit/program'

const imageBytes = 8 * 1024 ** 3

async function mustRun(...argv: [string, ...string[]]): Promise<void> {
  const { exitCode, stderr } = await run(argv, 120_000)
  if (exitCode !== 0) throw new Error(`${argv.join(' ')}: ${stderr.trim()}`)
}

/** Mounts a new ext4 at `target`, backed by a sparse file in `scratchDir`. Disposing unmounts it and deletes the file. */
export async function mountExt4(target: string, scratchDir: string): Promise<AsyncDisposable> {
  const image = join(scratchDir, `coracle-bench-${process.pid}-${Date.now()}.img`)
  await using undo = new AsyncDisposableStack()
  undo.use(belong({ kind: 'file', path: image }))
  undo.defer(() => rm(image, { force: true }))
  const file = await open(image, 'wx', 0o600)
  await file.truncate(imageBytes)
  await file.close()
  await mustRun('mkfs.ext4', '-q', '-F', image)
  await mkdir(target, { recursive: true })
  const device = await openLoop(image)
  undo.defer(async () => {
    await run(['losetup', '-d', device])
  })
  await mustRun('mount', device, target)
  undo.defer(() => unmount(target))
  return undo.move()
}

/**
 * Past the page cache of the file system below where that can do it, as on a disk: otherwise everything that is synced, and only that, is
 * copied a second time in memory.
 */
async function openLoop(image: string): Promise<string> {
  const argv = ['losetup', '--find', '--show', '--direct-io=on', image] as const
  const direct = await run([...argv])
  const opened = direct.exitCode === 0 ? direct : await run(['losetup', '--find', '--show', image])
  const device = opened.stdout.trim()
  if (opened.exitCode !== 0 || device === '') throw new Error(`losetup ${image}: ${opened.stderr.trim()}`)
  return device
}

export async function mountTmpfs(target: string): Promise<AsyncDisposable> {
  await mkdir(target, { recursive: true })
  await mustRun('mount', '-t', 'tmpfs', '-o', 'mode=0711', 'tmpfs', target)
  return { [Symbol.asyncDispose]: () => unmount(target) }
}

/** With everything below it, deepest first. Detached when it stays busy. */
async function unmount(target: string): Promise<void> {
  const { stdout } = await run(['findmnt', '-rno', 'TARGET'])
  const below = stdout.split('\n').filter((path) => path === target || path.startsWith(`${target}/`))
  for (const path of below.toReversed()) {
    const { exitCode } = await run(['umount', path])
    if (exitCode !== 0) await run(['umount', '-l', path])
  }
}
