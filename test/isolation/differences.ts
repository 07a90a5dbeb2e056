// Which case a runtime handler cannot pass, and why: the reason stands in the skipped test, the test stays.

export const handlers = ['crun', 'runc', 'runsc'] as const
export type Handler = (typeof handlers)[number]

/** Of Debian 12's gVisor, release 20221219. */
const gvisorLacks = {
  kernelView:
    'gVisor keeps ids, capabilities, mounts and limits in a kernel of its own: only its sandbox process can be seen from outside',
  statusFields: 'gVisor 20221219 does not tell CapAmb, NoNewPrivs and Seccomp in /proc/PID/status',
  ambient: 'gVisor 20221219 loses ambient capabilities at execve: refused',
  privileged: 'gVisor cannot give the privileges and devices of the node: refused',
  hostProcesses: 'gVisor does not see the processes of the node: refused',
  sharedProcesses: 'gVisor runs each container on a kernel of its own here: a shared PID namespace is refused',
  sharedIpc: 'gVisor keeps System V IPC in a kernel of its own for each container',
  masks: "gVisor's /proc and /sys are made by its own kernel and have nothing of the node's to mask",
  cgroupsInside: 'gVisor shows no cgroups inside',
  ipcSysctls: 'gVisor has IPC settings of its own that cannot be changed from outside: refused',
  netSysctls: "gVisor shows network settings of its own; the pod's are those of its namespace on the node",
  devices: 'gVisor does not have the devices of the node: refused',
  propagation: 'later mounts of the node do not come into gVisor: refused',
  update: 'gVisor 20221219 has no command to change limits: refused',
  mountTargets: 'gVisor keeps mounts in a kernel of its own',
  seccompExec: 'gVisor 20221219 applies a profile to the init and its children, not to processes exec’ed later',
} as const

/** Of Debian 12's runc, 1.1.5: below the floor that doctor warns of. */
const runcLacks: Partial<Record<Capability, string>> = {
  mountTargets: 'runc 1.1.5 makes empty directories through a parent that is swapped under it (CVE-2024-45310, mended in 1.1.14)',
}

export type Capability = keyof typeof gvisorLacks

/** Options for node:test: skipped, with the reason, where the handler is known to lack it. */
export const needs = (handler: Handler, capability: Capability): { readonly skip: string | false } => ({
  skip: (handler === 'runsc' ? gvisorLacks[capability] : handler === 'runc' && runcLacks[capability]) || false,
})
