// Overlays of more layers than mount(2) has room for: its options are one page. Each layer is handed over by itself (fsopen(2), fsconfig(2)).
import { closeSync, constants, openSync } from 'node:fs'
import { O_CLOEXEC, O_PATH } from './in-root.ts'
import { callFailed, libc } from './libc.ts'
import { splitLayers } from './overlay-options.ts'
import { AT } from './statx.ts'

const FSOPEN_CLOEXEC = 1
const FSCONFIG = { flag: 0, string: 1, create: 6 } as const
const FSMOUNT_CLOEXEC = 1
const MOVE_MOUNT_F_EMPTY_PATH = 4

/**
 * Mounts an overlay with `words` as mount(8) writes them; `attributes` are flags of mount(2) up to noexec. Needs `lowerdir+` of Linux 6.7.
 * Throws what the kernel says.
 */
export function mountLayers(destination: string, words: readonly string[], attributes: number): void {
  const fds: number[] = []
  const keep = (fd: number, what: string): number => {
    if (fd < 0) throw callFailed(what)
    fds.push(fd)
    return fd
  }
  // Values have 255 bytes at most.
  const named = (path: string): string =>
    `/proc/self/fd/${keep(openSync(path, O_PATH | O_CLOEXEC | constants.O_DIRECTORY), `open ${path}`)}`
  try {
    const context = keep(libc.fsopen('overlay', FSOPEN_CLOEXEC), 'open a new overlay')
    const say = (command: number, key: string | null, value: string | null) => {
      if (libc.fsconfig(context, command, key, value, 0) !== 0)
        throw callFailed(`set up the overlay at ${destination}${key === null ? '' : `, option ${key}`}`)
    }
    say(FSCONFIG.string, 'source', 'overlay')
    for (const word of words) {
      const [key = '', value] = word.split(/=(.*)/s, 2)
      if (value === undefined) say(FSCONFIG.flag, key, null)
      else if (key === 'lowerdir') for (const path of splitLayers(value)) say(FSCONFIG.string, 'lowerdir+', named(path))
      else if (key === 'upperdir' || key === 'workdir') say(FSCONFIG.string, key, named(splitLayers(value).join(':')))
      else say(FSCONFIG.string, key, value.replace(/^"(.*)"$/s, '$1'))
    }
    say(FSCONFIG.create, null, null)
    const mounted = keep(libc.fsmount(context, FSMOUNT_CLOEXEC, attributes), `make the overlay for ${destination}`)
    if (libc.moveMount(mounted, '', AT.fdcwd, destination, MOVE_MOUNT_F_EMPTY_PATH) !== 0)
      throw callFailed(`mount overlay at ${destination}`)
  } finally {
    for (const fd of fds) closeSync(fd)
  }
}
