// The images the system tests run, all made from Debian's busybox-static.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { run } from './program.ts'
import type { Registry } from './registry.ts'
import type { TarEntry } from './tar.ts'
import type { ImageSource } from './test-image.ts'

const BUSYBOX = '/bin/busybox'
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const PASSWD = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
app:x:1234:1235:An app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
`
const GROUP = `root:x:0:
www-data:x:33:
app:x:1235:
extra:x:4000:app
other:x:4001:www-data
nobody:x:65534:
`

/** References of the pushed images, complete with the registry's host. */
export interface TestImages {
  /** Cmd `sh`, no Entrypoint, root. */
  readonly busybox: string
  /** Another tag of the same image. */
  readonly busyboxAgain: string
  /** `repository@digest` of busybox's own manifest. */
  readonly busyboxByDigest: string
  /** Entrypoint `/bin/echo entry`, Cmd `cmd one`, Env FOO=image, WorkingDir /work, StopSignal SIGUSR1, a label. */
  readonly entry: string
  /** Neither Entrypoint nor Cmd. */
  readonly bare: string
  /** USER app: uid 1234, gid 1235, member of 4000. */
  readonly userName: string
  /** USER 1234:1236. */
  readonly userUid: string
  /** An index of two platforms, zstd layers. */
  readonly index: string
  /** Docker media types, uncompressed layers. */
  readonly docker: string
  /** Four layers of 3 MiB that do not compress: time to interrupt a pull. */
  readonly big: string
}

/** Pushes every image of TestImages. Takes a second. */
export async function pushTestImages(registry: Registry): Promise<TestImages> {
  const base = await busyboxLayer()
  const simple: ImageSource = { layers: [base], config: { Env: [PATH], Cmd: ['sh'] } }
  const put = async (name: string, source: ImageSource, tag = '1') => {
    await registry.push(`test/${name}`, tag, source)
    return `${registry.host}/test/${name}:${tag}`
  }
  const digest = await registry.push('test/busybox', '1', simple)
  return {
    busybox: `${registry.host}/test/busybox:1`,
    busyboxAgain: await put('busybox', simple, 'again'),
    busyboxByDigest: `${registry.host}/test/busybox@${digest}`,
    entry: await put('entry', {
      layers: [base, [{ path: 'work', type: 'directory' }]],
      config: {
        Env: [PATH, 'FOO=image', 'BAR=image'],
        Entrypoint: ['/bin/echo', 'entry'],
        Cmd: ['cmd', 'one'],
        WorkingDir: '/work',
        StopSignal: 'SIGUSR1',
        Labels: { 'test.label': 'yes' },
      },
    }),
    bare: await put('bare', { layers: [base], config: {} }),
    userName: await put('user-name', { ...simple, config: { ...simple.config, User: 'app' } }),
    userUid: await put('user-uid', { ...simple, config: { ...simple.config, User: '1234:1236' } }),
    index: await put('index', { ...simple, layers: [base, marker('index')], compression: 'zstd', index: true }),
    docker: await put('docker', { ...simple, layers: [base, marker('docker')], compression: 'none', format: 'docker' }),
    big: await put('big', { ...simple, layers: [base, ...Array.from({ length: 4 }, (_, at) => noise(`noise-${at}`))] }),
  }
}

const marker = (name: string): TarEntry[] => [{ path: `made-for-${name}`, body: name }]

const noise = (path: string): TarEntry[] => [{ path, body: randomBytes(3 << 20) }]

export async function busyboxLayer(): Promise<TarEntry[]> {
  const { stdout, exitCode } = await run([BUSYBOX, '--list'])
  if (exitCode !== 0) throw new Error(`${BUSYBOX} --list failed: is busybox-static installed?`)
  const applets = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox')
  const directories = ['bin', 'etc', 'root', 'home', 'var', 'proc', 'sys', 'dev', 'usr', 'usr/bin']
  return [
    ...directories.map((path): TarEntry => ({ path, type: 'directory' })),
    { path: 'home/app', type: 'directory', uid: 1234, gid: 1235 },
    { path: 'tmp', type: 'directory', mode: 0o1777 },
    { path: 'bin/busybox', body: readFileSync(BUSYBOX), mode: 0o755 },
    ...applets.map((name): TarEntry => ({ path: `bin/${name}`, type: 'symlink', link: 'busybox' })),
    { path: 'etc/passwd', body: PASSWD },
    { path: 'etc/group', body: GROUP },
  ]
}
