// Every command by name: what the overview says about it, and where it is. A command's file loads only when it is used.
import type { Command } from './command.ts'

export type CommandEntry = {
  readonly group: 'Runtime' | 'Images' | 'Pods' | 'Containers' | 'Other'
  readonly summary: string
  readonly aliases?: readonly string[]
  load(): Promise<{ readonly command: Command }>
}

export const commandTable: { readonly [name: string]: CommandEntry } = {
  run: { group: 'Containers', summary: 'Run an image: pod and container in one go', load: () => import('./commands/run.ts') },
  ps: { group: 'Containers', summary: 'List containers', load: () => import('./commands/ps.ts') },
  logs: { group: 'Containers', summary: 'Show the log of a container', load: () => import('./commands/logs.ts') },
  exec: { group: 'Containers', summary: 'Run a command in a running container', load: () => import('./commands/exec.ts') },
  attach: {
    group: 'Containers',
    summary: 'Connect to the standard streams of a running container',
    load: () => import('./commands/attach.ts'),
  },
  cp: { group: 'Containers', summary: 'Copy files to and from containers', load: () => import('./commands/cp.ts') },
  debug: {
    group: 'Containers',
    summary: 'Open a shell beside a container whose image has none',
    load: () => import('./commands/debug.ts'),
  },
  inspect: {
    group: 'Containers',
    summary: 'Show everything about containers, or about images elsewhere',
    load: () => import('./commands/inspect.ts'),
  },
  create: { group: 'Containers', summary: 'Create a container in a pod from files', load: () => import('./commands/create.ts') },
  start: { group: 'Containers', summary: 'Start created containers', load: () => import('./commands/start.ts') },
  stop: { group: 'Containers', summary: 'Stop running containers', load: () => import('./commands/stop.ts') },
  rm: { group: 'Containers', summary: 'Remove containers', load: () => import('./commands/rm.ts') },
  update: { group: 'Containers', summary: 'Change the resources of containers', load: () => import('./commands/update.ts') },
  stats: { group: 'Containers', summary: 'Show what containers use', load: () => import('./commands/stats.ts') },
  events: {
    group: 'Runtime',
    summary: 'Follow what happens to pods and containers',
    aliases: ['event'],
    load: () => import('./commands/events.ts'),
  },
  pods: { group: 'Pods', summary: 'List pods', load: () => import('./commands/pods.ts') },
  runp: { group: 'Pods', summary: 'Run a pod from a file', load: () => import('./commands/runp.ts') },
  inspectp: { group: 'Pods', summary: 'Show everything about pods', load: () => import('./commands/inspectp.ts') },
  'port-forward': { group: 'Pods', summary: 'Forward local ports to a pod', load: () => import('./commands/port-forward.ts') },
  stopp: { group: 'Pods', summary: 'Stop pods', load: () => import('./commands/stopp.ts') },
  rmp: { group: 'Pods', summary: 'Remove pods', load: () => import('./commands/rmp.ts') },
  statsp: { group: 'Pods', summary: 'Show what pods use', load: () => import('./commands/statsp.ts') },
  metricsp: { group: 'Pods', summary: 'Show the metrics of pods', load: () => import('./commands/metricsp.ts') },
  metricdescs: {
    group: 'Pods',
    summary: 'Show which metrics of pods there are',
    load: () => import('./commands/metricdescs.ts'),
  },
  pull: { group: 'Images', summary: 'Pull an image', load: () => import('./commands/pull.ts') },
  'explain-pull': {
    group: 'Images',
    summary: 'Show where an image comes from, and why',
    load: () => import('./commands/explain-pull.ts'),
  },
  pulls: { group: 'Images', summary: 'Show the pulls under way', load: () => import('./commands/pulls.ts') },
  images: { group: 'Images', summary: 'List images', aliases: ['image', 'img'], load: () => import('./commands/images.ts') },
  inspecti: { group: 'Images', summary: 'Show everything about images', load: () => import('./commands/inspecti.ts') },
  rmi: { group: 'Images', summary: 'Remove images', load: () => import('./commands/rmi.ts') },
  save: { group: 'Images', summary: 'Write images of the store to an archive', load: () => import('./commands/save.ts') },
  load: { group: 'Images', summary: 'Read images from an archive into the store', load: () => import('./commands/load.ts') },
  import: {
    group: 'Images',
    summary: 'Make an image of a tar archive of a root file system',
    load: () => import('./commands/import.ts'),
  },
  push: { group: 'Images', summary: 'Push an image of the store to a registry', load: () => import('./commands/push.ts') },
  tag: { group: 'Images', summary: 'Give an image of the store more names', load: () => import('./commands/tag.ts') },
  untag: {
    group: 'Images',
    summary: 'Take names of images away, and keep the images',
    load: () => import('./commands/untag.ts'),
  },
  history: { group: 'Images', summary: 'Show how an image was made', load: () => import('./commands/history.ts') },
  copy: {
    group: 'Images',
    summary: 'Copy an image between registries, directories, archives and the store',
    load: () => import('./commands/copy.ts'),
  },
  'list-tags': {
    group: 'Images',
    summary: 'List the tags of a repository in a registry',
    load: () => import('./commands/list-tags.ts'),
  },
  df: { group: 'Images', summary: 'Show what takes the space, byte by byte', load: () => import('./commands/df.ts') },
  store: { group: 'Images', summary: 'Check the image store, and mend it', load: () => import('./commands/store.ts') },
  imagefsinfo: { group: 'Images', summary: 'Show the space images take', load: () => import('./commands/imagefsinfo.ts') },
  status: { group: 'Runtime', summary: 'Show whether the runtime is ready', load: () => import('./commands/status.ts') },
  info: { group: 'Runtime', summary: 'Show status and configuration of the runtime', load: () => import('./commands/info.ts') },
  version: {
    group: 'Runtime',
    summary: 'Show the versions of this command and the runtime',
    load: () => import('./commands/version.ts'),
  },
  top: { group: 'Runtime', summary: 'Watch what containers and pods use', load: () => import('./commands/top.ts') },
  why: { group: 'Runtime', summary: 'Say where a pod, container or pull hangs', load: () => import('./commands/why.ts') },
  doctor: { group: 'Runtime', summary: 'Check this machine and say how to mend it', load: () => import('./commands/doctor.ts') },
  'runtime-config': {
    group: 'Runtime',
    summary: 'Show what the runtime tells the kubelet (cgroup driver)',
    load: () => import('./commands/runtime-config.ts'),
  },
  'update-runtime-config': {
    group: 'Runtime',
    summary: 'Give the runtime its pod CIDR',
    load: () => import('./commands/update-runtime-config.ts'),
  },
  completion: { group: 'Other', summary: 'Print completions for a shell', load: () => import('./commands/completion.ts') },
}

/** The full name of a command or alias. */
export function findCommand(name: string): string | undefined {
  if (Object.hasOwn(commandTable, name)) return name
  return Object.entries(commandTable).find(([, entry]) => entry.aliases?.includes(name))?.[0]
}
