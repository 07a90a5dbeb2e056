// What a layer's directory must hold: its tree record played back by the rules of extraction, in memory. Written apart from the
// extractor on purpose: where the two do not agree, a test of hostile archives fails.
import { parentOf } from '../tar/entry.ts'
import { whiteoutOf } from '../unpack/whiteout.ts'
import type { TreeRecord } from './record.ts'

/** A thing in the tree; hard links share one. */
export interface TreeNode {
  type: 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'whiteout'
  /** Undefined where nothing is known: a directory that no entry asked for. */
  record: TreeRecord | undefined
  opaque: boolean
  /** By name as Latin-1 text: bytes, in a form that a map can have as key. */
  readonly children: Map<string, TreeNode>
}

const maxLinks = 40

const node = (type: TreeNode['type'], record?: TreeRecord): TreeNode => ({ type, record, opaque: false, children: new Map() })

export class ExpectedTree {
  readonly root: TreeNode = node('directory')

  /** Throws RangeError for a record that no extraction can have left. */
  play(record: TreeRecord): void {
    if (record.path.length === 0) {
      this.root.record = record
      return
    }
    const whiteout = whiteoutOf(record.path)
    if (whiteout === undefined) this.#put(record)
    else if (whiteout.kind === 'opaque') this.#opaque(whiteout.path)
    else if (whiteout.kind === 'remove') this.#whiteout(whiteout.path)
  }

  #put(record: TreeRecord): void {
    const { parent, name } = this.#locate(record.path)
    const before = parent.children.get(name)
    if (record.kind === 'directory') {
      if (before?.type === 'directory') before.record = record
      else {
        const made = node('directory', record)
        made.opaque = before?.type === 'whiteout'
        parent.children.set(name, made)
      }
    } else if (record.kind === 'hardlink') {
      const target = this.#locate(record.link)
      const linked = target.parent.children.get(target.name)
      if (linked === undefined) throw new RangeError('a hard link has no target')
      parent.children.set(name, linked)
    } else parent.children.set(name, node(record.kind, record))
  }

  #opaque(path: Buffer): void {
    if (path.length === 0) {
      this.root.opaque = true
      return
    }
    const { parent, name } = this.#locate(path)
    let directory = parent.children.get(name)
    if (directory?.type !== 'directory') {
      directory = node('directory')
      parent.children.set(name, directory)
    }
    directory.opaque = true
  }

  // It speaks about lower layers: what this layer has of that name stays.
  #whiteout(path: Buffer): void {
    const { parent, name } = this.#locate(path)
    const before = parent.children.get(name)
    if (before?.type === 'directory') before.opaque = true
    else if (before === undefined) parent.children.set(name, node('whiteout'))
  }

  /** Where the last component lies, with the links of its parents followed inside the root and missing directories made. */
  #locate(path: Buffer): { parent: TreeNode; name: string } {
    const parents = parentOf(path).toString('latin1')
    const name = path.subarray(parents.length === 0 ? 0 : parents.length + 1).toString('latin1')
    return { parent: parents.length === 0 ? this.root : this.#enter(parents), name }
  }

  #enter(path: string): TreeNode {
    const way = [this.root]
    const pending = path.split('/').reverse()
    let links = 0
    while (pending.length > 0) {
      // Both hold more than nothing.
      const part = pending.pop() as string
      const at = way.at(-1) as TreeNode
      if (part === '' || part === '.') continue
      if (part === '..') {
        if (way.length > 1) way.pop()
        continue
      }
      const next = at.children.get(part)
      if (next === undefined || next.type === 'whiteout') {
        const made = node('directory')
        made.opaque = next !== undefined
        at.children.set(part, made)
        way.push(made)
      } else if (next.type === 'directory') way.push(next)
      else if (next.type === 'symlink' && next.record !== undefined && ++links <= maxLinks) {
        const target = next.record.link.toString('latin1')
        if (target.startsWith('/')) way.length = 1
        pending.push(...target.split('/').reverse())
      } else throw new RangeError('a parent is no directory')
    }
    return way.at(-1) as TreeNode
  }
}
