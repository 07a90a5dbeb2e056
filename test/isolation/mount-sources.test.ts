// Mount sources that somebody replaces between the daemon's look at them and the runtime's mount (CVE-2021-25741): the container has what
// was looked at. A runtime of ours in front of the real one does it at the worst moment, when the request has been checked.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { MountPropagation } from '@coracle/cri-api'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { run } from '@coracle/testkit/program'
import { failsWith } from '../cri/expect.ts'
import { type ContainerInit, type Cri, criSuite, type PodUnderTest } from '../cri/suite.ts'
import { pushImage } from './suite.ts'
import { ids, inside, mapped } from './userns-scene.ts'

const programs = { crun: '/usr/bin/crun', runc: '/usr/sbin/runc', runsc: '/usr/bin/runsc' } as const
type Kind = keyof typeof programs
const kinds = ['crun', 'runc', 'runsc'] as const

// Before a container is created each runs `KIND.swap`, if there is one, with the config.json of the container in the working directory.
const scripts = makeOwnDirectory('coracle-swap-')
const nameOf = (kind: Kind): string => `swapping-${kind}`
const config = kinds.map((kind) => {
  const path = join(scripts, kind)
  const swap = `${path}.swap`
  const script = `#!/bin/sh
for word in "$@"; do
  if [ "$word" = create ] && [ -e ${swap} ]; then sh ${swap} >&2 || exit 9; fi
done
exec ${programs[kind]} "$@"
`
  writeFileSync(path, script, { mode: 0o755 })
  return `[runtimes.${nameOf(kind)}]\npath = "${path}"\nkind = "${kind}"\n`
})

/** Runs `commands` at the moment between; how often they ran is told at the end. */
function swapping(kind: Kind, commands: string) {
  const path = join(scripts, `${kind}.swap`)
  writeFileSync(path, `set -e\necho >>${path}.ran\n${commands}\n`)
  return {
    get ran(): number {
      return readFileSync(`${path}.ran`, 'utf8').length
    },
    [Symbol.dispose]() {
      for (const file of [path, `${path}.ran`]) rmSync(file, { force: true })
    },
  }
}

/** A directory with what a pod asks for and, beside it, what it must not get. */
function volume(cri: Cri) {
  const path = join(cri.node.world.pods, cri.unique('swap-'))
  for (const name of ['secret', 'volume/below']) mkdirSync(join(path, name), { recursive: true })
  for (const name of ['secret/text', 'secret/below']) writeFileSync(join(path, name), 'secret')
  for (const name of ['volume/text', 'volume/below/deep']) writeFileSync(join(path, name), 'asked for')
  return { path, asked: join(path, 'volume'), secret: join(path, 'secret') }
}

const swaps: Readonly<Record<string, (asked: string, secret: string, path: string) => string>> = {
  'a link': (asked, secret) => `mv ${asked} ${asked}.away; ln -s ${secret} ${asked}`,
  'another of its kind': (asked, secret) => `mv ${asked} ${asked}.away; cp -r ${secret} ${asked}`,
  'a mount': (asked, secret) => `mount --bind ${secret} ${asked}`,
  'a link on the way': (_asked, _secret, path) =>
    `mv ${path} ${path}.away; mkdir ${path}.evil; cp -r ${path}.away/secret ${path}.evil/volume; ln -s ${path}.evil ${path}`,
}

async function undo(asked: string): Promise<void> {
  await run(['/bin/umount', '-l', asked])
}

criSuite(
  'mount sources that are replaced',
  (cri) => {
    after(() => rmSync(scripts, { recursive: true }))
    for (const kind of kinds) describe(kind, () => define(cri, kind))
  },
  { config: config.join('\n') },
)

