import { type Image, ListImagesResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { filterImages } from '../image-filter.ts'
import { outputOption } from '../print/output-options.ts'
import { renderTable, shortId } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'

export const command = defineCommand({
  name: 'images',
  summary: 'List images',
  usage: 'images [options] [IMAGE]',
  options: {
    quiet: { kind: 'flag', short: 'q', help: 'only ids, in full' },
    verbose: { kind: 'flag', short: 'v', help: 'a block of lines for each image' },
    digests: { kind: 'flag', help: 'a column with the digest' },
    pinned: { kind: 'flag', help: 'a column that tells whether garbage collection spares the image' },
    'no-trunc': { kind: 'flag', help: 'ids and digests in full' },
    filter: {
      kind: 'list',
      short: 'f',
      value: 'KEY=VALUE',
      help: 'dangling=true|false, reference=REGEX, before=IMAGE or since=IMAGE',
    },
    output: outputOption,
  },
  operands: { min: 0, max: 1 },
  examples: ['coracle images', 'coracle images --digests busybox:1', 'coracle images -q -f dangling=true'],
  async run({ image, out }, options, [name = '']) {
    const reply = await image.listImages({ filter: { image: { image: name } } })
    const images = filterImages([...reply.images].sort(byName), options.filter)
    if (options.quiet) for (const { id } of images) out.line(id)
    else if (options.output === 'json' || options.output === 'yaml') {
      const { messageToJson, printStructured } = await import('../print/structured.ts')
      reply.images = images
      await printStructured(out, options.output, messageToJson(ListImagesResponseSchema, reply))
    } else if (options.verbose) for (const each of images) out.line(describe(each))
    else out.write(tableOf(images, options))
  },
})

type Columns = { readonly digests: boolean; readonly pinned: boolean; readonly 'no-trunc': boolean }

function tableOf(images: readonly Image[], columns: Columns): string {
  const shorten = columns['no-trunc'] ? (text: string) => text : shortId
  const headings = [
    'IMAGE',
    'TAG',
    ...(columns.digests ? ['DIGEST'] : []),
    'IMAGE ID',
    'SIZE',
    ...(columns.pinned ? ['PINNED'] : []),
  ]
  const rows = images.flatMap((each) =>
    names(each).map(({ repository, tag, digest }) => [
      repository,
      tag,
      ...(columns.digests ? [digest === '<none>' ? digest : shorten(digest)] : []),
      shorten(each.id),
      formatBytes(each.size),
      ...(columns.pinned ? [String(each.pinned)] : []),
    ]),
  )
  return renderTable(headings, rows)
}

/** A row for each tag; an image without tags has one, under the repository of its digest. */
function names({ repoTags, repoDigests }: Image): { repository: string; tag: string; digest: string }[] {
  const digests = new Map(repoDigests.map((name) => splitAt(name, name.indexOf('@'))))
  if (repoTags.length > 0)
    return repoTags.map((name) => {
      const [repository, tag] = splitAt(name, name.lastIndexOf(':'))
      return { repository, tag, digest: digests.get(repository) ?? digests.values().next().value ?? '<none>' }
    })
  const [first] = digests
  return [{ repository: first?.[0] ?? '<none>', tag: '<none>', digest: first?.[1] ?? '<none>' }]
}

const splitAt = (text: string, index: number): [string, string] =>
  index < 0 ? [text, '<none>'] : [text.slice(0, index), text.slice(index + 1)]

function byName(a: Image, b: Image): number {
  const [x, y] = [a, b].map(({ repoTags, repoDigests, id }) => repoTags[0] ?? repoDigests[0] ?? id)
  return (x ?? '').localeCompare(y ?? '')
}

function describe({ id, repoTags, repoDigests, size, pinned, uid, username }: Image): string {
  const user = username || uid?.value
  return [
    `ID: ${id}`,
    ...repoTags.map((tag) => `RepoTags: ${tag}`),
    ...repoDigests.map((digest) => `RepoDigests: ${digest}`),
    `Size: ${formatBytes(size)}`,
    ...(user === undefined || user === '' ? [] : [`User: ${user}`]),
    `Pinned: ${pinned}`,
    '',
  ].join('\n')
}
