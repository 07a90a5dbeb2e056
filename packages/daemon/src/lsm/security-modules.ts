import { type Host, openAppArmor } from '@coracle/host'
import type { Services } from '@coracle/lifecycle'
import type { Config } from '../config/config.ts'
import { useAppArmor } from './apparmor.ts'

/** The kernel's security modules, as far as they are there and to be used. */
export async function openSecurityModules(
  { apparmor }: Pick<Config, 'apparmor'>,
  { processes }: Pick<Host, 'processes'>,
  signal: AbortSignal,
): Promise<Pick<Services, 'apparmor'>> {
  const { enabled, parser } = apparmor
  const opened = enabled ? openAppArmor(processes, parser === undefined ? {} : { parser }) : undefined
  return { apparmor: await useAppArmor(opened, signal) }
}
