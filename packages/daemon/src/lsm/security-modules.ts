import { type Host, openAppArmor } from '@coracle/host'
import type { Services } from '@coracle/lifecycle'
import type { Config } from '../config/config.ts'
import { useAppArmor } from './apparmor.ts'
import { openSelinux } from './selinux.ts'

/** The kernel's security modules, as far as they are there and to be used. */
export async function openSecurityModules(
  config: Pick<Config, 'root' | 'apparmor' | 'selinux'>,
  { processes }: Pick<Host, 'processes'>,
  signal: AbortSignal,
): Promise<Pick<Services, 'apparmor' | 'selinux'>> {
  const { enabled, parser } = config.apparmor
  const opened = enabled ? openAppArmor(processes, parser === undefined ? {} : { parser }) : undefined
  return { apparmor: await useAppArmor(opened, signal), selinux: openSelinux(config, { processes }) }
}
