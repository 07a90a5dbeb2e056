import { defineCommand } from '../command.ts'
import { commandTable } from '../command-table.ts'
import { bashScript, type CompletionWord, fishScript, zshScript } from '../completion-scripts.ts'
import { globalOptions } from '../globals.ts'
import type { OptionTable } from '../options.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'completion',
  summary: 'Print completions for a shell',
  usage: 'completion bash|zsh|fish',
  options: {},
  operands: { min: 1, max: 1 },
  examples: [
    'source <(coracle completion bash)',
    'coracle completion zsh > ~/.zsh/completions/_coracle',
    'coracle completion fish > ~/.config/fish/completions/coracle.fish',
  ],
  async run({ out }, _options, [shell = '']) {
    const words: CompletionWord[] = []
    for (const [name, entry] of Object.entries(commandTable)) {
      // This very file is being loaded already and has no options.
      const options = name === 'completion' ? {} : (await entry.load()).command.options
      words.push({ name, summary: entry.summary, options: describe(options), completes: COMPLETES[name] })
    }
    const scripts: Record<string, typeof bashScript> = { bash: bashScript, zsh: zshScript, fish: fishScript }
    const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined
    if (!script) throw new UsageError(`no completions for shell "${shell}"; expected bash, zsh or fish`)
    out.write(script(words, describe(globalOptions)))
    return undefined
  },
})

const COMPLETES: Readonly<Record<string, CompletionWord['completes']>> = {
  ...Object.fromEntries(
    ['logs', 'exec', 'inspect', 'start', 'stop', 'rm', 'update', 'stats'].map((name) => [name, 'containers']),
  ),
  ...Object.fromEntries(['inspectp', 'stopp', 'rmp', 'create'].map((name) => [name, 'pods'])),
  ...Object.fromEntries(['inspecti', 'rmi', 'run', 'images'].map((name) => [name, 'images'])),
  runp: 'files',
}

function describe(options: OptionTable): CompletionWord['options'] {
  return Object.entries({ ...options, help: { kind: 'flag', short: 'h', help: 'show help' } as const }).map(([name, spec]) => ({
    name,
    short: spec.short,
    help: spec.help,
    takesValue: spec.kind !== 'flag',
  }))
}
