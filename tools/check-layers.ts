// The rules of the doors between packages, read from the import statements of the source:
//   1. imports go down the layers or not at all; siblings never import each other; no cycles (which follows)
//   2. some edges are for types only: the importing room gets the things themselves handed in
//   3. packages are entered by their doors (Node refuses other paths itself, through `exports`)
//   4. some modules belong to one room: child processes and FFI to `host`, gRPC to the server, the environment to daemon and cli
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Rules {
  /** Packages whose values may be imported. */
  readonly values: readonly string[]
  /** Packages of which only types may be imported. */
  readonly types?: readonly string[]
}

export const rules: Readonly<Record<string, Rules>> = {
  base: { values: [] },
  'oci-spec': { values: ['base'] },
  'cri-api': { values: ['base'] },
  host: { values: ['base', 'oci-spec'] },
  image: { values: ['base', 'oci-spec', 'host/unpack-syscalls', 'host/isal', 'host/isal-deflate'], types: ['host'] },
  cni: { values: ['base'], types: ['host'] },
  'container-spec': { values: ['base', 'oci-spec'], types: ['cri-api'] },
  'oci-runtime': { values: ['base', 'oci-spec'], types: ['host'] },
  streaming: { values: ['base'] },
  lifecycle: {
    values: ['base', 'oci-spec', 'container-spec'],
    types: ['cri-api', 'host', 'image', 'cni', 'oci-runtime', 'streaming'],
  },
  'cri-server': { values: ['base', 'oci-spec', 'cri-api', 'lifecycle'], types: ['host', 'image', 'oci-runtime', 'streaming'] },
  daemon: {
    values: [
      'base',
      'oci-spec',
      'cri-api',
      'host',
      'image',
      'cni',
      'container-spec',
      'oci-runtime',
      'streaming',
      'lifecycle',
      'cri-server',
    ],
  },
  cli: { values: ['base', 'oci-spec', 'cri-api', 'streaming', 'host', 'image/moving'] },
}

/** Modules that only the named packages may import. */
const owned: Readonly<Record<string, readonly string[]>> = {
  'node:child_process': ['host'],
  koffi: ['host'],
  '@grpc/grpc-js': ['cri-server'],
  'node:sqlite': ['lifecycle', 'image'],
}

export interface Import {
  readonly specifier: string
  readonly typeOnly: boolean
}

/** Import and re-export statements, and dynamic imports, of one source text. */
export function importsOf(source: string): Import[] {
  const found: Import[] = []
  const statement = /^\s*(?:import|export)\s+(type\s+)?(?:([^'"]*?)\s+from\s+)?['"]([^'"]+)['"]/gm
  for (const [, type, clause, specifier] of source.matchAll(statement)) {
    const named = clause?.match(/^\{([\s\S]*)\}$/)?.[1]
    const allTypes = named?.split(',').every((name) => name.trim() === '' || name.trim().startsWith('type ')) ?? false
    if (specifier !== undefined) found.push({ specifier, typeOnly: type !== undefined || (allTypes && named?.trim() !== '') })
  }
  for (const [, specifier] of source.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)(?!\.)/g)) {
    if (specifier !== undefined) found.push({ specifier, typeOnly: false })
  }
  return found
}

/** What is wrong with one import, or undefined. */
export function problemOf(room: string, { specifier, typeOnly }: Import): string | undefined {
  const owners = owned[specifier]
  if (owners !== undefined && !typeOnly && !owners.includes(room)) return `only ${owners.join(' and ')} may import ${specifier}`
  if (!specifier.startsWith('@coracle/')) return undefined
  const path = specifier.slice('@coracle/'.length)
  const target = path.split('/')[0] ?? ''
  const { values = [], types = [] } = rules[room] ?? {}
  if (target === room) return 'a room imports its own files by relative paths'
  if (values.includes(target) || values.includes(path)) return undefined
  if (types.includes(target)) return typeOnly ? undefined : `${room} may import only types from ${target}`
  return `${room} must not import ${target}`
}

function* sources(directory: string): Generator<string> {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    if (statSync(path).isDirectory()) {
      if (name !== 'node_modules' && name !== 'gen') yield* sources(path)
    } else if (name.endsWith('.ts')) yield path
  }
}

/** Every broken rule below `root`/packages, as `file: problem`. */
export function checkLayers(root: string): string[] {
  const problems: string[] = []
  for (const room of Object.keys(rules)) {
    for (const file of sources(join(root, 'packages', room, 'src'))) {
      const text = readFileSync(file, 'utf8')
      const name = relative(root, file)
      const test = name.endsWith('.test.ts')
      for (const one of importsOf(text)) {
        // Tests may take fakes and neighbours.
        const problem = test ? undefined : problemOf(room, one)
        if (problem !== undefined) problems.push(`${name}: ${problem}`)
      }
      if (!test && !['daemon', 'cli'].includes(room) && /(?<![.\w])process\.(env|argv)\b/.test(text.replace(/\/\/.*$/gm, ''))) {
        problems.push(`${name}: only daemon and cli may read process.env and process.argv`)
      }
    }
  }
  return problems
}

export const repositoryRoot = fileURLToPath(new URL('..', import.meta.url))
