// Registries as operators configure them, through the real daemon: the files of containerd and of the containers tools, credentials,
// certificates, proxies, and errors that say what is wrong. Ids of tests are those of the hazard catalogue.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, afterEach, it } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { createAuthority } from '@coracle/testkit/authority'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { startConnectProxy } from '@coracle/testkit/connect-proxy'
import { eventually } from '@coracle/testkit/eventually'
import { type FaultRegistry, startFaultRegistry } from '@coracle/testkit/fault-registry'
import { run } from '@coracle/testkit/program'
import { tar } from '@coracle/testkit/tar'
import { criSuite } from '../cri/suite.ts'
import { coraclePath } from './moving-world.ts'

const directory = makeOwnDirectory('coracle-registry-test-')
const at = (name: string) => join(directory, name)
let serial = 0
function write(name: string, text: string): void {
  mkdirSync(dirname(at(name)), { recursive: true })
  // A size of its own: seen as changed whatever the clock says.
  writeFileSync(at(name), `${text}${'\n'.repeat(++serial)}`)
}

const config = `
[log]
level = "debug"
[registry_files]
registries_conf = "${at('registries.conf')}"
registries_conf_dir = "${at('registries.conf.d')}"
hosts_dirs = ["${at('hosts')}"]
certs_dirs = ["${at('certs')}"]
auth_files = ["${at('auth.json')}"]
[credential_helpers]
dirs = ["${directory}"]
timeout_s = 5
[images]
stall_timeout_s = 5
`

const layer = (name: string) => ({ tar: tar([{ path: name, body: name.repeat(1000) }]) })

/** Wants a password, gives tokens; counts what was asked without. */
function wantsPassword(registry: FaultRegistry, password: string): void {
  const basic = `Basic ${Buffer.from(`user:${password}`).toString('base64')}`
  registry.fault((request, response) => {
    if (request.url?.startsWith('/token')) {
      if (request.headers.authorization === basic)
        response.end(JSON.stringify({ token: `token-of-${password}`, expires_in: 300 }))
      else response.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}')
      return true
    }
    if (request.headers.authorization === `Bearer token-of-${password}`) return false
    response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token",service="test"` }).end()
    return true
  })
}