function define(cri: Cri, kind: Kind): void {
  const handler = nameOf(kind)
  const shows = async (pod: PodUnderTest, container: ContainerInit, expected: Readonly<Record<string, string>>) => {
    const made = await pod.run({ command: ['sleep', '10000'], ...container })
    for (const [path, text] of Object.entries(expected)) assert.equal(await made.sh(`cat ${path}`), text, path)
    await made.remove()
  }

  for (const [name, swap] of Object.entries(swaps))
    it(`by ${name}: a directory and a file`, async () => {
      for (const [part, at] of [
        ['', '/data/text'],
        ['/text', '/data'],
      ]) {
        const { path, asked, secret } = volume(cri)
        await using pod = await cri.pod({}, handler)
        try {
          using swapped = swapping(kind, swap(`${asked}${part}`, `${secret}${part}`, path))
          await shows(pod, { mounts: [{ containerPath: '/data', hostPath: `${asked}${part}` }] }, { [at ?? '']: 'asked for' })
          assert.equal(swapped.ran, 1)
        } finally {
          await undo(`${asked}${part}`)
        }
      }
    })

  it('gone altogether: the container is not made, for a reason that names the mount', async () => {
    const { asked } = volume(cri)
    await using pod = await cri.pod({}, handler)
    using _swapped = swapping(kind, `rm -r ${asked}`)
    const mounts = [{ containerPath: '/data', hostPath: asked }]
    const reason = kind === 'runsc' ? /sandbox/ : new RegExp(`${asked}.*data`)
    await failsWith('failed_precondition', pod.run({ mounts }), reason)
  })

  it('a part of an image', async () => {
    const layers = [
      [
        { path: 'part', type: 'directory' as const },
        { path: 'part/text', body: 'asked for' },
      ],
    ]
    const image = { image: await pushImage(cri, `isolation/swap-${kind}`, { layers }) }
    const { secret } = volume(cri)
    const note = join(scripts, 'mounted')
    const commands = `d=$(awk '$5 ~ "^${cri.node.world.state}/.*/[0-9a-f]*[.]0(/|$)" { print $5; exit }' /proc/self/mountinfo)/part
test -d $d; mount --bind ${secret} $d; echo $d >${note}`
    await using pod = await cri.pod({}, handler)
    using swapped = swapping(kind, commands)
    const volumeOf = { containerPath: '/img', image, imageSubPath: 'part', readonly: true }
    const container = await pod.run({ command: ['sleep', '10000'], mounts: [volumeOf] })
    await undo(readFileSync(note, 'utf8').trim())
    assert.equal(await container.sh('cat /img/text'), 'asked for')
    assert.equal(swapped.ran, 1)
  })

  it('through links of the image, below another mount, beside what every container has', async () => {
    const { path, asked } = volume(cri)
    const other = join(path, 'other')
    mkdirSync(join(other, 'sub'), { recursive: true })
    writeFileSync(join(path, 'hosts'), '127.0.0.1 mine\n')
    writeFileSync(join(path, 'log'), '')
    const layers = [[{ path: 'var/run', type: 'symlink' as const, link: '/run' }]]
    const image = { image: await pushImage(cri, `isolation/links-${kind}`, { layers }) }
    await using _server = createServer().listen(join(path, 'socket'))
    await using pod = await cri.pod({}, handler)
    const mounts = [
      { containerPath: '/run', hostPath: other },
      { containerPath: '/var/run/sub', hostPath: asked },
      { containerPath: '/run/sub/below', hostPath: join(asked, 'below') },
      { containerPath: '/etc/hosts', hostPath: join(path, 'hosts') },
      { containerPath: '/dev/termination-log', hostPath: join(path, 'log') },
      { containerPath: '/host/proc', hostPath: '/proc', readonly: true },
      { containerPath: '/host/sys', hostPath: '/sys', readonly: true },
      { containerPath: '/host/dev', hostPath: '/dev' },
      { containerPath: '/host/zero', hostPath: '/dev/zero' },
      { containerPath: '/host/again', hostPath: `${asked}//.` },
      { containerPath: '/host/root', hostPath: '/', readonly: true },
      // gVisor 20221219 has no sockets of the node.
      ...(kind === 'runsc' ? [] : [{ containerPath: '/sock', hostPath: join(path, 'socket') }]),
    ]
    const container = await pod.run({ image, mounts, command: ['sleep', '10000'] })
    const cat = (file: string) => container.sh(`cat ${file}`)
    for (const file of ['/run/sub/text', '/run/sub/below/deep', '/host/again/text']) assert.equal(await cat(file), 'asked for')
    assert.equal(await cat('/etc/hosts'), '127.0.0.1 mine')
    assert.match(await cat('/host/proc/1/comm'), /./)
    assert.match(await cat('/host/sys/kernel/mm/transparent_hugepage/enabled || ls -d /host/sys/kernel'), /./)
    assert.match(await container.sh('ls -d /host/dev/null; ls /host/root/usr'), /bin/)
    assert.equal((await container.exec(['test', '-S', '/sock'])).exitCode, kind === 'runsc' ? 1 : 0)
    await container.sh('echo ended >/dev/termination-log')
    assert.equal(readFileSync(join(path, 'log'), 'utf8'), 'ended\n')
    const bundle = readFileSync(join(cri.node.world.state, 'containers', container.id, 'config.json'), 'utf8')
    const told = (JSON.parse(bundle) as { mounts: { destination: string; source: string }[] }).mounts
    assert.equal(told.find(({ destination }) => destination === '/host/again')?.source, asked)
    assert.ok(!bundle.includes('/clones/'))
  })

  if (kind === 'runsc') return
  propagating(cri, kind)
  inUserNamespace(cri, kind)
}

