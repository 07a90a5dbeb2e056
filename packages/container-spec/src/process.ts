// The process that runs in a container, and those exec'ed into it.

import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { ContainerConfig } from '@coracle/cri-api'
import type { ImageConfig } from '@coracle/oci-spec/image'
import type { Process } from '@coracle/oci-spec/runtime-spec'
import { cleanPath, isWithin } from './paths.ts'

/**
 * command replaces Entrypoint and Cmd, args replaces Cmd (CRI ContainerConfig; Kubernetes' table of command and args). Throws `invalid_argument`
 * when nothing is left to run.
 */
export function commandLine(config: ContainerConfig, image: ImageConfig): readonly string[] {
  const args =
    config.command.length > 0
      ? [...config.command, ...config.args]
      : [...image.entrypoint, ...(config.args.length > 0 ? config.args : image.cmd)]
  return parseArgs('config.command', args)
}

/** Throws `invalid_argument` unless `args` could be given to execve(2). */
export function parseArgs(field: string, args: readonly string[]): readonly string[] {
  if (args.length === 0) throw invalid(`${field} is empty, and the image has neither Entrypoint nor Cmd: nothing to run`)
  if (args[0] === '') throw invalid(`${field}: the program's name is empty`)
  const bad = args.find((arg) => arg.includes('\0'))
  if (bad !== undefined) throw invalid(`${field}: argument ${quote(bad)} must not contain NUL`)
  return args
}

/** CRI's working_dir, else the image's (which may be relative to `/`), else `/`. */
export function workingDirectory(config: ContainerConfig, image: ImageConfig): string {
  const asked = config.workingDir
  if (asked !== '' && !asked.startsWith('/')) throw invalid(`config.working_dir ${quote(asked)} must be an absolute path`)
  const field = asked === '' ? 'working directory of the image' : 'config.working_dir'
  const path = cleanPath(asked === '' ? image.workingDir : asked)
  if (path.includes('\0') || Buffer.byteLength(path) > 4095)
    throw invalid(`${field} ${quote(path)} must have no NUL and at most 4095 bytes`)
  if (namesProcess(path)) throw invalid(`${field} ${quote(path)} must not lie in a process's directory of /proc`)
  return path
}

// Such a path may lead out of the container through a descriptor of the runtime's (CVE-2024-21626).
const namesProcess = (path: string): boolean => /^\/proc\/(self|thread-self|[0-9]+)(\/|$)/.test(path) || isWithin(path, '/dev/fd')

export interface ExecCommand {
  readonly args: readonly string[]
  readonly terminal: boolean
  /** In cells; only with a terminal. */
  readonly consoleSize?: { readonly height: number; readonly width: number }
}

/**
 * A further process with the container's own user, groups, capabilities, no_new_privs, labels, limits and environment (hazards I12).
 * Its seccomp filter is the container's: the runtimes take it from config.json. Throws `invalid_argument` for arguments execve(2) would refuse.
 */
export function execProcess(container: Process, exec: ExecCommand): Process {
  const { consoleSize: _ofContainer, ...rest } = container
  const term = exec.terminal && !container.env.some((entry) => entry.startsWith('TERM=')) ? ['TERM=xterm'] : []
  if (exec.args.length === 0) throw invalid('cmd must not be empty')
  return {
    ...rest,
    terminal: exec.terminal,
    args: parseArgs('cmd', exec.args),
    env: [...container.env, ...term],
    ...(exec.terminal && exec.consoleSize !== undefined ? { consoleSize: exec.consoleSize } : {}),
  }
}
