// sd_notify(3) and sd_watchdog_enabled(3).
import { logger } from '@coracle/base/log'
import { sendDatagram } from '@coracle/host'

const log = logger('daemon')

export interface Systemd extends Disposable {
  ready(status: string): void
  reloading(): void
  stopping(): void
}

export interface SystemdOptions {
  /** NOTIFY_SOCKET; undefined: not started by systemd. */
  readonly notifySocket: string | undefined
  /** WATCHDOG_USEC. */
  readonly watchdogMicroseconds: string | undefined
  /** Throws when the daemon is not well: then the watchdog is not fed. */
  readonly selfCheck: () => void
}

export function createSystemd(options: SystemdOptions): Systemd {
  const { notifySocket } = options
  const notify = (text: string) => {
    if (notifySocket === undefined) return
    try {
      sendDatagram(notifySocket, text)
    } catch (err) {
      log.warn('systemd could not be told', { text, error: err })
    }
  }
  let timer: NodeJS.Timeout | undefined
  const feed = () => {
    try {
      options.selfCheck()
      notify('WATCHDOG=1')
    } catch (err) {
      log.error('self check failed; the watchdog is not fed', { error: err })
    }
  }
  return {
    ready: (status) => {
      notify(`READY=1\nSTATUS=${status}`)
      const periodMs = Number(options.watchdogMicroseconds ?? 0) / 1000
      if (timer === undefined && notifySocket !== undefined && periodMs > 0) timer = setInterval(feed, periodMs / 3).unref()
    },
    reloading: () => notify(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: () => notify('STOPPING=1'),
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
