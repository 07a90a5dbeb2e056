import { resolve } from 'node:path'
import { invalid } from '@coracle/base/errors'
import { keys } from './config/keys.ts'
import { defaultFile } from './config/load.ts'

export type Command = 'serve' | 'config' | 'doctor' | 'version' | 'help'

export interface Arguments {
  readonly command: Command
  readonly file: string
  readonly fileRequired: boolean
  readonly flags: ReadonlyMap<string, readonly string[]>
  /** `config --check`, `config --default`. */
  readonly mode: 'print' | 'check' | 'default'
  readonly failpoints: string
}

const commands: readonly string[] = ['serve', 'config', 'doctor', 'version', 'help']

export function parseArguments(argv: readonly string[]): Arguments {
  const known = new Set(keys.flatMap(({ flag }) => (flag === undefined ? [] : [flag])))
  const flags = new Map<string, string[]>()
  let command: Command = 'serve'
  let mode: Arguments['mode'] = 'print'
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ''
    if (i === 0 && commands.includes(word)) command = word as Command
    else if (word === '--help' || word === '-h') command = 'help'
    else if (word === '--version') command = 'version'
    else if (command === 'config' && (word === '--check' || word === '--default')) mode = word === '--check' ? 'check' : 'default'
    else if (word.startsWith('--')) {
      const [name = '', inline] = word.slice(2).split(/=(.*)/s, 2)
      if (!known.has(name) && name !== 'config' && name !== 'failpoint')
        throw invalid(`unknown flag --${name}: see coracled --help`)
      const value = inline ?? argv[++i]
      if (value === undefined) throw invalid(`--${name} needs a value`)
      flags.set(name, [...(flags.get(name) ?? []), value])
    } else throw invalid(`unexpected argument ${JSON.stringify(word)}: see coracled --help`)
  }
  const file = flags.get('config')?.at(-1)
  return {
    command,
    // Of the directory that it was said in: the daemon leaves it, and reads the file again at a reload.
    file: file === undefined ? defaultFile : resolve(file),
    fileRequired: file !== undefined,
    flags,
    mode,
    failpoints: flags.get('failpoint')?.join(',') ?? '',
  }
}

export function helpText(): string {
  const flags = keys.filter(({ flag }) => flag !== undefined).map(({ flag, doc }) => `  --${flag} VALUE`.padEnd(28) + doc)
  return [
    'coracled: a Kubernetes container runtime, served as CRI on a unix socket',
    '',
    'Usage:',
    '  coracled [flags]             serve',
    '  coracled config [flags]      print the effective configuration and where each value comes from',
    '  coracled config --check      only check it',
    '  coracled config --default    print the commented default file',
    '  coracled doctor [flags]      look at this machine: what is ready, what is missing, what mends it',
    '  coracled version',
    '',
    'Flags:',
    `${'  --config FILE'.padEnd(28)}Configuration file. Default: ${defaultFile}`,
    ...flags,
    '',
    'SIGHUP reloads what can be reloaded and says what changed. SIGTERM stops serving and leaves containers alone.',
  ].join('\n')
}
