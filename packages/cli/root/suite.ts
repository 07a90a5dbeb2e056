// What the command line promises, shown against a real CRI server. The same for every product.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { pushTestImages, type TestImages } from '@coracle/testkit/busybox-images'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import type { TestNode } from '@coracle/testkit/node'
import { type Output, run, startProgram } from '@coracle/testkit/program'
import { type Registry, startRegistry } from '@coracle/testkit/registry'

const program = fileURLToPath(new URL('../../../bin/coracle', import.meta.url))

export function suite(product: string, startNode: (registry: Registry) => Promise<TestNode>): void {
  describe(`coracle against ${product}`, needsRoot(), () => {
    let registry: Registry
    let node: TestNode
    let images: TestImages
    const coracle = (...args: string[]): Promise<Output> => run([program, '-r', `unix://${node.world.socket}`, ...args], 60_000)
    const ok = async (...args: string[]): Promise<string> => {
      const { exitCode, stdout, stderr } = await coracle(...args)
      assert.equal(exitCode, 0, `coracle ${args.join(' ')}: ${stderr}`)
      return stdout
    }
    const fails = async (exitCode: number, pattern: RegExp, ...args: string[]) => {
      const output = await coracle(...args)
      assert.equal(output.exitCode, exitCode, `coracle ${args.join(' ')}: ${output.stdout}${output.stderr}`)
      assert.match(output.stderr, pattern)
      assert.equal(output.stderr.trimEnd().split('\n').length, 1, 'one line')
    }
    const file = async (name: string, value: unknown): Promise<string> => {
      const path = `${node.world.directory}/${name}`
      await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value))
      return path
    }

    before(async () => {
      registry = await startRegistry()
      images = await pushTestImages(registry)
      node = await startNode(registry)
    })
    afterEach(async () => {
      // Not only the pods, as the node would: the logs that `run` puts beside them, too.
      await coracle('rmp', '-fa')
      await node.clear()
    })
    after(async () => {
      await node?.[Symbol.asyncDispose]()
      await registry?.[Symbol.asyncDispose]()
    })

    test('version, status, info, imagefsinfo', async () => {
      assert.match(await ok('version'), new RegExp(`^Version: .*\\nRuntimeName:  ${product}\\n`))
      assert.match(await ok('status'), /ok +RuntimeReady\nok +NetworkReady/)
      const info = JSON.parse(await ok('info'))
      assert.ok(info.status.conditions.length >= 2)
      assert.ok(Object.keys(info.features ?? {}).every((name) => /^[a-z_]+$/.test(name)))
      assert.ok(JSON.parse(await ok('imagefsinfo')).status.imageFilesystems)
      const template = ['-o', 'go-template', '--template', '{{json .status.imageFilesystems}}']
      assert.ok(JSON.parse(await ok('imagefsinfo', ...template)).length > 0)
      assert.match(await ok('imagefsinfo', '-o', 'table'), /^DIRECTORY/)
    })

    test('pull, images, inspecti', async () => {
      const id = (await ok('pull', '-q', images.busybox)).trim()
      assert.match(await ok('pull', images.busybox), /^Image is up to date for sha256:/)
      assert.match(await ok('images'), /^IMAGE +TAG +IMAGE ID +SIZE\n[^\n]*test\/busybox +1 +[0-9a-f]{13} +[0-9.]+MB/m)
      assert.match(await ok('images', '--digests', '--no-trunc'), /sha256:[0-9a-f]{64}/)
      assert.ok((await ok('images', '-q')).split('\n').includes(id))
      assert.equal(JSON.parse(await ok('inspecti', images.busybox)).status.id, id)
      assert.equal((await ok('inspecti', '-o', 'go-template', '--template', '{{.status.id}}', images.busybox)).trim(), id)
      await fails(1, /no image "absent\.example\/x:1": coracle images/, 'inspecti', 'absent.example/x:1')
      await fails(1, /test\/none/, 'pull', '-q', `${registry.host}/test/none:1`)
    })

    test('run in the foreground: output, exit code, nothing left with --rm', async () => {
      const { stdout, stderr, exitCode } = await coracle(
        'run',
        '--rm',
        images.busybox,
        'sh',
        '-c',
        'echo out; echo err >&2; exit 7',
      )
      assert.deepEqual([stdout, stderr, exitCode], ['out\n', 'err\n', 7])
      assert.equal(await ok('pods', '-q'), '')
      assert.match((await coracle('run', '--rm', images.entry)).stdout, /^entry cmd one\n/)
      const { exitCode: absent, stderr: reason } = await coracle('run', '--rm', images.busybox, '/no/such/program')
      assert.equal(absent, 1)
      assert.match(reason, /no such file/i)
      assert.equal(await ok('pods', '-q'), '')
    })

    test('run hands over environment, directory, user, volume, memory and port', async () => {
      await mkdir(`${node.world.directory}/volume`)
      await writeFile(`${node.world.directory}/volume/index.html`, 'from the volume')
      const script =
        'echo $A $(pwd) $(id -u):$(id -g) $(hostname); touch /v/x 2>/dev/null || echo read-only; httpd -f -p 8080 -h /v'
      await ok(
        ...[
          'run',
          '-d',
          '--name',
          'web',
          '--hostname',
          'host-name',
          '-e',
          'A=b c',
          '-w',
          '/tmp',
          '-u',
          '1000:1001',
          '-m',
          '64m',
          '--cpus',
          '0.5',
        ],
        ...['-v', `${node.world.directory}/volume:/v:ro`, '-p', '18990:8080', images.busybox, 'sh', '-c', script],
      )
      const log = await eventually('the log', async () => (await ok('logs', 'web')).includes('read-only') && ok('logs', 'web'))
      assert.equal(log, 'b c /tmp 1000:1001 host-name\nread-only\n')
      const address = `http://${node.world.subnetPrefix}1:18990/`
      const page = await eventually('the port', () =>
        fetch(address).then(
          (reply) => reply.text(),
          () => false as const,
        ),
      )
      assert.equal(page, 'from the volume')
      const { status } = JSON.parse(await ok('inspect', 'web'))
      assert.equal(status.state, 'CONTAINER_RUNNING')
      assert.equal(status.resources.linux.memoryLimitInBytes, String(64 << 20))
      await ok('update', '--memory', '128m', '--oom-score-adj', '100', 'web')
      assert.equal(JSON.parse(await ok('inspect', 'web')).status.resources.linux.memoryLimitInBytes, String(128 << 20))
      await ok('rmp', '-f', 'web')
    })

    test('ps, inspect, exec, logs, stop, rm and their refusals', async () => {
      const id = (
        await ok(
          'run',
          '-d',
          '--name',
          'loop',
          images.busybox,
          'sh',
          '-c',
          'trap "exit 3" TERM; i=0; while :; do echo $((i+=1)); sleep 0.2; done',
        )
      ).trim()
      assert.match(await ok('ps'), new RegExp(`\\n${id.slice(0, 13)} .* ago +Running +loop +0 +[0-9a-f]{13} +loop +default\\n`))
      assert.equal(await ok('ps', '-q', '--name', '^loop$', '--state', 'running'), `${id}\n`)
      assert.equal(await ok('ps', '-q', '-s', 'Exited'), '')
      assert.equal(JSON.parse(await ok('inspect', '--name', '^loop$', '-q')).status.id, id)
      assert.equal(JSON.parse(await ok('inspectp', '--state', 'ready', '-q')).status.metadata.name, 'loop')
      await fails(2, /--name goes without names/, 'inspect', '--name', 'x', 'loop')
      await fails(2, /either containers or --all/, 'stop', '-a', 'loop')
      assert.equal(JSON.parse(await ok('ps', '-o', 'json')).containers[0].state, 'CONTAINER_RUNNING')
      assert.match(await ok('pods', '--state', 'ready', '--namespace', 'default'), / Ready +loop +default +0 /)
      assert.match(await ok('inspectp', '-o', 'table', 'loop'), new RegExp(`IP Addresses: ${node.world.subnetPrefix}`))
      assert.ok(Number(await ok('inspect', '-o', 'go-template', '--template', '{{.info.pid}}', id.slice(0, 6))) > 1)
      assert.equal((await ok('exec', 'loop', 'cat', '/etc/hostname')).trim(), 'loop')
      const { exitCode, stderr } = await coracle('exec', '--sync', 'loop', 'sh', '-c', 'echo x >&2; exit 5')
      assert.deepEqual([exitCode, stderr], [5, 'x\n'])
      assert.equal((await coracle('exec', '--timeout', '1s', 'loop', 'sleep', '30')).exitCode, 1)
      await eventually('some lines', async () => (await ok('logs', 'loop')).split('\n').length > 4)
      assert.equal((await ok('logs', '--tail', '2', 'loop')).trimEnd().split('\n').length, 2)
      assert.match(await ok('logs', '-t', '-s', 'stdout', '--tail', '1', 'loop'), /^\d{4}-\d\d-\d\dT[^ ]+ \d+\n$/)
      await fails(1, /there is a pod "loop" already: coracle rmp -f loop/, 'run', '--name', 'loop', images.busybox)
      await fails(1, /is running: stop it first/, 'rm', 'loop')
      await fails(1, /is ready: stop it first/, 'rmp', 'loop')
      const following = coracle('logs', '-f', '--tail', '1', 'loop')
      await sleep(500)
      assert.equal(await ok('stop', '--timeout', '5', '--all'), `${id}\n`)
      assert.ok((await following).stdout.split('\n').length >= 2)
      assert.equal(JSON.parse(await ok('inspect', 'loop')).status.exitCode, 3)
      await fails(1, /not running but exited/, 'exec', 'loop', 'true')
      await ok('rm', 'loop')
      await ok('rmp', '-f', 'loop')
      await fails(1, /no container "loop": coracle ps -a lists them/, 'inspect', 'loop')
    })

    test('Ctrl-C stops the container of a run in the foreground', async () => {
      const logPath = `${node.world.directory}/foreground.log`
      const script = 'trap "echo bye; exit 4" TERM INT; echo ready; while :; do sleep 0.1; done'
      const argv = [
        program,
        '-r',
        node.world.socket,
        'run',
        '--rm',
        '--name',
        'fore',
        images.busybox,
        'sh',
        '-c',
        script,
      ] as const
      const running = await startProgram({ argv: [...argv], logPath })
      await eventually('it runs', async () => (await coracle('logs', 'fore')).stdout.includes('ready'))
      process.kill(running.pid, 'SIGINT')
      assert.deepEqual(await running.exited, { exitCode: 4, signal: null })
      const { readFile } = await import('node:fs/promises')
      assert.equal(await readFile(logPath, 'utf8'), 'ready\nbye\n')
      assert.equal(await ok('pods', '-q'), '')
    })

    test("crictl's files: runp, create, start and run", async () => {
      const pod = (name: string) => ({
        metadata: { name, namespace: 'files', attempt: 1 },
        log_directory: `${node.world.pods}/${name}`,
        linux: {},
      })
      const container = {
        metadata: { name: 'main' },
        image: { image: images.busybox },
        command: ['sh', '-c', 'echo $K; sleep 1000'],
        envs: [{ key: 'K', value: 'v' }],
        log_path: 'main.log',
        linux: {},
      }
      const podPath = await file('pod.json', pod('one'))
      const podId = (await ok('runp', podPath)).trim()
      const id = (await ok('create', podId, await file('container.json', container), podPath)).trim()
      assert.match(await ok('ps', '-a'), new RegExp(`${id.slice(0, 13)} .* Created `))
      assert.equal(await ok('start', id), `${id}\n`)
      await eventually('the log', async () => (await ok('logs', id)) === 'v\n')
      const yaml = `metadata: {name: two, namespace: files}\nlogDirectory: ${node.world.pods}/two\n`
      const second = (await ok('run', await file('container2.json', container), await file('pod.yaml', yaml))).trim()
      await fails(1, /"main" means 2 containers: .*; give more of the id/, 'stop', 'main')
      assert.equal((await ok('ps', '-q')).trim().split('\n').sort().join(), [id, second].sort().join())
      assert.equal(await ok('stopp', 'files/one'), `Stopped sandbox ${podId}\n`)
      assert.equal(await ok('rmp', podId.slice(0, 8)), `Removed sandbox ${podId}\n`)
      await ok('rmp', '-af')
      await fails(1, /"nam"/, 'runp', await file('bad.json', { metadata: { nam: 'x' } }))
      await fails(1, /ENOENT/, 'runp', '/nonexistent.json')
    })

    test('usage errors are told apart and name what is wrong', async () => {
      await fails(2, /unknown command "nope"/, 'nope')
      await fails(2, /unknown option --nope/, 'ps', '--nope')
      await fails(2, /expected HOST:CONTAINER/, 'run', '-v', 'x', images.busybox)
      await fails(2, /--rm needs the command in the foreground/, 'run', '-d', '--rm', images.busybox)
      await fails(1, /does not exist on this machine/, 'run', '-v', '/nonexistent:/x', images.busybox)
      await fails(1, /is not on this machine: coracle pull/, 'run', '--pull', 'never', 'absent.example/x:1')
      const output = await run([program, '-r', '/nonexistent.sock', 'ps'])
      assert.equal(output.exitCode, 1)
      assert.match(output.stderr, /^coracle: no CRI server at \/nonexistent\.sock: .*start the daemon/)
    })

    test('rmi by name and --prune', async () => {
      await ok('pull', '-q', images.busyboxAgain)
      await ok('pull', '-q', images.bare)
      assert.match(await ok('rmi', images.bare), /^Deleted: .*test\/bare:1\n/)
      await fails(1, /no image/, 'rmi', images.bare)
      await ok('run', '-d', '--name', 'user', images.busybox, 'sleep', '1000')
      assert.match(await ok('rmi', '-q'), /test\/entry:1/)
      assert.match(await ok('images'), /test\/busybox/)
      await ok('rmp', '-f', 'user')
    })
  })
}
