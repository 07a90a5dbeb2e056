// coracled: reads arguments, environment and signals; everything else is in start.ts.
import { existsSync } from 'node:fs'
import { explain } from '@coracle/base/errors'
import { armFailpoints } from '@coracle/base/failpoint'
import { configureLog, logger } from '@coracle/base/log'
import manifest from '../../../package.json' with { type: 'json' }
import { type Arguments, helpText, parseArguments } from './arguments.ts'
import { beginCompiled } from './compiled-start.ts'
import { type Config, toConfig } from './config/config.ts'
import { loadSettings, masked, type Settings } from './config/load.ts'
import { defaultFileText, printSettings } from './config/print.ts'
import { doctor } from './doctor.ts'
import { compareSettings } from './reload.ts'
import { type Daemon, startDaemon } from './start.ts'
import { createSystemd } from './systemd.ts'

const log = logger('daemon')

function load(args: Arguments): { settings: Settings; config: Config } {
  const settings = loadSettings({ file: args.file, fileRequired: args.fileRequired, flags: args.flags, environment: process.env })
  return { settings, config: toConfig(settings, existsSync) }
}

function applyLog({ level, format }: Config['log']): void {
  const pretty = format === 'pretty' || (format === 'auto' && process.stderr.isTTY)
  configureLog({ level, format: pretty ? 'pretty' : 'json' })
}

async function serve(args: Arguments): Promise<void> {
  await beginCompiled()
  let { settings, config } = load(args)
  applyLog(config.log)
  // What containers see of ours is made with its final mode; what they must not see is below a directory of mode 0700.
  process.umask(0o022)
  process.chdir('/')
  armFailpoints(args.failpoints)
  surviveTrouble()
  let daemon: Daemon | undefined
  using systemd = createSystemd({
    notifySocket: process.env['NOTIFY_SOCKET'],
    watchdogMicroseconds: process.env['WATCHDOG_USEC'],
    selfCheck: () => daemon?.selfCheck(),
  })
  const reload = () => {
    // Before that everything is read for the first time.
    if (daemon === undefined) return
    systemd.reloading()
    try {
      const next = load(args)
      for (const { path, before, after, needsRestart } of compareSettings(settings, next.settings)) {
        log.info(needsRestart ? 'changed; needs a restart' : 'changed', { path, before, after })
      }
      ;({ settings, config } = next)
      applyLog(config.log)
      daemon.reload(config).catch((err: unknown) => log.error('reload failed', { error: explain(err) }))
    } catch (err) {
      log.error('configuration not reloaded: the old one stays', { error: explain(err) })
    }
    systemd.ready('serving')
  }
  const describe = () => JSON.stringify(config, (_key, value) => masked(value))
  // From the beginning: without a listener it would end the process.
  process.on('SIGHUP', reload)
  daemon = await startDaemon({ config, version: manifest.version, environment: process.env, describe })
  systemd.ready('serving')
  const { promise: asked, resolve } = Promise.withResolvers<string>()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => resolve(name))
  const signal = await asked
  log.info('stopping; containers are left alone', { signal })
  systemd.stopping()
  await daemon.stop()
}

/** Exit code of a daemon that met a mistake of its own: EX_SOFTWARE of sysexits.h. It is started again; containers live on. */
const softwareError = 70

function surviveTrouble(): void {
  // Whoever reads the log may leave.
  process.stderr.on('error', () => {})
  process.on('uncaughtException', (err) => {
    log.error('uncaught exception; ending', { error: explain(err), stack: err instanceof Error ? err.stack : undefined })
    process.exit(softwareError)
  })
}

async function main(): Promise<number> {
  const args = parseArguments(process.argv.slice(2))
  switch (args.command) {
    case 'help':
      console.log(helpText())
      return 0
    case 'version':
      console.log(`coracled ${manifest.version} (node ${process.version})`)
      return 0
    case 'config': {
      if (args.mode === 'default') process.stdout.write(defaultFileText())
      else {
        const { settings } = load(args)
        if (args.mode === 'print') process.stdout.write(printSettings(settings))
      }
      return 0
    }
    case 'doctor':
      return await doctor(load(args).config, process.stdout.isTTY && process.env['NO_COLOR'] === undefined)
    case 'serve':
      await serve(args)
      return 0
    default:
      return args.command satisfies never
  }
}

try {
  process.exit(await main())
} catch (err) {
  process.stderr.write(`coracled: ${explain(err)}\n`)
  process.exit(1)
}
