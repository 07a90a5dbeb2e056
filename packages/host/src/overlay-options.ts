import { closeSync, constants, openSync } from 'node:fs'

const O_PATH = 0o10000000

export interface MountData extends Disposable {
  /** Comma-separated, as mount(2) takes it. */
  readonly text: string
}

/**
 * File system data for mount(2). The lower directories of an overlay that would not fit into the page are opened and
 * named by fd, `/proc/self/fd/N`: enough for some two hundred layers; more go to mountLayers. Dispose after the mount.
 */
export function shortenOverlay(type: string, words: readonly string[], maxBytes: number): MountData {
  const text = words.join(',')
  const fds: number[] = []
  const data = {
    text,
    [Symbol.dispose]: () => {
      for (const fd of fds.splice(0)) closeSync(fd)
    },
  }
  if (type !== 'overlay' || Buffer.byteLength(text) <= maxBytes) return data
  try {
    const short = words.map((word) =>
      word.startsWith('lowerdir=')
        ? `lowerdir=${splitLayers(word.slice(9))
            .map((path) => byFd(path, fds))
            .join(':')}`
        : word,
    )
    return { ...data, text: short.join(',') }
  } catch (err) {
    data[Symbol.dispose]()
    throw err
  }
}

/** Splits at colons that no backslash escapes, and takes the escapes away. */
export function splitLayers(value: string): readonly string[] {
  return (value.match(/(?:\\.|[^:\\])+/gs) ?? []).map((path) => path.replace(/\\(.)/gs, '$1'))
}

function byFd(path: string, fds: number[]): string {
  const fd = openSync(path, O_PATH | constants.O_DIRECTORY)
  fds.push(fd)
  return `/proc/self/fd/${fd}`
}
