// Opens paths that may hang, in a process of its own that can be killed. They come as one JSON line on stdin; of each it says on stdout the
// number of its descriptor (O_PATH) or the errno's name. It keeps them until its stdin ends.
import { constants, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { errnoOf } from '@coracle/base/errno'

const O_PATH = 0o10000000

function open(path: string): string {
  try {
    // Behind the slash what is mounted on demand is mounted.
    return String(openSync(path, path.endsWith('/.') ? O_PATH | constants.O_DIRECTORY : O_PATH))
  } catch (err) {
    return errnoOf(err) ?? 'EIO'
  }
}

createInterface({ input: process.stdin }).once('line', (line) => {
  // The daemon's own words.
  for (const path of JSON.parse(line) as readonly string[]) process.stdout.write(`${open(path)}\n`)
})
