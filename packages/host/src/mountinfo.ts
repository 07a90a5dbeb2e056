import type { MountInfo } from './host.ts'

/** Parses /proc/PID/mountinfo (proc_pid_mountinfo(5)). Lines that do not have its form are left out. */
export function parseMountInfo(text: string): readonly MountInfo[] {
  const mounts: MountInfo[] = []
  for (const line of text.split('\n')) {
    const mount = parseLine(line)
    if (mount !== undefined) mounts.push(mount)
  }
  return mounts
}

function parseLine(line: string): MountInfo | undefined {
  const fields = line.split(' ')
  // The optional fields end at a lone hyphen; a path cannot be one, since it starts with a slash.
  const end = fields.indexOf('-', 6)
  const [id, parent, , root, target, options] = fields
  if (end < 0 || root === undefined || target === undefined || options === undefined) return undefined
  return {
    id: Number(id),
    parent: Number(parent),
    root: unescapePath(root),
    target: unescapePath(target),
    options: options.split(','),
    propagation: fields.slice(6, end),
    type: unescapePath(fields[end + 1] ?? ''),
    source: unescapePath(fields[end + 2] ?? ''),
  }
}

/** The kernel writes blank, tab, newline and backslash as three octal digits. */
function unescapePath(text: string): string {
  if (!text.includes('\\')) return text
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}

/** The mounts at or below `directory`, in the order in which they must be unmounted. */
export function mountsBelow(mounts: readonly MountInfo[], directory: string): readonly MountInfo[] {
  const prefix = directory === '/' ? '/' : `${directory}/`
  const inside = mounts.filter((mount) => mount.target === directory || mount.target.startsWith(prefix))
  const depths = new Map<number, number>()
  const byId = new Map(inside.map((mount) => [mount.id, mount]))
  // Parents come first in the file only as long as nothing was moved: depth is counted by parentage, which also orders stacked mounts.
  const depthOf = (mount: MountInfo): number => {
    const known = depths.get(mount.id)
    if (known !== undefined) return known
    depths.set(mount.id, 0)
    const parent = byId.get(mount.parent)
    const depth = parent === undefined ? 0 : depthOf(parent) + 1
    depths.set(mount.id, depth)
    return depth
  }
  return inside.toSorted((a, b) => depthOf(b) - depthOf(a))
}
