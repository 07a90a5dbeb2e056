import { existsSync, readdirSync } from 'node:fs'
import { createHost, type Finding, preflight } from '@coracle/host'
import { checkRegistryFiles } from '@coracle/image'
import { openCdi } from './cdi/cdi-directories.ts'
import type { Config } from './config/config.ts'
import { apparmorFinding } from './lsm/apparmor.ts'
import { selinuxFinding } from './lsm/selinux.ts'

/** All that must be right before pods can run here, with the command that mends what is not. */
export function examine(config: Config, signal: AbortSignal): Promise<readonly Finding[]> {
  const { processes, cgroups } = createHost()
  return preflight({
    processes,
    cgroups,
    runtimes: Object.fromEntries(config.runtimes.map(({ handler, path }) => [handler, path])),
    conmon: config.programs.conmon,
    cniDirectories: config.cni.pluginDirs,
    directories: [config.root, config.state],
    signal,
  }).then((findings) => [
    ...findings,
    networkFinding(config),
    initFinding(config),
    ...cdiFindings(config),
    ...registryFindings(config),
    apparmorFinding(config),
    selinuxFinding(config),
  ])
}

/** Those about helper programs: `strict_floors` is about their versions; what else is not ideal is only told. */
export const programFindings = (findings: readonly Finding[]): readonly Finding[] =>
  findings.filter(({ check, state }) => state !== 'ok' && /(program|plugins)$/.test(check))

function networkFinding({ cni }: Config): Finding {
  const check = 'network configuration'
  const files = existsSync(cni.configDir)
    ? readdirSync(cni.configDir)
        .filter((name) => /\.(conflist|conf|json)$/.test(name))
        .sort()
    : []
  if (files[0] !== undefined) return { check, state: 'ok', detail: `${cni.configDir}/${files[0]}` }
  return {
    check,
    state: 'missing',
    detail: `no file in ${cni.configDir}: pods with a network of their own cannot run`,
    remedy: `mkdir -p ${cni.configDir} && cp deploy/10-coracle.conflist ${cni.configDir}/`,
  }
}

function initFinding({ programs }: Config): Finding {
  const check = 'init of shared PID namespaces'
  if (existsSync(programs.init)) return { check, state: 'ok', detail: programs.init }
  return { check, state: 'missing', detail: `${programs.init} does not exist`, remedy: 'apt-get install catatonit' }
}

function registryFindings({ images }: Config): readonly Finding[] {
  const check = 'registry configuration'
  const problems = checkRegistryFiles(images.registries.files ?? {})
  if (problems.length === 0)
    return [{ check, state: 'ok', detail: 'hosts.toml, registries.conf, certificates and auth files, as far as they are there' }]
  return problems.map((detail) => ({
    check,
    state: 'warning',
    detail,
    remedy: 'mend the file: it is read again at the next pull',
  }))
}

function cdiFindings(config: Config): readonly Finding[] {
  const check = 'CDI devices'
  const index = openCdi(config)?.index()
  if (index === undefined) return [{ check, state: 'ok', detail: 'off' }]
  const { devices, directories, files, problems, conflicts } = index
  return [
    { check, state: 'ok', detail: `${devices.size} in ${files.length} files of ${directories.join(', ')}` },
    ...problems.map(
      ({ path, reason }): Finding => ({
        check,
        state: 'warning',
        detail: `${path}: ${reason}`,
        remedy: 'mend or remove the file',
      }),
    ),
    ...[...conflicts].map(
      ([name, paths]): Finding => ({
        check,
        state: 'warning',
        detail: `${name} is defined by ${paths.join(' and ')}`,
        remedy: 'remove one of the definitions',
      }),
    ),
  ]
}

const colours = { ok: 32, warning: 33, missing: 31 } as const

/** One line a finding. Exit code 1 when something is missing. */
export async function doctor(config: Config, colour: boolean): Promise<number> {
  const findings = await examine(config, AbortSignal.timeout(30_000))
  for (const { check, state, detail, remedy } of findings) {
    const shown = colour ? `\x1b[${colours[state]}m${state.padEnd(7)}\x1b[0m` : state.padEnd(7)
    console.log(`${shown}  ${check}: ${detail}`)
    if (remedy !== undefined && state !== 'ok') console.log(`         ${colour ? `\x1b[2m${remedy}\x1b[0m` : remedy}`)
  }
  return findings.some(({ state }) => state === 'missing') ? 1 : 0
}
