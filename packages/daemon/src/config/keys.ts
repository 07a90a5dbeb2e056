// Every configuration key: its type, default, meaning, and whether SIGHUP can change it. The commented default file, the checks,
// the flags and the environment variables all come from this one table.
import { isIP } from 'node:net'
import { logLevels } from '@coracle/base/log'
import { absolute, allAbsolute, oneOf, range, socket } from './checks.ts'
import { imageStoreKeys } from './keys-images.ts'
import { observeKeys } from './keys-observe.ts'
import { registryKeys } from './keys-registry.ts'

export type Value = string | number | boolean | readonly string[]

export interface Key {
  /** Table and name, joined by a dot. `*` stands for a name that the operator chooses. */
  readonly path: string
  readonly type: 'string' | 'integer' | 'boolean' | 'strings'
  /** Undefined: unset. */
  readonly default: Value | undefined
  readonly doc: string
  /** Takes effect at SIGHUP, without a restart. */
  readonly reload?: true
  /** Variables that other programs know it by; they count for less than any file. */
  readonly conventional?: readonly string[]
  /** Command-line flag, without dashes. */
  readonly flag?: string
  /** What is wrong with a value of the right type, or undefined. */
  readonly check?: (value: Value) => string | undefined
}

export const keys: readonly Key[] = [
  {
    path: 'root',
    type: 'string',
    default: '/var/lib/coracle',
    flag: 'root',
    check: absolute,
    doc: 'Images, layers and records: what survives a reboot.',
  },
  {
    path: 'state',
    type: 'string',
    default: '/run/coracle',
    flag: 'state',
    check: absolute,
    doc: 'Namespaces, bundles and sockets: what does not survive a reboot. Best on tmpfs.',
  },
  {
    path: 'socket',
    type: 'string',
    default: undefined,
    flag: 'socket',
    check: socket,
    doc: 'The CRI socket. Unset: coracle.sock in the state directory.',
  },
  {
    path: 'name',
    type: 'string',
    default: 'coracle',
    check: (v) => (/^[a-z][a-z0-9-]{0,30}$/.test(String(v)) ? undefined : 'expected a short lower-case name'),
    doc: 'Runtime name told to kubelet: the prefix of container ids in node status.',
  },
  {
    path: 'default_runtime',
    type: 'string',
    default: 'auto',
    flag: 'default-runtime',
    doc: 'Handler for pods that ask for none: a name of [runtimes.NAME], or auto: crun where it works on this machine, else runc.',
  },
  {
    path: 'strict_floors',
    type: 'boolean',
    default: false,
    doc: 'Refuse to start with helper programs older than the versions known to be safe, instead of warning.',
  },

  {
    path: 'unset_seccomp',
    type: 'string',
    default: 'unconfined',
    check: oneOf('unconfined', 'runtime_default'),
    doc: 'Seccomp profile of containers whose request has no seccomp field. The CRI says unconfined; kubelet always sends the field.',
  },

  {
    path: 'log.level',
    type: 'string',
    default: 'info',
    reload: true,
    flag: 'log-level',
    check: oneOf(...logLevels),
    doc: 'error, warn, info or debug.',
  },
  {
    path: 'log.format',
    type: 'string',
    default: 'auto',
    flag: 'log-format',
    check: oneOf('auto', 'json', 'pretty'),
    doc: 'json, pretty, or auto: pretty on a terminal, json elsewhere.',
  },

  {
    path: 'cgroups.driver',
    type: 'string',
    default: 'auto',
    check: oneOf('auto', 'cgroupfs', 'systemd'),
    doc: 'cgroupfs, systemd, or auto: systemd on a cgroup v2 machine that runs it, else cgroupfs. kubelet is told and follows.',
  },
  {
    path: 'cgroups.default_parent',
    type: 'string',
    default: '/coracle',
    check: absolute,
    doc: 'Parent cgroup of pods whose request names none (cgroupfs driver).',
  },
  {
    path: 'cgroups.monitor',
    type: 'string',
    default: undefined,
    check: absolute,
    doc: 'Cgroup for the container monitors. Unset: that of the daemon, never that of the pod.',
  },
  {
    path: 'cgroups.scope_prefix',
    type: 'string',
    default: 'auto',
    check: (v) => (/^[a-z][a-z0-9-]{0,30}$/.test(String(v)) ? undefined : 'expected a short lower-case name'),
    doc: "First part of the names of containers' cgroups. auto: crio where cAdvisor is served, else coracle.",
  },

  { path: 'programs.conmon', type: 'string', default: '/usr/bin/conmon', check: absolute, doc: 'The container monitor.' },
  {
    path: 'programs.init',
    type: 'string',
    default: '/usr/bin/catatonit',
    check: absolute,
    doc: 'Init of pods whose containers share one PID namespace.',
  },

  { path: 'runtimes.*.path', type: 'string', default: undefined, reload: true, check: absolute, doc: 'The OCI runtime program.' },
  {
    path: 'runtimes.*.kind',
    type: 'string',
    default: undefined,
    reload: true,
    check: oneOf('crun', 'runc', 'runsc', 'other'),
    doc: 'Which dialect it speaks. Unset: told from the name of the program.',
  },
  { path: 'runtimes.*.arguments', type: 'strings', default: [], reload: true, doc: 'Extra global arguments of the program.' },
  {
    path: 'runtimes.*.privileged_without_host_devices',
    type: 'boolean',
    default: false,
    reload: true,
    doc: 'Privileged containers of this handler get the devices of their request only, not all of the node.',
  },
  {
    path: 'runtimes.*.allowed_annotations',
    type: 'strings',
    default: [],
    reload: true,
    doc: 'Pod annotations that may reach the OCI runtime: exact names, or a prefix followed by *. None by default.',
  },

  {
    path: 'cni.config_dir',
    type: 'string',
    default: '/etc/cni/net.d',
    flag: 'cni-config-dir',
    check: absolute,
    doc: 'Network configuration: the first file in lexical order is used. Watched.',
  },
  {
    path: 'cni.plugin_dirs',
    type: 'strings',
    default: ['/opt/cni/bin', '/usr/lib/cni'],
    flag: 'cni-plugin-dir',
    check: allAbsolute,
    doc: 'Where network plugins are looked for, in this order.',
  },
  {
    path: 'cni.add_timeout_s',
    type: 'integer',
    default: 220,
    check: range(1, 3600),
    doc: 'Seconds that attaching a pod to its network may take.',
  },
  {
    path: 'cni.del_timeout_s',
    type: 'integer',
    default: 60,
    check: range(1, 3600),
    doc: 'Seconds that detaching may take before it is retried.',
  },

  {
    path: 'mounts.absent_sources_to_reject',
    type: 'strings',
    default: [],
    check: allAbsolute,
    doc: 'Mount sources that are never made when they are missing: a directory at such a path would do harm, as one at /etc/hostname.',
  },
  {
    path: 'devices.owner_from_security_context',
    type: 'boolean',
    default: false,
    doc: 'Devices of a request belong to its run_as_user and run_as_group, instead of keeping their owners of the node.',
  },

  {
    path: 'apparmor.enabled',
    type: 'boolean',
    default: true,
    doc: 'Use AppArmor where the kernel has it: containers get the profile coracle-default, loaded at the start, or the one they name.',
  },
  {
    path: 'apparmor.parser',
    type: 'string',
    default: undefined,
    check: absolute,
    doc: 'The compiler of profiles. Unset: apparmor_parser, where distributions have it.',
  },

  {
    path: 'selinux.enabled',
    type: 'boolean',
    default: true,
    doc: 'Use SELinux where the kernel has it: a level of its own for each pod, labels for processes and files, volumes relabelled.',
  },

  {
    path: 'cdi.spec_dirs',
    type: 'strings',
    default: ['/etc/cdi', '/var/run/cdi'],
    check: allAbsolute,
    doc: 'Container Device Interface files (*.json, *.yaml); a later directory wins. Read again when they change. Empty: CDI is off.',
  },
  {
    path: 'cdi.annotations',
    type: 'boolean',
    default: false,
    doc: 'Take CDI devices also from the annotations cdi.k8s.io/* of a container, as device plugins before Kubernetes 1.28 set them.',
  },

  {
    path: 'images.max_downloads',
    type: 'integer',
    default: 16,
    check: range(1, 256),
    doc: 'Layers downloaded at once, of all pulls together.',
  },
  {
    path: 'images.max_downloads_per_image',
    type: 'integer',
    default: 3,
    check: range(1, 64),
    doc: 'Layers of one image downloaded at once.',
  },
  {
    path: 'images.connections_per_layer',
    type: 'integer',
    default: 4,
    check: range(1, 16),
    doc: 'Connections for one large layer, used when one alone turns out slow and the registry has ranges.',
  },
  {
    path: 'images.stall_timeout_s',
    type: 'integer',
    default: 60,
    check: range(1, 3600),
    doc: 'A pull without progress for so many seconds ends with an error.',
  },
  {
    path: 'images.pinned',
    type: 'strings',
    default: [],
    reload: true,
    doc: 'Images that kubelet must not collect: exact names, prefix*, or *part*.',
  },
  {
    path: 'images.signature_policy',
    type: 'string',
    default: undefined,
    reload: true,
    check: absolute,
    doc: 'What may be pulled: a policy.json (containers-policy.json(5)). Unset: /etc/containers/policy.json, and without that file everything.',
  },
  {
    path: 'images.signature_policy_dir',
    type: 'string',
    default: undefined,
    reload: true,
    check: absolute,
    doc: 'Policies of single namespaces, NAMESPACE.json each: for pulls of pods of that namespace in place of the policy of the node.',
  },
  {
    path: 'images.keep_blobs',
    type: 'boolean',
    default: false,
    doc: 'Keep compressed layers beside the unpacked ones, so that save and push give the manifest digest that was pulled. Costs their size again.',
  },
  ...imageStoreKeys,
  ...registryKeys,

  {
    path: 'streaming.address',
    type: 'string',
    default: '127.0.0.1',
    check: (v) => (isIP(String(v)) > 0 ? undefined : 'expected an IP address'),
    doc: 'Where exec, attach and port-forward are served to kubelet. Others than loopback need TLS.',
  },
  { path: 'streaming.port', type: 'integer', default: 0, check: range(0, 65535), doc: '0: the kernel chooses.' },
  {
    path: 'streaming.tls_certificate',
    type: 'string',
    default: undefined,
    check: absolute,
    doc: 'PEM certificate chain; read again when it changes.',
  },
  { path: 'streaming.tls_key', type: 'string', default: undefined, check: absolute, doc: 'PEM key of the certificate.' },
  {
    path: 'streaming.idle_timeout_s',
    type: 'integer',
    default: 14400,
    check: range(1, 604800),
    doc: 'A session without a byte for so many seconds ends.',
  },

  ...observeKeys,

  {
    path: 'limits.probe_timeout_s',
    type: 'integer',
    default: 10,
    check: range(1, 600),
    doc: 'Seconds that looking at a path of a pod may take: a volume on a dead server ends here.',
  },
  {
    path: 'limits.runtime_timeout_s',
    type: 'integer',
    default: 240,
    check: range(1, 3600),
    doc: 'Seconds that the OCI runtime may take to create or to start a container: one that hangs in a dead volume is killed then.',
  },
  {
    path: 'limits.unclaimed_s',
    type: 'integer',
    default: 120,
    check: range(1, 3600),
    doc: 'Seconds that a pod or container waits for the retry of a caller that gave up, before it is undone.',
  },
]

/** The environment variable of a key without `*`: CORACLE_ and the path in capitals. */
export const environmentName = (path: string): string => `CORACLE_${path.toUpperCase().replaceAll('.', '_')}`
