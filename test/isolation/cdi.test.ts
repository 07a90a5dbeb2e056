// CDI as kubelet uses it: files on the node, names in the request, and what is then true inside the container, under each runtime.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { failsWith } from '../cri/expect.ts'
import { criSuite } from '../cri/suite.ts'

const base = makeOwnDirectory('cdi-')
const [low, high] = [join(base, 'low'), join(base, 'high')]
const library = join(base, 'library')
const hook = join(base, 'hook.sh')
const hookOutput = join(base, 'hook.out')

function prepare(): void {
  for (const directory of [low, high, library]) mkdirSync(directory)
  writeFileSync(join(library, 'driver'), 'the driver\n')
  // Its own environment, and the state that the runtime gives it.
  writeFileSync(hook, `#!/bin/sh\n{ echo "$1"; env; cat; } > ${hookOutput}\n`)
  chmodSync(hook, 0o755)
  const fuse = { path: '/dev/vendor0', hostPath: '/dev/fuse', permissions: 'rw', fileMode: 0o666, gid: 4242 }
  write(low, 'gpu.yaml', {
    cdiVersion: '0.7.0',
    kind: 'test.example/gpu',
    containerEdits: { env: ['VENDOR=all'] },
    devices: [
      {
        name: '0',
        containerEdits: {
          deviceNodes: [fuse],
          mounts: [{ hostPath: library, containerPath: '/opt/library', options: ['ro', 'bind', 'nosuid'] }],
          env: ['GPU=0'],
          hooks: [{ hookName: 'createContainer', path: hook, args: ['hook.sh', 'first argument'], env: ['HOOK=yes'] }],
          additionalGids: [4242],
        },
      },
      { name: 'read', containerEdits: { deviceNodes: [{ path: '/dev/loop-control', permissions: 'r' }] } },
      { name: 'gone', containerEdits: { deviceNodes: [{ path: '/dev/no-such-device' }] } },
      { name: 'rdt', containerEdits: { intelRdt: { closID: 'gold' } } },
    ],
  })
  const other = (env: string) => ({
    cdiVersion: '0.6.0',
    kind: 'test.example/nic',
    devices: [{ name: 'a', containerEdits: { env: [env] } }],
  })
  write(low, 'nic-1.json', other('NIC=1'))
  write(low, 'nic-2.json', other('NIC=2'))
  writeFileSync(join(low, 'broken.json'), '{')
}

// JSON is YAML, too.
const write = (directory: string, name: string, content: object) =>
  writeFileSync(join(directory, name), JSON.stringify(content), { mode: 0o644 })

const config = `[cdi]\nspec_dirs = ["${low}", "${high}"]\nannotations = true\n`
const devices = (...names: string[]) => ({ CDIDevices: names.map((name) => ({ name: `test.example/${name}` })) })

prepare()
after(() => rmSync(base, { recursive: true, force: true }))

criSuite(
  'CDI',
  (cri) => {
    for (const handler of ['crun', 'runc'])
      describe(handler, () => {
        it('gives nodes, mounts, environment, groups and hooks', async () => {
          await using pod = await cri.pod({}, handler)
          rmSync(hookOutput, { force: true })
          const container = await pod.run({
            ...devices('gpu=0'),
            linux: { securityContext: { runAsUser: { value: 1000n } } },
            envs: [{ key: 'LD_PRELOAD', value: Buffer.from('/evil.so') }],
          })
          assert.equal(await container.sh('stat -c "%F %t:%T %a %g" /dev/vendor0'), 'character special file a:e5 666 4242')
          assert.equal(await container.sh('(exec 3<>/dev/vendor0) && echo opened'), 'opened')
          assert.equal(await container.sh('cat /opt/library/driver; echo $VENDOR $GPU'), 'the driver\nall 0')
          assert.match(await container.sh('grep " /opt/library " /proc/self/mountinfo'), / ro,nosuid,/)
          assert.match(await container.sh('id -G'), /\b4242\b/)
          const told = readFileSync(hookOutput, 'utf8')
          assert.match(told, /^first argument\n/)
          assert.match(told, /^HOOK=yes$/m)
          assert.doesNotMatch(told, /LD_PRELOAD=/, 'a container chooses nothing for a program of the host')
          assert.ok(told.includes(container.id), 'the hook is told the container')
          assert.deepEqual((await container.status()).user?.linux?.supplementalGroups.includes(4242n), true)
        })

        it('allows what the file says and no more', async () => {
          await using pod = await cri.pod({}, handler)
          const container = await pod.run(devices('gpu=read'))
          assert.equal(await container.sh('(exec 3</dev/loop-control) && echo opened'), 'opened')
          assert.notEqual((await container.exec(['sh', '-c', 'exec 3<>/dev/loop-control'])).exitCode, 0)
        })

        it('takes names from annotations where that is switched on', async () => {
          await using pod = await cri.pod({}, handler)
          const container = await pod.run({ annotations: { 'cdi.k8s.io/plugin_0': 'test.example/gpu=read' } })
          assert.equal(await container.sh('test -c /dev/loop-control && echo $VENDOR'), 'all')
        })
      })

    it('refuses what no file defines, what files contradict each other about, and what cannot be done', async () => {
      await using pod = await cri.pod()
      const refused = (name: string, words: RegExp) => failsWith('failed_precondition', pod.create(devices(name)), words)
      await refused('gpu=7', /gpu=7.*not defined on this node: known are 0, read, gone, rdt.*broken\.json/)
      await refused('disk=0', /no file in .* is about test.example\/disk/)
      await refused('nic=a', /nic-1\.json and .*nic-2\.json/)
      await refused('gpu=gone', /\/dev\/no-such-device/)
      await refused('gpu=rdt', /intelRdt/)
      await failsWith('invalid_argument', pod.create({ CDIDevices: [{ name: 'gpu' }] }), /VENDOR\/CLASS=DEVICE/)
    })

    it('sees a new file at once; a later directory decides a conflict; verbose status tells it all', async () => {
      await using pod = await cri.pod()
      const info = async () => {
        const { info: texts } = await cri.runtime.status({ verbose: true })
        // What cdi-info.ts writes.
        return JSON.parse(texts['cdi'] ?? '') as { files: object[]; problems: { path: string }[]; conflicts: { name: string }[] }
      }
      const before = await info()
      assert.deepEqual(
        before.conflicts.map(({ name }) => name),
        ['test.example/nic=a'],
      )
      assert.deepEqual(
        before.problems.map(({ path }) => path),
        [join(low, 'broken.json')],
      )
      write(high, 'nic.yaml', {
        cdiVersion: '0.5.0',
        kind: 'test.example/nic',
        devices: [{ name: 'a', containerEdits: { env: ['NIC=3'] } }],
      })
      const container = await pod.run(devices('nic=a'))
      assert.equal(await container.sh('echo $NIC'), '3')
      assert.deepEqual((await info()).conflicts, [])
      rmSync(join(high, 'nic.yaml'))
      await failsWith('failed_precondition', pod.create(devices('nic=a')), /defined more than once/)
    })
  },
  { config },
)
