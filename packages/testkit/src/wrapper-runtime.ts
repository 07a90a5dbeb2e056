// A runtime that misbehaves on demand: a shell script in front of a real one.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * `hang`: never returns. `junk`: exits 1 with bytes that are no text. `slow`: `slowSeconds`, then the real thing. `flood`: writes to stderr
 * without end. `partial`: prints half a JSON document, succeeds. `lie`: succeeds without doing anything. `crash`: ends of SIGSEGV.
 * `fail`: exits 1 with words like runc's.
 */
export type WrapperMode = 'hang' | 'junk' | 'slow' | 'flood' | 'partial' | 'lie' | 'crash' | 'fail'

export interface WrapperRuntime {
  /** Absolute path of the script: give it as the program of a handler, with the kind of the real one. */
  readonly program: string
  /** What the command (`create`, `start`, `exec`, `kill`, `delete`, `state`, …) does from now on. */
  set(command: string, mode: WrapperMode): void
  /** The command is the real one's again; without an argument, all. */
  clear(command?: string): void
}

export interface WrapperOptions {
  readonly directory: string
  /** Absolute path of the real runtime. */
  readonly program: string
  readonly slowSeconds?: number
}

export const failWords = 'wrapped runtime refuses: no such luck'

// The mode of each command is a file, so that it can be changed while daemons run.
export function createWrapperRuntime(options: WrapperOptions): WrapperRuntime {
  const program = join(options.directory, 'wrapper-runtime')
  const modes = join(options.directory, 'modes')
  mkdirSync(modes, { recursive: true })
  writeFileSync(program, script(options, modes), { mode: 0o755 })
  return {
    program,
    set: (command, mode) => writeFileSync(join(modes, command), `${mode}\n`),
    clear: (command) => {
      rmSync(command === undefined ? modes : join(modes, command), { recursive: true, force: true })
      mkdirSync(command === undefined ? modes : dirname(join(modes, command)), { recursive: true })
    },
  }
}

const script = ({ program, slowSeconds = 30 }: WrapperOptions, modes: string): string => `#!/bin/sh
# The command is the first argument that is no option; global options are all of the form --name=value or flags.
command=
for argument in "$@"; do
  case $argument in
    -*) ;;
    *) command=$argument; break ;;
  esac
done
mode=
if [ -f '${modes}'/"$command" ]; then read -r mode < '${modes}'/"$command"; fi
case $mode in
  hang) while :; do sleep 3600; done ;;
  junk) printf '\\001\\033[31m\\377\\376 junk "quoted" \\\\ \\r\\n' >&2; exit 1 ;;
  slow) sleep ${slowSeconds} ;;
  flood) while :; do echo 'flood flood flood flood flood flood flood flood flood flood flood flood flood' >&2; done ;;
  partial) printf '{"ociVersion": "1.0.2", "id": "x", "stat'; exit 0 ;;
  lie) exit 0 ;;
  crash) kill -SEGV $$ ;;
  fail) echo 'time="2026-01-01T00:00:00Z" level=error msg="${failWords}"' >&2; exit 1 ;;
esac
exec '${program}' "$@"
`
