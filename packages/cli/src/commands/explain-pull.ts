import {
  EndpointVerdict,
  type ExplainedEndpoint,
  type ExplainedReference,
  ExplainPullResponseSchema,
  Registry,
  type RegistryExchange,
} from '@coracle/cri-api/registry'
import { defineCommand } from '../command.ts'
import type { Screen } from '../print/screen.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'explain-pull',
  summary: 'Show where an image comes from, and why',
  usage: 'explain-pull [options] IMAGE',
  description:
    'Every host that a pull would ask, in its order: what chose it (file and line), where its credentials come from, what it answers now\n' +
    'and how long that takes. Nothing is downloaded. The exit code is 1 when no host has the image.',
  options: {
    offline: { kind: 'flag', help: 'only look at the configuration: ask no host, run no credential helper' },
    creds: { kind: 'string', value: 'USER:PASSWORD', help: 'credentials, as kubelet would send them for the pod' },
    output: { kind: 'string', short: 'o', value: 'FORMAT', choices: ['json', 'yaml', 'text'], help: 'json, yaml or text' },
  },
  operands: { min: 1, max: 1 },
  examples: [
    'coracle explain-pull busybox',
    'coracle explain-pull --offline registry.example.org/app:1',
    'coracle explain-pull -o json registry.example.org/app:1',
  ],
  async run({ imageClient, out }, { offline, creds, output }, [image = '']) {
    const answer = await imageClient.service(Registry).explainPull({ image, offline, ...pairOf(creds) }, { timeoutMs: 0 })
    if (output === 'json' || output === 'yaml') {
      await printStructured(out, output, messageToJson(ExplainPullResponseSchema, answer))
    } else for (const reference of answer.references) printReference(out, reference)
    const isThere = answer.references.some(({ endpoints }) => endpoints.some(({ verdict }) => verdict === EndpointVerdict.USED))
    const isRefused = answer.references.every(({ error }) => error !== '')
    return (offline && !isRefused) || isThere ? 0 : 1
  },
})

function pairOf(creds: string | undefined): { username?: string; password?: string } {
  if (creds === undefined) return {}
  const colon = creds.indexOf(':')
  if (colon < 1) throw new UsageError('option --creds expects USER:PASSWORD')
  return { username: creds.slice(0, colon), password: creds.slice(colon + 1) }
}

function printReference(out: Screen, { reference, chosenBy, endpoints, remarks, error, digest }: ExplainedReference): void {
  out.line(`${out.paint('bold', reference)}${chosenBy === '' ? '' : `  (${chosenBy})`}`)
  if (error !== '') out.line(`  ${out.paint('red', 'refused')}: ${error}`)
  for (const [i, endpoint] of endpoints.entries()) printEndpoint(out, endpoint, i + 1)
  for (const remark of remarks) out.line(`  ${out.paint('yellow', 'note')}: ${remark}`)
  if (digest !== '') out.line(`  digest: ${digest}`)
}

function printEndpoint(out: Screen, endpoint: ExplainedEndpoint, number: number): void {
  const { url, repository, role, chosenBy, serves, proxy, credentials } = endpoint
  out.line(`  ${number}. ${url}/${repository}  ${describeVerdict(out, endpoint)}`)
  const facts: readonly (readonly [string, string])[] = [
    [role, chosenBy.length === 0 ? 'named by the reference' : `by ${chosenBy.join(', ')}`],
    ['asked for', serves === 'tags and digests' ? '' : `${serves} only`],
    ['tls', describeTls(endpoint)],
    ['proxy', proxy],
    ['credentials', credentials === '' ? 'none' : credentials],
  ]
  for (const [name, value] of facts) if (value !== '') out.line(`     ${`${name}:`.padEnd(13)}${value}`)
  for (const exchange of endpoint.exchanges) out.line(`     ${out.paint('dim', describeExchange(exchange))}`)
}

function describeVerdict(out: Screen, { verdict, reason }: ExplainedEndpoint): string {
  switch (verdict) {
    case EndpointVerdict.USED:
      return out.paint('green', 'used')
    case EndpointVerdict.RESERVE:
      return out.paint('green', 'has it too')
    case EndpointVerdict.FAILED:
      return `${out.paint('red', 'failed')}: ${reason}`
    default:
      return `not asked: ${reason}`
  }
}

function describeTls({ tls, tlsFiles }: ExplainedEndpoint): string {
  const files = tlsFiles.length === 0 ? '' : `, with ${tlsFiles.join(', ')}`
  return tls === 'none' ? 'none, plain HTTP' : `${tls}${files}`
}

function describeExchange({ method, what, status, error, httpVersion, elapsedMs }: RegistryExchange): string {
  const outcome = status === 0 ? error : `${status}, HTTP/${httpVersion}`
  return `${method} ${what}: ${outcome}, ${elapsedMs.toFixed(elapsedMs < 10 ? 1 : 0)} ms`
}