criSuite(
  'registries',
  (cri) => {
    after(() => rmSync(directory, { recursive: true, force: true }))
    afterEach(() => {
      for (const name of readdirSync(directory)) rmSync(at(name), { recursive: true, force: true })
    })
    const pull = async (image: string, auth = {}) => (await cri.image.pullImage({ image: { image }, auth })).imageRef
    const failure = (image: string, auth = {}) =>
      pull(image, auth).then(
        () => assert.fail(`${image} was pulled`),
        (err: unknown) => ({ code: codeOf(err), text: explain(err) }),
      )
    const tagsOf = async (image: string) => (await cri.image.imageStatus({ image: { image } })).image?.repoTags ?? []
    const explainPull = async (...args: string[]) => {
      const { stdout, stderr, exitCode } = await run([
        coraclePath,
        '-r',
        `unix://${cri.node.world.socket}`,
        'explain-pull',
        ...args,
      ])
      return { stdout, stderr, exitCode }
    }
    const reload = async (text: string, changed: string) => {
      writeFileSync(join(cri.node.world.directory, 'coracle.toml'), text)
      const seen = cri.node.log().length
      process.kill(cri.node.pid(), 'SIGHUP')
      await eventually(`${changed} is reloaded`, () => cri.node.log().slice(seen).includes(changed))
    }

    it('registries.conf: mirror, moved registry, changed while running; a broken version changes nothing', async () => {
      await using registry = await startFaultRegistry()
      registry.addImage('deep/app', '1', [layer('one')])
      write(
        'registries.conf',
        `[[registry]]\nprefix = "app.example"\nlocation = "${registry.host}/deep"\n[[registry.mirror]]\nlocation = "127.0.0.1:1"`,
      )
      const id = await pull('app.example/app:1')
      assert.deepEqual(await tagsOf(id), ['app.example/app:1'])
      const { stdout, exitCode } = await explainPull('app.example/app:1')
      assert.equal(exitCode, 0, stdout)
      assert.match(stdout, /1\. http:\/\/127\.0\.0\.1:1\/v2\/app {2}failed: connect to 127\.0\.0\.1:1: connection refused/)
      assert.match(stdout, new RegExp(`2\\. ${registry.url}/v2/deep/app {2}used`))
      assert.match(stdout, /mirror: +by .*registries\.conf:4/)
      assert.match(stdout, /registry: +by .*registries\.conf:1/)
      write('registries.conf.d/50-bad.conf', '[[registry]]\nlocation = "x"\ninsecure = "of course"')
      await pull('app.example/app:1')
      const told = (await explainPull('--offline', 'app.example/app:1')).stdout
      assert.match(told, /note: .*50-bad\.conf:3: registry\.insecure has the wrong type.*: the version before stays in force/)
      rmSync(at('registries.conf.d'), { recursive: true })
      write('registries.conf', '[[registry]]\nlocation = "app.example"\nblocked = true')
      assert.match((await failure('app.example/app:1')).text, /blocked by .*registries\.conf:1/)
      assert.equal((await explainPull('app.example/app:1')).exitCode, 1)
      await cri.image.removeImage({ image: { image: id } })
    })

    it('a daemon that starts with a broken file serves; pulls say what to mend', async () => {
      write('registries.conf', '[[registry]]\nblocked = "yes"')
      await cri.node.restart()
      await using pod = await cri.pod()
      await pod.run()
      const { code, text } = await failure(cri.images.busybox)
      assert.equal(code, 'failed_precondition')
      assert.match(
        text,
        /registries\.conf:1: registry\.location is missing|registries\.conf:2: registry\.blocked has the wrong type/,
      )
      assert.match(cri.node.log(), /registry configuration is broken/)
      write('registries.conf', '')
      await pull(cri.images.busybox)
    })

    it('R-20 CVE-2025-6032 hosts.toml: authority, client certificate, HTTP/2; the environment turns no check off', async () => {
      await using authority = await createAuthority()
      await using registry = await startFaultRegistry({
        identity: await authority.issue(),
        clientAuthority: authority.certificate,
        http2: true,
      })
      registry.addImage('app', '1', [layer('two'), layer('three')])
      const host = `secure.example`
      write(`hosts/${host}/hosts.toml`, `server = "${registry.url}"`)
      const refused = await failure(`${host}/app:1`)
      assert.equal(refused.code, 'unknown')
      assert.match(
        refused.text,
        new RegExp(`^RegistryUnavailable: pull image ${host}/app:1: TLS with ${registry.host}: .*unknown authority`),
      )
      const { cert, key } = await authority.issue({ names: ['DNS:node'] })
      write(`hosts/${host}/ca.pem`, authority.certificate)
      write(`hosts/${host}/node.pem`, cert + key)
      write(`hosts/${host}/hosts.toml`, `server = "${registry.url}"\nca = "ca.pem"\nclient = "node.pem"`)
      const id = await pull(`${host}/app:1`)
      assert.ok(registry.requests.length >= 4)
      const versionsOf = (kind: string) => [
        ...new Set(registry.requests.filter(({ url }) => url.includes(`/${kind}/`)).map(({ httpVersion }) => httpVersion)),
      ]
      // Layers are blobs as the config is, and come by HTTP/1.1 (docs/decisions/0514).
      assert.deepEqual(versionsOf('manifests'), ['2.0'])
      assert.deepEqual(versionsOf('blobs').toSorted(), ['1.1', '2.0'])
      await cri.image.removeImage({ image: { image: id } })
    })

    it('certs.d of docker and the containers tools', async () => {
      await using registry = await startFaultRegistry({ tls: true })
      registry.addImage('app', '1', [layer('four')])
      write(`certs/${registry.host}/ca.crt`, registry.authority ?? '')
      const id = await pull(`${registry.host}/app:1`)
      assert.match((await explainPull(`${registry.host}/app:1`)).stdout, /tls: +verified, with .*ca\.crt/)
      await cri.image.removeImage({ image: { image: id } })
    })

    it('CVE-2020-8564 R-25: credentials of kubelet, of files, of helpers; none in log, database, error or explanation', async () => {
      await using registry = await startFaultRegistry()
      const secret = 'sehr-geheim-4711'
      wantsPassword(registry, secret)
      const basic = Buffer.from(`user:${secret}`).toString('base64')
      const refs = ['kubelet', 'file', 'helper'].map((name) => {
        registry.addImage(name, '1', [layer(name)])
        return `${registry.host}/${name}:1`
      })
      const [byKubelet = '', byFile = '', byHelper = ''] = refs
      const refused = await failure(byKubelet)
      assert.equal(refused.code, 'unauthenticated')
      assert.match(refused.text, new RegExp(`pull image ${byKubelet}: .*${registry.host} answers 401: UNAUTHORIZED who are you`))
      await pull(byKubelet, { username: 'user', password: secret, serverAddress: `http://${registry.host}` })
      assert.equal(
        (await failure(byFile, { username: 'user', password: secret, serverAddress: 'elsewhere.example' })).code,
        'unauthenticated',
      )
      write('auth.json', JSON.stringify({ auths: { [`${registry.host}/file`]: { auth: basic } } }))
      await pull(byFile)
      assert.equal((await failure(byHelper)).code, 'unauthenticated')
      write('auth.json', JSON.stringify({ credHelpers: { [registry.host]: 'test' } }))
      assert.match((await failure(byHelper)).text, /docker-credential-test is in none of/)
      write('docker-credential-test', `#!/bin/sh\necho '{"Username":"user","Secret":"${secret}"}'`)
      chmodSync(at('docker-credential-test'), 0o755)
      await pull(byHelper)
      const { stdout } = await explainPull('-o', 'json', byHelper)
      assert.match(stdout, /"credentials": "credential helper docker-credential-test \(.*auth\.json credHelpers/)
      const databases = readdirSync(cri.node.world.root, { recursive: true, encoding: 'utf8' }).filter((name) =>
        /\.db|-wal$/.test(name),
      )
      assert.ok(databases.length >= 2)
      const kept = databases.map((name) => readFileSync(join(cri.node.world.root, name), 'latin1'))
      for (const text of [cri.node.log(), stdout, refused.text, ...kept]) {
        assert.ok(!text.includes(secret))
        assert.ok(!text.includes(basic))
      }
      for (const image of refs) await cri.image.removeImage({ image: { image } })
    })

    it('R-23 a proxy from the configuration, taken over at SIGHUP: manifests and layers go through it', async () => {
      await using authority = await createAuthority()
      await using registry = await startFaultRegistry({ identity: await authority.issue({ names: ['DNS:far.example'] }) })
      registry.addImage('app', '1', [layer('five')])
      await using proxy = await startConnectProxy({ routes: { 'far.example:443': registry.host }, credentials: 'me:proxygeheim' })
      write('certs/far.example/ca.crt', authority.certificate)
      assert.match((await failure('far.example/app:1')).text, /look up far\.example|RegistryUnavailable/)
      await reload(`${config}\n[proxy]\nhttps = "http://me:proxygeheim@${proxy.host}"\n`, 'proxy.https')
      const id = await pull('far.example/app:1')
      assert.ok(proxy.asked.length >= 2, 'the unpack worker goes through it, too')
      assert.match((await explainPull('far.example/app:1')).stdout, /proxy: +http:\/\/\*\*\*@127/)
      await reload(config, 'proxy.https')
      assert.doesNotMatch(cri.node.log(), /proxygeheim/)
      await cri.image.removeImage({ image: { image: id } })
    })

    it('F-01 F-03 KEP-2535: short names by alias and search; status and removal know them, too', async () => {
      await using empty = await startFaultRegistry()
      await using registry = await startFaultRegistry()
      registry.addImage('base/app', '1', [layer('six')])
      registry.addImage('searched', '1', [layer('seven')])
      write(
        'registries.conf',
        `unqualified-search-registries = ["${empty.host}", "${registry.host}"]\n[aliases]\n"nick" = "${registry.host}/base/app"`,
      )
      const id = await pull('nick:1')
      assert.deepEqual(await tagsOf('nick:1'), [`${registry.host}/base/app:1`])
      await pull('searched:1')
      assert.deepEqual(await tagsOf('searched:1'), [`${registry.host}/searched:1`])
      assert.ok(empty.requests.length > 0)
      for (const image of ['nick:1', 'searched:1']) await cri.image.removeImage({ image: { image } })
      assert.deepEqual(await tagsOf('nick:1'), [])
      assert.equal((await cri.image.imageStatus({ image: { image: id } })).image, undefined)
      const { code, text } = await failure('a'.repeat(64))
      assert.equal(code, 'invalid_argument')
      assert.match(text, /image id/)
      assert.match((await failure('gone:1')).text, new RegExp(`${empty.host}.*${registry.host}`))
    })

    it('CVE-2026-50195: annotations of an image make no tag', async () => {
      await using registry = await startFaultRegistry()
      const { manifest } = registry.addImage('app', '1', [layer('eight')])
      const type = 'application/vnd.oci.image.index.v1+json'
      const annotations = {
        'org.opencontainers.image.ref.name': cri.images.busybox,
        'io.containerd.image.name': cri.images.busybox,
      }
      const size = await fetch(`${registry.url}/v2/app/manifests/1`).then(
        async (answer) => (await answer.arrayBuffer()).byteLength,
      )
      const mediaType = 'application/vnd.oci.image.manifest.v1+json'
      const manifests = [{ mediaType, digest: manifest, size, annotations }]
      registry.addManifest('app', 'named', {
        mediaType: type,
        body: JSON.stringify({ schemaVersion: 2, mediaType: type, manifests, annotations }),
      })
      const before = await tagsOf(cri.images.busybox)
      const id = await pull(`${registry.host}/app:named`)
      assert.deepEqual(await tagsOf(id), [`${registry.host}/app:named`])
      assert.deepEqual(await tagsOf(cri.images.busybox), before)
      await cri.image.removeImage({ image: { image: id } })
    })

    it('errors name host and image, with the code that kubelet understands', async () => {
      await using registry = await startFaultRegistry()
      const name = `${registry.host}/some/app:1`
      for (const [status, code, text] of [
        [401, 'unauthenticated', /answers 401/],
        [403, 'permission_denied', /answers 403: DENIED not for you/],
        [404, 'not_found', /answers 404/],
        [429, 'resource_exhausted', /answers 429/],
        [502, 'unknown', /^RegistryUnavailable: pull image .*answers 502/],
      ] as const) {
        const remove = registry.fault((_request, response) => {
          response.writeHead(status, { 'retry-after': '0' }).end('{"errors":[{"code":"DENIED","message":"not for you"}]}')
          return true
        })
        const found = await failure(name)
        assert.equal(found.code, code, found.text)
        assert.match(found.text, text)
        assert.ok(found.text.includes(`pull image ${name}`) && found.text.includes(registry.host), found.text)
        remove()
      }
      const dns = await failure('no-such-host.invalid/x:1')
      assert.deepEqual(
        [dns.code, /^RegistryUnavailable: .*look up no-such-host\.invalid: E/.test(dns.text)],
        ['unknown', true],
        dns.text,
      )
      const silent = registry.fault(() => true)
      const late = await failure(name)
      assert.match(late.text, /no answer in time/)
      silent()
    })
  },
  { config, env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } },
)
