// `coracle`: finds the command, runs it, and turns whatever it throws into one line.
import { codeOf, explain, failed } from '@coracle/base/errors'
import { commandTable, findCommand } from './command-table.ts'
import { createContext, Interrupted } from './context.ts'
import { type GlobalOptions, parseGlobals, resolveEndpoints } from './globals.ts'
import { type Screen, screenOn } from './print/screen.ts'
import { UsageError } from './usage-error.ts'

const colour = !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb'
const out = screenOn(process.stdout, colour)
const err = screenOn(process.stderr, colour)
// `coracle ps | head -1` closes the pipe early; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  process.exit(report(failed('write standard output', error), { commandName: undefined, debug: false }))
})

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  let options: GlobalOptions | undefined
  let commandName: string | undefined
  try {
    const globals = parseGlobals(args)
    options = globals.options
    if (options.version) return await run('version', ['--client'], options)
    const wanted = globals.name === 'help' ? globals.rest[0] : globals.name
    if (wanted === undefined) return await showOverview(options.help || globals.name === 'help')
    commandName = findCommand(wanted)
    if (!commandName) throw new UsageError(`unknown command "${wanted}"`)
    const helpOnly = options.help || globals.name === 'help'
    return await run(commandName, helpOnly ? ['--help'] : globals.rest, options)
  } catch (error) {
    return report(error, { commandName, debug: options?.debug === true })
  }
}

async function showOverview(asked: boolean): Promise<number> {
  const { renderOverview } = await import('./help.ts')
  const screen: Screen = asked ? out : err
  screen.write(renderOverview(screen))
  return asked ? 0 : 2
}

async function run(name: string, args: readonly string[], options: GlobalOptions): Promise<number> {
  const entry = commandTable[name]
  if (!entry) throw new UsageError(`unknown command "${name}"`)
  const { command } = await entry.load()
  if (asksForHelp(args, command.stopAtOperand === true)) {
    const { renderCommandHelp } = await import('./help.ts')
    out.write(renderCommandHelp(command, out))
    return 0
  }
  const [endpoints, { connect }] = await Promise.all([resolveEndpoints(options, process.env), import('@coracle/cri-api')])
  await using context = createContext({ endpoints, out, err, connect })
  return await command.invoke(context, args)
}

/** `--help` anywhere before `--`, but not among the words of a container's own command. */
function asksForHelp(args: readonly string[], stopAtOperand: boolean): boolean {
  const end = args.findIndex((arg) => arg === '--' || (stopAtOperand && !arg.startsWith('-')))
  const own = end < 0 ? args : args.slice(0, end)
  return own.includes('--help') || own.includes('-h')
}

function report(error: unknown, { commandName, debug }: { commandName: string | undefined; debug: boolean }): number {
  if (error instanceof UsageError) {
    err.line(`${err.paint('red', 'coracle:')} ${error.message} (see coracle ${commandName ? `${commandName} ` : ''}--help)`)
    return 2
  }
  const interrupted = interruptionIn(error)
  if (interrupted) return interrupted.exitCode
  err.line(`${err.paint('red', 'coracle:')} ${explain(error).replaceAll(/\s*\n\s*/g, ' ')}${hint(error)}`)
  if (debug) err.line(error instanceof Error ? `${codeOf(error)}: ${error.stack}` : String(error))
  return 1
}

/** A call that the user's Ctrl-C ended says so by its cause. */
function interruptionIn(error: unknown): Interrupted | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof Interrupted) return cause
  return undefined
}

function hint(error: unknown): string {
  const code = codeOf(error)
  if (code === 'unimplemented') return ' (this runtime does not offer it)'
  // Our own deadline, not one that the server ran into.
  if (code === 'deadline_exceeded' && error instanceof Error && error.message.startsWith('call /'))
    return ' (coracle --timeout gives it longer)'
  return ''
}
