import type { OptionValues } from '../options.ts'
import { credentialOptions } from '../pull/credentials.ts'
import { DEFAULT_DETACH_KEYS } from '../stream/detach-keys.ts'
import { streamOptions } from '../stream/options.ts'

const { creds } = credentialOptions

export const runOptions = {
  interactive: { kind: 'flag', short: 'i', help: 'pass standard input' },
  tty: { kind: 'flag', short: 't', help: 'give it a terminal' },
  'detach-keys': {
    kind: 'string',
    value: 'KEYS',
    help: `with -it: leave it running when typed (default ${DEFAULT_DETACH_KEYS})`,
  },
  detach: { kind: 'flag', short: 'd', help: 'leave it running and print its id' },
  rm: { kind: 'flag', help: 'remove pod and log when the command has ended' },
  name: { kind: 'string', value: 'NAME', help: 'name of pod and container (default: made from the image)' },
  hostname: { kind: 'string', value: 'NAME', help: 'host name inside (default: the name)' },
  env: { kind: 'list', short: 'e', value: 'KEY[=VALUE]', help: 'environment variable; without value: the one it has here' },
  volume: { kind: 'list', short: 'v', value: 'HOST:CTR[:ro]', help: 'mount a path of this machine' },
  publish: { kind: 'list', short: 'p', value: '[IP:]HOSTPORT:PORT[/PROTO]', help: 'forward a port of this machine' },
  workdir: { kind: 'string', short: 'w', value: 'DIR', help: 'working directory inside' },
  user: { kind: 'string', short: 'u', value: 'UID[:GID]|NAME', help: 'user inside' },
  entrypoint: { kind: 'string', value: 'COMMAND', help: "run this instead of the image's entrypoint" },
  memory: { kind: 'size', short: 'm', value: 'SIZE', help: 'memory at most, such as 256m' },
  cpus: { kind: 'number', value: 'N', help: 'CPUs at most, such as 0.5' },
  label: { kind: 'list', short: 'l', value: 'KEY=VALUE', help: 'label of pod and container' },
  network: { kind: 'string', value: 'MODE', choices: ['pod', 'host'], help: 'pod (default) or host' },
  dns: { kind: 'list', value: 'IP', help: 'name server' },
  privileged: { kind: 'flag', help: 'all capabilities, devices and no confinement' },
  'cap-add': { kind: 'list', value: 'CAP', help: 'capability to add' },
  'cap-drop': { kind: 'list', value: 'CAP', help: 'capability to drop, or ALL' },
  'read-only': { kind: 'flag', help: 'root file system read-only' },
  runtime: { kind: 'string', value: 'HANDLER', help: 'runtime handler; the default one when absent' },
  pull: { kind: 'string', value: 'WHEN', choices: ['missing', 'always', 'never'], help: 'missing (default), always or never' },
  'no-pull': { kind: 'flag', help: 'the same as --pull never' },
  quiet: { kind: 'flag', short: 'q', help: 'no progress while pulling' },
  creds,
  ...streamOptions,
} as const

export type RunOptions = OptionValues<typeof runOptions>
