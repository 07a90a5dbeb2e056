import { defineCommand } from '../command.ts'
import { renderFindings } from '../doctor/findings.ts'
import { checkDaemon, checkNetworkConfiguration } from '../doctor/surroundings.ts'
import { UsageError } from '../usage-error.ts'

// The daemon's own defaults. With another configuration `coracled doctor` looks at what that names.
const RUNTIMES = { crun: '/usr/bin/crun', runc: '/usr/sbin/runc' }
const CNI_PLUGIN_DIRECTORIES = ['/opt/cni/bin', '/usr/lib/cni']

export const command = defineCommand({
  name: 'doctor',
  summary: 'Check this machine and say how to mend it',
  usage: 'doctor [options]',
  description: [
    'Looks at kernel, cgroups, programs and their versions, disk and network settings, and whether the daemon answers. Exit code 1',
    'when something is missing. `coracled doctor` does the same for the paths of its configuration file.',
  ].join('\n'),
  options: {
    runtime: { kind: 'list', value: 'NAME=PATH', help: 'OCI runtimes to look at (default: crun and runc of Debian)' },
    conmon: { kind: 'string', value: 'PATH', help: 'the monitor (default /usr/bin/conmon)' },
    'cni-plugin-dir': {
      kind: 'list',
      value: 'DIR',
      help: `plugin directories (default ${CNI_PLUGIN_DIRECTORIES.join(' and ')})`,
    },
    'cni-config-dir': { kind: 'string', value: 'DIR', help: 'network configurations (default /etc/cni/net.d)' },
    root: { kind: 'string', value: 'DIR', help: 'where images and records are kept (default /var/lib/coracle)' },
    state: { kind: 'string', value: 'DIR', help: 'where the state until a reboot is kept (default /run/coracle)' },
    output: { kind: 'string', short: 'o', value: 'FORMAT', choices: ['json', 'yaml', 'table'], help: 'json, yaml or table' },
  },
  operands: { min: 0, max: 0 },
  examples: ['coracle doctor', 'coracle doctor --runtime kata=/opt/kata/bin/kata-runtime', 'coracle doctor -o json'],
  async run(context, options) {
    const { createHost, preflight } = await import('@coracle/host')
    const host = createHost()
    const onMachine = await preflight({
      processes: host.processes,
      cgroups: host.cgroups,
      runtimes: options.runtime.length > 0 ? parseRuntimes(options.runtime) : RUNTIMES,
      conmon: options.conmon ?? '/usr/bin/conmon',
      cniDirectories: options['cni-plugin-dir'].length > 0 ? options['cni-plugin-dir'] : CNI_PLUGIN_DIRECTORIES,
      directories: [options.root ?? '/var/lib/coracle', options.state ?? '/run/coracle'],
      signal: context.interruption(),
    })
    const findings = [
      ...onMachine,
      await checkNetworkConfiguration(options['cni-config-dir'] ?? '/etc/cni/net.d'),
      ...(await checkDaemon(context)),
    ]
    if (options.output === 'json' || options.output === 'yaml') {
      const { printStructured } = await import('../print/structured.ts')
      await printStructured(context.out, options.output, { findings: findings.map((finding) => ({ ...finding })) })
    } else context.out.write(renderFindings(findings, context.out))
    return findings.some(({ state }) => state === 'missing') ? 1 : 0
  },
})

function parseRuntimes(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [name = '', path = ''] = pair.split('=', 2)
      if (name === '' || !path.startsWith('/'))
        throw new UsageError(`option --runtime is "${pair}"; expected NAME=/absolute/path`)
      return [name, path]
    }),
  )
}
