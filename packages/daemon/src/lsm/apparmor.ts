// AppArmor at the start of the daemon: our own profile is loaded where the kernel has it.
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { within } from '@coracle/base/signals'
import { apparmorProfileText, defaultApparmorName } from '@coracle/container-spec'
import { type AppArmor, appArmorParser, type Finding, hasAppArmor } from '@coracle/host'
import type { AppArmorSource } from '@coracle/lifecycle'
import type { Config } from '../config/config.ts'

const log = logger('daemon')
const loadMs = 30_000

/**
 * Loads the default profile anew, so that it is the one of this version. When that fails the daemon serves nevertheless: a profile of an earlier
 * start may still be loaded, and without one each container that needs it is refused with the reason.
 */
export async function useAppArmor(apparmor: AppArmor | undefined, signal: AbortSignal): Promise<AppArmorSource | undefined> {
  if (apparmor === undefined) return undefined
  try {
    await apparmor.load(apparmorProfileText(), within(signal, loadMs))
    log.info('AppArmor profile loaded', { profile: defaultApparmorName })
  } catch (err) {
    log.error('the default AppArmor profile was not loaded', { profile: defaultApparmorName, error: explain(err) })
  }
  return { defaultProfile: defaultApparmorName, loaded: () => apparmor.loaded() }
}

export function apparmorFinding({ apparmor }: Pick<Config, 'apparmor'>, root = ''): Finding {
  const check = 'AppArmor'
  if (!hasAppArmor(root)) return { check, state: 'ok', detail: 'not in this kernel: containers run without' }
  if (!apparmor.enabled) return { check, state: 'ok', detail: 'off by configuration: containers run without' }
  if (apparmor.parser !== undefined || appArmorParser() !== undefined)
    return { check, state: 'ok', detail: `profile ${defaultApparmorName}` }
  return {
    check,
    state: 'missing',
    detail: 'the kernel has it, but there is no apparmor_parser to load the default profile: containers are refused',
    remedy: 'apt-get install apparmor, or set apparmor.enabled = false',
  }
}
