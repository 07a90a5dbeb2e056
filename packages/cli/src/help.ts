import type { Command } from './command.ts'
import { type CommandEntry, commandTable } from './command-table.ts'
import { globalOptions } from './globals.ts'
import type { OptionTable } from './options.ts'
import type { Screen } from './print/screen.ts'

const GROUPS: readonly CommandEntry['group'][] = ['Containers', 'Pods', 'Images', 'Runtime', 'Other']

export function renderOverview(out: Screen): string {
  const lines = [
    'Pods, containers and images of a Kubernetes node, over its CRI socket.',
    '',
    `${out.paint('bold', 'Usage:')} coracle [options] COMMAND [arguments]`,
  ]
  for (const group of GROUPS) {
    lines.push('', out.paint('bold', `${group}:`))
    for (const [name, entry] of Object.entries(commandTable)) {
      if (entry.group === group) lines.push(`  ${name.padEnd(23)}${entry.summary}`)
    }
  }
  lines.push('', out.paint('bold', 'Options:'), ...renderOptions(globalOptions))
  lines.push('', 'Environment: CORACLE_SOCKET or CONTAINER_RUNTIME_ENDPOINT name the socket, NO_COLOR turns colour off.')
  lines.push("'coracle COMMAND --help' tells more about a command.", '')
  return lines.join('\n')
}

export function renderCommandHelp(command: Command, out: Screen): string {
  const lines = [`${command.summary}.`]
  if (command.description) lines.push('', command.description)
  lines.push('', `${out.paint('bold', 'Usage:')} coracle ${command.usage}`)
  if (Object.keys(command.options).length > 0) lines.push('', out.paint('bold', 'Options:'), ...renderOptions(command.options))
  lines.push(
    '',
    out.paint('bold', command.examples.length === 1 ? 'Example:' : 'Examples:'),
    ...command.examples.map((example) => `  ${example}`),
    '',
  )
  return lines.join('\n')
}

function renderOptions(options: OptionTable): string[] {
  const rows = Object.entries(options).map(([name, spec]) => {
    const value = spec.kind === 'flag' ? '' : ` ${spec.value ?? 'VALUE'}`
    return [
      `${spec.short ? `-${spec.short}, ` : '    '}--${name}${value}`,
      spec.help + (spec.kind === 'list' ? ' (repeatable)' : ''),
    ] as const
  })
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, help]) => `  ${left.padEnd(width)}   ${help}`)
}
