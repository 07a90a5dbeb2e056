import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { codeOf, doing, notFound, precondition } from '@coracle/base/errors'
import { type Container, ContainerState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { type Place, parsePlace, splitPath } from '../copy/places.ts'
import type { TarRun } from '../copy/run-tar.ts'
import { resolveContainer } from '../resolve.ts'
import { type StreamOptions, streamOptions } from '../stream/options.ts'
import { UsageError } from '../usage-error.ts'
import { stateText } from './ps.ts'

export const command = defineCommand({
  name: 'cp',
  summary: 'Copy files to and from containers',
  usage: 'cp [options] CONTAINER:PATH PATH   or   cp [options] PATH CONTAINER:PATH',
  description: [
    'Copies a file or a directory with all below it. Into a directory that exists it goes under its own name, else it gets the name',
    'of the target. The container must run and have tar. Owners are not kept; of what comes from a container, links that lead out of',
    'the tree and devices are left out.',
  ].join('\n'),
  options: streamOptions,
  operands: { min: 2, max: 2 },
  examples: [
    'coracle cp web:/etc/nginx ./nginx',
    'coracle cp index.html web:/usr/share/nginx/html/',
    'coracle cp ./a:b web:/tmp',
  ],
  async run(context, options, [from = '', to = '']) {
    const [source, target] = [parsePlace(from), parsePlace(to)]
    if (source.kind === target.kind)
      throw new UsageError(`cp copies between a container and this machine: one of "${from}" and "${to}" must be CONTAINER:PATH`)
    if (source.kind === 'container' && target.kind === 'local') await download(context, { source, path: target.path, options })
    if (source.kind === 'local' && target.kind === 'container') await upload(context, { path: source.path, target, options })
  },
})

type ContainerPlace = Extract<Place, { kind: 'container' }>

async function running(context: Context, name: string): Promise<Container> {
  const container = await resolveContainer(context, name)
  if (container.state !== ContainerState.CONTAINER_RUNNING)
    throw precondition(`container ${name} is not running but ${stateText(container).toLowerCase()}: cp needs a running one`)
  return container
}

type Download = { readonly source: ContainerPlace; readonly path: string; readonly options: StreamOptions }

async function download(context: Context, { source, path, options }: Download): Promise<void> {
  const { directory, name } = splitPath(source.path)
  const [destination, { receiveFromTar }, { readTar }, { extract }] = await Promise.all([
    localDestination(path, name),
    import('../copy/run-tar.ts'),
    import('../copy/tar-reader.ts'),
    import('../copy/extract.ts'),
  ])
  const { id } = await running(context, source.container)
  const args = ['-cf', '-', '-C', directory, name === '.' ? '.' : `./${name}`]
  const run: TarRun = { containerId: id, container: source.container, args, stream: options }
  const warn = warner(context)
  let count = 0
  await receiveFromTar(context, run, async (archive) => {
    count = (await extract(readTar(archive), { name, destination, warn })).entries
  })
  if (count === 0) throw notFound(`container ${source.container} sent nothing for ${source.path}`)
}

/** Where `name` goes: into a directory that is there, else in its place. */
async function localDestination(path: string, name: string): Promise<string> {
  const info = await stat(path).catch(() => undefined)
  if (info?.isDirectory()) return name === '.' ? await realpath(path) : join(await realpath(path), name)
  if (path.endsWith('/')) throw notFound(`directory ${path} does not exist on this machine: make it first`)
  const full = resolve(path)
  return join(await doing(`find directory ${dirname(full)}`, () => realpath(dirname(full))), basename(full))
}

type Upload = { readonly path: string; readonly target: ContainerPlace; readonly options: StreamOptions }

async function upload(context: Context, { path, target, options }: Upload): Promise<void> {
  // What a link named here leads to is copied, not the link.
  const source = await doing(`find ${path}`, () => realpath(path))
  const [{ sendToTar }, { writeTar }] = await Promise.all([import('../copy/run-tar.ts'), import('../copy/tar-writer.ts')])
  const { id } = await running(context, target.container)
  const into = target.path.endsWith('/') || (await isDirectoryInside(context, id, target.path))
  const { directory, name } = into ? { directory: target.path, name: basename(resolve(path)) } : splitPath(target.path)
  if (name === '' || name === '.') throw new UsageError(`the copy of "${path}" has no name: give it one in CONTAINER:PATH`)
  const run: TarRun = { containerId: id, container: target.container, args: ['-xf', '-', '-C', directory], stream: options }
  await sendToTar(context, run, writeTar(source, { name, warn: warner(context) }))
}

/** A container without `test` has most likely no tar either, which is told better later. */
async function isDirectoryInside({ runtime }: Context, containerId: string, path: string): Promise<boolean> {
  try {
    const { exitCode } = await runtime.execSync({ containerId, cmd: ['test', '-d', path], timeout: 10n })
    return exitCode === 0
  } catch (err) {
    if (codeOf(err) === 'unavailable' || codeOf(err) === 'canceled') throw err
    return false
  }
}

const warner =
  ({ err }: Context) =>
  (message: string): void =>
    err.line(`coracle: ${message}`)