function propagating(cri: Cri, kind: Kind): void {
  const { PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } = MountPropagation
  it('HostToContainer and Bidirectional: mounts of what was asked for go on coming, those of the other do not', async () => {
    const { path, asked, secret } = volume(cri)
    const mount = async (...args: string[]) => assert.equal((await run(['/bin/mount', ...args])).stderr, '')
    await mount('-t', 'tmpfs', 'shared', asked)
    await mount('--make-shared', asked)
    mkdirSync(join(asked, 'late'))
    mkdirSync(join(secret, 'late'))
    mkdirSync(join(asked, 'early'))
    await mount('-t', 'tmpfs', 'early', join(asked, 'early'))
    writeFileSync(join(asked, 'early/mark'), 'early')
    try {
      for (const propagation of [PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL]) {
        await using pod = await cri.pod({}, nameOf(kind))
        const away = `mv ${path} ${path}.away; mkdir ${path}; ln -s ${path}.away/secret ${asked}`
        using swapped = swapping(kind, away)
        const container = await pod.run({
          mounts: [{ containerPath: '/data', hostPath: asked, propagation }],
          linux: { securityContext: { capabilities: { addCapabilities: ['SYS_ADMIN'] } } },
        })
        assert.equal(swapped.ran, 1)
        await run(['/bin/sh', '-c', `rm -r ${path}; mv ${path}.away ${path}`])
        await mount('-t', 'tmpfs', 'late', join(asked, 'late'))
        writeFileSync(join(asked, 'late/mark'), 'late')
        assert.equal(await container.sh('cat /data/early/mark /data/late/mark'), 'earlylate')
        await run(['/bin/umount', join(asked, 'late')])
        const made = await container.exec(['mount', '-t', 'tmpfs', 'made', '/data/late'])
        assert.equal(made.exitCode, 0, made.stderr)
        const seen = readFileSync('/proc/self/mountinfo', 'utf8').includes(`${asked}/late `)
        assert.equal(seen, propagation === PROPAGATION_BIDIRECTIONAL)
        if (seen) await run(['/bin/umount', join(asked, 'late')])
        // The container's creation and its end take nothing from the node's own tree.
        await container.remove()
        assert.equal(readFileSync(join(asked, 'early/mark'), 'utf8'), 'early')
      }
    } finally {
      await run(['/bin/umount', '-l', '-R', asked])
    }
  })
}

function inUserNamespace(cri: Cri, kind: Kind): void {
  const mappings = { uidMappings: ids, gidMappings: ids }
  for (const [title, extra] of Object.entries({ 'with mappings': mappings, 'without mappings': {} }))
    it(`in a user namespace, ${title}: a directory, a file, what is mounted below`, async () => {
      const { path, asked, secret } = volume(cri)
      for (const name of ['', 'volume']) chmodSync(join(path, name), 0o755)
      await run(['/bin/mount', '-t', 'tmpfs', 'shared', asked])
      await run(['/bin/mount', '--make-shared', asked])
      writeFileSync(join(asked, 'text'), 'asked for')
      mkdirSync(join(asked, 'below'))
      await run(['/bin/mount', '-t', 'tmpfs', 'below', join(asked, 'below')])
      writeFileSync(join(asked, 'below/deep'), 'asked for')
      try {
        await using pod = await cri.pod(mapped(), nameOf(kind))
        using swapped = swapping(kind, `mv ${path} ${path}.away; mkdir ${path}; cp -r ${path}.away/secret ${asked}`)
        const container = await pod.run({
          ...inside(),
          mounts: [
            { containerPath: '/data', hostPath: asked, ...extra },
            { containerPath: '/file', hostPath: join(asked, 'text'), ...extra },
          ],
        })
        assert.equal(swapped.ran, 1)
        await run(['/bin/sh', '-c', `rm -r ${path}; mv ${path}.away ${path}`])
        assert.equal(await container.sh('cat /data/text /file /data/below/deep'), 'asked forasked forasked for')
        await container.remove()
        assert.equal(readFileSync(join(asked, 'below/deep'), 'utf8'), 'asked for')
        assert.equal(readFileSync(join(secret, 'text'), 'utf8'), 'secret')
      } finally {
        await run(['/bin/umount', '-l', '-R', asked])
      }
    })
}
