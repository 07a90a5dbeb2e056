// Which credentials go to a host: the operator's files and helpers. Those of the request itself are not looked up here.
import { explain } from '@coracle/base/errors'
import type { Credentials } from '../images.ts'
import { askHelper, type HelperDeps } from './credential-helper.ts'
import { type AuthFile, authKeys } from './files/auth-file.ts'
import type { Sourced } from './files/registries-conf.ts'

export interface CredentialSources {
  readonly files: readonly AuthFile[]
  /** registries.conf: `containers-auth.json` stands for the files. Undefined: only the files. */
  readonly helpers: Sourced<readonly string[]> | undefined
  /** Undefined: no program is run, its name only is told. */
  readonly programs: HelperDeps | undefined
}

export interface FoundCredentials {
  readonly credentials?: Credentials
  /** File and key, or program; never the secret. */
  readonly from?: string
  /** A helper that was to be asked could not answer. */
  readonly problem?: string
}

const theFiles = 'containers-auth.json'

/** The most specific entry of the first source that knows the host. Does not throw, except when `signal` aborts. */
export async function findCredentials(
  sources: CredentialSources,
  { host, repository }: { readonly host: string; readonly repository: string },
  signal: AbortSignal,
): Promise<FoundCredentials> {
  const keys = authKeys(host, repository)
  const server = serverOf(keys.at(-1) ?? host)
  let problem: string | undefined
  const ask = async (name: string, from: string): Promise<FoundCredentials | undefined> => {
    const told = `credential helper docker-credential-${name} (${from})`
    if (sources.programs === undefined) return { from: `${told}, not asked` }
    try {
      const credentials = await askHelper(sources.programs, { name, server }, signal)
      return credentials === undefined ? undefined : { credentials, from: told }
    } catch (err) {
      signal.throwIfAborted()
      problem ??= explain(err)
      return undefined
    }
  }
  for (const name of sources.helpers?.value ?? [theFiles]) {
    const found = name === theFiles ? await inFiles(sources.files, keys, ask) : await ask(name, sources.helpers?.from ?? '')
    if (found !== undefined) return found
  }
  return problem === undefined ? {} : { problem }
}

type Ask = (helper: string, from: string) => Promise<FoundCredentials | undefined>

async function inFiles(files: readonly AuthFile[], keys: readonly string[], ask: Ask): Promise<FoundCredentials | undefined> {
  for (const { file, auths, helpers, store } of files) {
    for (const key of keys) {
      const helper = helpers.get(key)
      const asked = helper === undefined ? undefined : await ask(helper, `${file} credHelpers ${JSON.stringify(key)}`)
      if (asked !== undefined) return asked
      const credentials = auths.get(key)
      if (credentials !== undefined) return { credentials, from: `${file} auths ${JSON.stringify(key)}` }
    }
    const asked = store === undefined ? undefined : await ask(store, `${file} credsStore`)
    if (asked !== undefined) return asked
  }
  return undefined
}

// What docker has always called its registry towards helpers.
const serverOf = (registry: string): string => (registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry)
