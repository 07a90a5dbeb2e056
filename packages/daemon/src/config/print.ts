import { stringify } from 'smol-toml'
import { environmentName, keys, type Value } from './keys.ts'
import { masked, type Settings } from './load.ts'

const toml = (value: Value): string =>
  Array.isArray(value) ? `[${value.map((item) => JSON.stringify(item)).join(', ')}]` : JSON.stringify(value)

/** The default configuration file: every key with its meaning, all commented out. */
export function defaultFileText(): string {
  const lines = [
    '# Configuration of coracled. Every key is shown with its default; an unknown key, a wrong type or a bad value is an error.',
    '# Files in coracle.d/*.toml beside this one are read after it, in lexical order; then the environment, then flags.',
    '# Keys marked (reload) take effect at SIGHUP, the others at a restart, which disturbs no container.',
  ]
  let table = ''
  for (const key of keys) {
    const cut = key.path.lastIndexOf('.')
    const of = cut < 0 ? '' : key.path.slice(0, cut)
    if (of !== table) lines.push('', `#[${of.replace('*', 'NAME')}]`)
    table = of
    const also = key.path.includes('*') ? '' : ` Environment: ${environmentName(key.path)}.`
    const flag = key.flag === undefined ? '' : ` Flag: --${key.flag}.`
    lines.push('', `# ${key.doc}${key.reload ? ' (reload)' : ''}${flag}${also}`)
    lines.push(`#${key.path.slice(cut + 1)} = ${key.default === undefined ? '""' : toml(key.default)}`)
  }
  return `${lines.join('\n')}\n`
}

/** The effective configuration as TOML, each line with where it comes from. */
export function printSettings(settings: Settings): string {
  const tables = new Map<string, string[]>()
  for (const [path, { value, from }] of [...settings].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const cut = path.lastIndexOf('.')
    const table = cut < 0 ? '' : path.slice(0, cut)
    const line = `${stringify({ [path.slice(cut + 1)]: masked(value) }).trim()}  # ${from}`
    tables.set(table, [...(tables.get(table) ?? []), line])
  }
  const sections = [...tables].sort(([a], [b]) => (a < b ? -1 : 1))
  return `${sections.map(([table, lines]) => (table === '' ? lines : [`[${header(table)}]`, ...lines]).join('\n')).join('\n\n')}\n`
}

// Only registry hosts need quotes in a header.
const header = (table: string): string =>
  table.replace(/^registries\.(.*)$/, (_all, host: string) => `registries.${JSON.stringify(host)}`)
