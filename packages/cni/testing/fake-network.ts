// A configuration directory, plugins whose behaviour each test writes as a few lines of shell, and a Cni on top.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JsonObject } from '@coracle/base/parse-json'
import { createHost } from '@coracle/host'
import type { Attachment, Cni } from '../src/cni.ts'
import { type CniOptions, createCni } from '../src/create.ts'

export interface RecordedCall {
  readonly command: string
  readonly plugin: string
  readonly containerId: string
  readonly netns: string
  readonly ifname: string
  readonly args: string
  readonly path: string
  readonly config: JsonObject & { readonly prevResult?: JsonObject; readonly runtimeConfig?: JsonObject }
}

// Writes down each call, then does what the test says for this plugin and command, or succeeds.
const program = `#!/bin/sh
base=\${0%/*}/..
name=\${0##*/}
config=$(cat)
printf '%s\\n%s\\n%s\\n%s\\n%s\\n%s\\n%s\\n%s\\n' "$CNI_COMMAND" "$name" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$CNI_PATH" "$config" >> "$base/calls"
if [ -f "$base/modes/$name.$CNI_COMMAND" ]; then . "$base/modes/$name.$CNI_COMMAND"; exit 0; fi
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}' ;;
ADD) cat "$base/result" ;;
esac
`

export const result = (version: string, ips: readonly unknown[] = [{ address: '10.1.2.3/24', interface: 0 }]): JsonObject => ({
  cniVersion: version,
  interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/ns' }],
  ips,
  dns: {},
})

export class FakeNetwork implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'coracle-cni-'))
  readonly configDir = join(this.dir, 'net.d')
  readonly pluginDir = join(this.dir, 'bin')
  readonly cacheDir = join(this.dir, 'cache')
  readonly #open: Cni[] = []

  constructor() {
    for (const name of ['net.d', 'bin', 'modes']) mkdirSync(join(this.dir, name))
    writeFileSync(join(this.dir, 'result'), JSON.stringify(result('1.0.0')))
  }

  plugin(...names: readonly string[]): this {
    for (const name of names) {
      writeFileSync(join(this.pluginDir, name), program)
      chmodSync(join(this.pluginDir, name), 0o755)
    }
    return this
  }

  /** Shell for one plugin and command. Undefined: back to success. */
  mode(plugin: string, command: string, shell: string | undefined): void {
    const path = join(this.dir, 'modes', `${plugin}.${command}`)
    if (shell === undefined) rmSync(path, { force: true })
    else writeFileSync(path, shell)
  }

  answer(plugin: string, json: unknown): void {
    this.mode(plugin, 'ADD', `cat <<'END'\n${JSON.stringify(json)}\nEND\n`)
  }

  config(file: string, json: unknown): void {
    writeFileSync(join(this.configDir, file), typeof json === 'string' ? json : JSON.stringify(json), { mode: 0o644 })
  }

  list(plugins: readonly unknown[], fields: JsonObject = {}): void {
    this.config('10-net.conflist', { cniVersion: '1.0.0', name: 'net', ...fields, plugins })
  }

  cni(options: Partial<CniOptions> = {}): Cni {
    const { configDir, cacheDir } = this
    const cni = createCni(
      { configDir, pluginDirs: [this.pluginDir], cacheDir, ...options },
      { processes: createHost().processes },
    )
    this.#open.push(cni)
    return cni
  }

  /** What plugins were asked, VERSION and STATUS left out. */
  calls(): RecordedCall[] {
    const path = join(this.dir, 'calls')
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
    const calls: RecordedCall[] = []
    for (let i = 0; i + 8 <= lines.length; i += 8) {
      const [command = '', plugin = '', containerId = '', netns = '', ifname = '', args = '', path = '', config = ''] =
        lines.slice(i, i + 8)
      if (command !== 'VERSION' && command !== 'STATUS')
        calls.push({ command, plugin, containerId, netns, ifname, args, path, config: JSON.parse(config) })
    }
    return calls
  }

  /** `ADD bridge`, `DEL portmap`, … */
  sequence(): string[] {
    return this.calls().map(({ command, plugin }) => `${command} ${plugin}`)
  }

  [Symbol.dispose](): void {
    for (const cni of this.#open) cni.close()
    // A plugin asked for its version may still be writing.
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 })
  }
}

export function attachment(id = 'pod1', fields: Partial<Attachment> = {}): Attachment {
  return {
    containerId: id,
    netns: '/proc/self/ns/net',
    podName: `name-${id}`,
    podNamespace: 'default',
    podUid: `uid-${id}`,
    capabilities: {},
    ...fields,
  }
}

export const never = (): AbortSignal => new AbortController().signal

export async function eventually(check: () => boolean, what: string, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!check()) {
    if (performance.now() > deadline) throw new Error(`not so after ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
