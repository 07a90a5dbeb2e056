// A small ext4 of its own in a file, to be filled and broken.
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import { run } from './program.ts'

export interface LoopDisk extends AsyncDisposable {
  /** Where it is mounted. */
  readonly directory: string
  /** As after an error that the file system has found: every write fails with EROFS, until it is unmounted, also through what is open. */
  breakDown(): Promise<void>
  /** Unmounts it, repairs it and mounts it again. Nothing on it may be open. */
  mend(): Promise<void>
}

export interface LoopDiskOptions {
  readonly sizeMiB: number
  /** About as many files as it can have. Default: those of mkfs(8). */
  readonly inodes?: number
}

/** `directory` must not exist, and is removed at the end, with the file beside it. */
export async function makeLoopDisk(directory: string, { sizeMiB, inodes }: LoopDiskOptions): Promise<LoopDisk> {
  const file = `${directory}.ext4`
  await mkdir(directory)
  await writeFile(file, '')
  await truncate(file, sizeMiB * 1024 * 1024)
  await ok('mkfs.ext4', '-q', '-m', '0', ...(inodes === undefined ? [] : ['-N', String(inodes)]), file)
  const mount = () => ok('mount', '-o', 'loop,errors=remount-ro', file, directory)
  await mount()
  await rm(join(directory, 'lost+found'), { recursive: true })
  return {
    directory,
    breakDown: () => ok('mount', '-o', 'remount,abort', directory),
    async mend() {
      await ok('umount', directory)
      // Whatever shares our mounts for the moment, a container being made, holds it too: mounted again it would be as broken as before.
      await eventually('the disk is free', async () => (await run(['losetup', '-j', file])).stdout.trim() === '')
      const { exitCode, stderr } = await run(['e2fsck', '-fy', file])
      // 1: errors were corrected.
      if (exitCode > 1) throw new Error(`e2fsck: ${stderr}`)
      await mount()
    },
    async [Symbol.asyncDispose]() {
      await run(['umount', directory])
      await rm(directory, { recursive: true, force: true })
      await rm(file)
    },
  }
}

async function ok(...argv: readonly [string, ...string[]]): Promise<void> {
  const { exitCode, stderr } = await run(argv)
  if (exitCode !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`)
}
