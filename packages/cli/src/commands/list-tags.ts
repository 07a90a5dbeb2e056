import { listTags } from '@coracle/image/moving'
import { parseReference } from '@coracle/oci-spec/reference'
import { defineCommand } from '../command.ts'
import { accessOf, registryOptions } from '../moving/registry-options.ts'
import { printStructured } from '../print/structured.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'list-tags',
  summary: 'List the tags of a repository in a registry',
  usage: 'list-tags [options] REPOSITORY',
  options: {
    output: {
      kind: 'string',
      short: 'o',
      value: 'FORMAT',
      choices: ['text', 'json', 'yaml'],
      help: 'text (default), json or yaml',
    },
    ...registryOptions,
  },
  operands: { min: 1, max: 1 },
  examples: ['coracle list-tags registry.k8s.io/pause', 'coracle list-tags docker://127.0.0.1:5000/app'],
  async run(context, options, [operand = '']) {
    const name = operand.replace(/^docker:\/\//, '')
    const reference = parseReference(name)
    if (/[:@][^/]*$/.test(name.slice(name.indexOf('/') + 1))) throw new UsageError('list-tags takes a repository without a tag')
    const access = accessOf('creds', options.creds, options['plain-http'])
    const tags = await listTags(reference, access, context.interruption())
    if (options.output === 'json' || options.output === 'yaml')
      await printStructured(context.out, options.output, {
        repository: `${reference.registry}/${reference.repository}`,
        tags: [...tags],
      })
    else for (const tag of tags) context.out.line(tag)
  },
})
