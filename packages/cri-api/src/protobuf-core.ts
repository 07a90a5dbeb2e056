// The three functions of protobuf-es that a client needs, without the rest: the package's door also loads the JSON forms and
// every well-known type, which doubles the start-up time of a command line. They are the very same module instances.
type Core = Pick<typeof import('@bufbuild/protobuf'), 'create' | 'toBinary' | 'fromBinary'>

async function load(): Promise<Core> {
  const door = import.meta.resolve('@bufbuild/protobuf')
  try {
    const modules: Partial<Core>[] = await Promise.all(
      ['create.js', 'to-binary.js', 'from-binary.js'].map((file) => import(new URL(file, door).href)),
    )
    const { create, toBinary, fromBinary } = Object.assign({}, ...modules) as Partial<Core>
    if (create && toBinary && fromBinary) return { create, toBinary, fromBinary }
  } catch {
    // Another version may lay out its files differently; its door is always there.
  }
  return await import('@bufbuild/protobuf')
}

export const { create, toBinary, fromBinary } = await load()
