// The three functions of protobuf-es that client and server need, without the rest: the package's door also loads the JSON forms and
// every well-known type, which doubles the start-up time of a command line and costs a daemon 10 MB. They are the same module instances.
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

type Core = Pick<typeof import('@bufbuild/protobuf'), 'create' | 'toBinary' | 'fromBinary'>

function load(): Core {
  const require = createRequire(import.meta.url)
  const door = import.meta.resolve('@bufbuild/protobuf')
  const parts = ['create.js', 'to-binary.js', 'from-binary.js'].map(
    (file): Partial<Core> => require(fileURLToPath(new URL(file, door))),
  )
  const { create, toBinary, fromBinary }: Partial<Core> = Object.assign({}, ...parts)
  if (!create || !toBinary || !fromBinary) throw new Error(`${door} is not laid out as the pinned version of protobuf-es is`)
  return { create, toBinary, fromBinary }
}

export const { create, toBinary, fromBinary } = load()
