// A place to run specs in: a root file system of busybox, the pod's namespaces and files, a cgroup, and plain `crun run` / `runc run`.
import { cpSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import { belong, makeOwnDirectory } from '@coracle/testkit/belongings'
import { type Output, type Program, run, startProgram } from '@coracle/testkit/program'
import { createSpec } from '../src/spec.ts'
import type { PodFacts, SpecInput } from '../src/spec-input.ts'
import { host, input, podFacts } from '../test/sample-input.ts'

export class Sandbox implements AsyncDisposable {
  readonly directory = makeOwnDirectory('coracle-spec-')
  readonly rootfs = join(this.directory, 'rootfs')
  readonly cgroup = `/coracle-spec-${process.pid}`
  pod: PodFacts = podFacts()
  readonly #cgroupOwned = belong({ kind: 'cgroup', path: this.cgroup })
  #holder: Program | undefined
  #count = 0

  static async create(): Promise<Sandbox> {
    const sandbox = new Sandbox()
    makeRootfs(sandbox.rootfs)
    for (const name of ['resolv.conf', 'hostname', 'hosts']) writeFileSync(join(sandbox.directory, name), `${name} of the pod\n`)
    mkdirSync(join(sandbox.directory, 'shm'), { mode: 0o1777 })
    const holder = await startProgram({
      argv: ['/usr/bin/unshare', '--net', '--ipc', '--uts', '/bin/busybox', 'sleep', '600'],
      logPath: join(sandbox.directory, 'holder.log'),
    })
    sandbox.#holder = holder
    while (
      (await run(['/bin/readlink', `/proc/${holder.pid}/ns/uts`])).stdout ===
      (await run(['/bin/readlink', '/proc/self/ns/uts'])).stdout
    );
    const file = (name: string) => join(sandbox.directory, name)
    sandbox.pod = podFacts({
      netnsPath: `/proc/${holder.pid}/ns/net`,
      ipcnsPath: `/proc/${holder.pid}/ns/ipc`,
      utsnsPath: `/proc/${holder.pid}/ns/uts`,
      resolvConfPath: file('resolv.conf'),
      hostnamePath: file('hostname'),
      hostsPath: file('hosts'),
      shmPath: file('shm'),
      cgroupParent: sandbox.cgroup,
    })
    return sandbox
  }

  input(init: Partial<SpecInput>): SpecInput {
    return input({ id: `spec-${process.pid}-${this.#count++}`, pod: this.pod, host, rootfsPath: this.rootfs, ...init })
  }

  /** Creates the spec and runs it to its end. */
  run(runtime: string, init: Partial<SpecInput>): Promise<Output> {
    const made = this.input(init)
    return this.runSpec(runtime, made.id, createSpec(made).spec)
  }

  async runSpec(runtime: string, id: string, spec: RuntimeSpec): Promise<Output> {
    const bundle = join(this.directory, id)
    mkdirSync(bundle)
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec))
    return await run([runtime, '--root', join(this.directory, 'state'), 'run', '--bundle', bundle, id], 30_000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder?.stop()
    for (const name of readdirSync('/sys/fs/cgroup')) {
      const path = join('/sys/fs/cgroup', name, this.cgroup)
      if (existsSync(path)) rmdirSync(path)
    }
    this.#cgroupOwned.release()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

const applets =
  'sh cat echo id ls mount grep sed wc head readlink touch mkdir stat hostname sleep true false test chmod dd df unshare sysctl kill mknod pwd env umask cut tr tail ping nc'.split(
    ' ',
  )

function makeRootfs(rootfs: string): void {
  for (const directory of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'usr', 'data'])
    mkdirSync(join(rootfs, directory), { recursive: true })
  cpSync('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const name of applets) symlinkSync('busybox', join(rootfs, 'bin', name))
  // For programs of the host below a bind-mounted /usr.
  symlinkSync('usr/lib', join(rootfs, 'lib'))
  symlinkSync('usr/lib64', join(rootfs, 'lib64'))
}
