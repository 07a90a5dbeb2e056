// `inspect --remote`.
import { type OuterLocation, openSource, parseLocation } from '@coracle/image/moving'
import { hostPlatform, parsePlatform } from '@coracle/oci-spec/platform'
import { parseReference } from '@coracle/oci-spec/reference'
import type { Context } from '../context.ts'
import { printStructured } from '../print/structured.ts'
import { renderTemplate } from '../print/template.ts'
import { UsageError } from '../usage-error.ts'
import { inspectRemote } from './inspect-remote.ts'
import { accessOf } from './registry-options.ts'

type RemoteOptions = {
  readonly output: string | undefined
  readonly template: string | undefined
  readonly raw: boolean
  readonly platform: string | undefined
  readonly creds: string | undefined
  readonly 'plain-http': boolean
}

export async function printRemote(context: Context, options: RemoteOptions, names: readonly string[]): Promise<undefined> {
  const signal = context.interruption()
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform)
  const access = accessOf('creds', options.creds, options['plain-http'])
  const found = []
  for (const name of names) {
    await using source = await openSource(remoteLocation(name), access, signal)
    if (options.raw) context.out.write((await source.top(signal)).bytes)
    else found.push(await inspectRemote(source, platform, signal))
  }
  if (options.raw) return
  if (options.output === 'table')
    for (const { rows } of found) context.out.line(`${rows.map(([key, value]) => `${key}: ${value}`).join('\n')}\n`)
  else if (options.output === 'go-template' || options.template !== undefined)
    for (const { value } of found) context.out.line(renderTemplate(options.template ?? '', value))
  else {
    const values = found.map(({ value }) => value)
    await printStructured(context.out, options.output ?? 'json', values.length === 1 ? (values[0] ?? null) : values)
  }
}

/** Here a plain name is one of a registry: `inspecti` shows what is in the store. */
function remoteLocation(name: string): OuterLocation {
  const location = parseLocation(name)
  if (location.kind !== 'store') return location
  if (name.startsWith('store:'))
    throw new UsageError('inspect --remote is for images elsewhere; coracle inspecti shows those of the store')
  return { kind: 'docker', reference: parseReference(name) }
}
