// Structured logs: one line an event, fields not prose. JSON lines for machines, colours on a terminal.
import { AsyncLocalStorage } from 'node:async_hooks'
import { explain } from './errors.ts'

export const logLevels = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]
export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
}

interface Sink {
  level: LogLevel
  format: 'json' | 'pretty'
  write: (line: string) => void
}

const sink: Sink = { level: 'info', format: 'json', write: (line) => process.stderr.write(line) }

/** Sets level, format or destination for all loggers of the process. */
export function configureLog(options: Partial<Sink>): void {
  Object.assign(sink, options)
}

export const logLevel = (): LogLevel => sink.level

const request = new AsyncLocalStorage<string>()

/** Every line logged below `work` carries the id of the request it belongs to. */
export const withRequestId = <T>(id: string, work: () => T): T => request.run(id, work)

/** A logger for one room: `const log = logger('lifecycle')` at the top of a module. */
export function logger(room: string): Logger {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (logLevels.indexOf(level) > logLevels.indexOf(sink.level)) return
      const id = request.getStore()
      const all = id === undefined ? fields : { request: id, ...fields }
      sink.write(sink.format === 'json' ? jsonLine(level, room, message, all) : prettyLine(level, room, message, all))
    }
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') }
}

function jsonLine(level: LogLevel, room: string, message: string, fields: LogFields): string {
  return `${JSON.stringify({ time: new Date().toISOString(), level, room, message, ...fields }, plain)}\n`
}

const colours: Record<LogLevel, string> = { error: '\x1b[31m', warn: '\x1b[33m', info: '\x1b[32m', debug: '\x1b[2m' }

function prettyLine(level: LogLevel, room: string, message: string, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(
      ([key, value]) =>
        `\x1b[2m${key}=\x1b[0m${typeof value === 'string' && /^[!#-~]+$/.test(value) ? value : JSON.stringify(value, plain)}`,
    )
  const time = new Date().toISOString().slice(11, 23)
  return `\x1b[2m${time}\x1b[0m ${colours[level]}${level.padEnd(5)}\x1b[0m ${room}: ${message} ${pairs.join(' ')}\n`
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  // The reason is mostly at the end of the chain.
  if (value instanceof Error) return explain(value)
  return value
}
