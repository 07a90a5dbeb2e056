// What the tests of moving images stand on: the registry of the run, a directory of their own, and the programs by name.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { run } from '@coracle/testkit/program'
import { startRegistry } from '@coracle/testkit/registry'
import { openRegistry } from '../cri/suite.ts'

export const coraclePath = fileURLToPath(new URL('../../bin/coracle', import.meta.url))

export class MovingWorld implements AsyncDisposable {
  readonly directory: string
  readonly host: string
  readonly images: Awaited<ReturnType<typeof openRegistry>>['images']
  readonly #registry: AsyncDisposable

  /** Whose store `coracle` works on; without one only commands that need none. */
  socket: string | undefined

  private constructor(directory: string, opened: Awaited<ReturnType<typeof openRegistry>>) {
    this.directory = directory
    this.host = opened.registry.host
    this.images = opened.images
    this.#registry = opened.registry
  }

  static async open(): Promise<MovingWorld> {
    return new MovingWorld(makeOwnDirectory('coracle-moving-'), await openRegistry())
  }

  /** With an empty registry of its own. */
  static async openAlone({ images }: Pick<MovingWorld, 'images'>): Promise<MovingWorld> {
    return new MovingWorld(makeOwnDirectory('coracle-moving-'), { registry: await startRegistry(), images })
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Standard output of a command that must succeed. */
  async ok(...argv: readonly [string, ...string[]]): Promise<string> {
    const { exitCode, stdout, stderr } = await run(argv, 120_000)
    assert.equal(exitCode, 0, `${argv.join(' ')}: ${stderr}`)
    return stdout.trim()
  }

  coracle(...args: readonly string[]): Promise<string> {
    return this.ok(coraclePath, ...this.#endpoint(), ...args)
  }

  /** Standard error of a command that must fail. */
  async fails(...args: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await run([coraclePath, ...this.#endpoint(), ...args], 120_000)
    assert.notEqual(exitCode, 0, `${args.join(' ')} succeeded: ${stdout}`)
    return stderr.trim()
  }

  #endpoint(): string[] {
    return this.socket === undefined ? [] : ['-r', `unix://${this.socket}`]
  }

  skopeo(...args: readonly string[]): Promise<string> {
    return this.ok('skopeo', ...args)
  }

  /** Digest of the manifest or index at a place, as skopeo sees it. */
  async digestOf(location: string): Promise<string> {
    const insecure = location.startsWith('docker://') ? ['--tls-verify=false'] : []
    const { exitCode, stdout, stderr } = await run(['skopeo', 'inspect', '--raw', ...insecure, location], 60_000)
    assert.equal(exitCode, 0, stderr)
    return `sha256:${createHash('sha256').update(stdout).digest('hex')}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
    await this.#registry[Symbol.asyncDispose]()
  }
}
