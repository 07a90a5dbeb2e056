import { readFileSync } from 'node:fs'
import { VersionResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'

export const command = defineCommand({
  name: 'version',
  summary: 'Show the versions of this command and the runtime',
  usage: 'version [options]',
  options: { output: outputOption, client: { kind: 'flag', help: 'only of this command; asks no runtime' } },
  operands: { min: 0, max: 0 },
  examples: ['coracle version', 'coracle version -o json'],
  async run({ runtime, out }, options) {
    if (options.client) {
      const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
      out.line(`coracle ${JSON.parse(text).version}`)
      return
    }
    const reply = await runtime.version({ version: 'v1' })
    if (options.output === 'json' || options.output === 'yaml')
      return void (await printStructured(out, options.output, messageToJson(VersionResponseSchema, reply)))
    out.line(`Version:  ${reply.version}`)
    out.line(`RuntimeName:  ${reply.runtimeName}`)
    out.line(`RuntimeVersion:  ${reply.runtimeVersion}`)
    out.line(`RuntimeApiVersion:  ${reply.runtimeApiVersion}`)
  },
})
