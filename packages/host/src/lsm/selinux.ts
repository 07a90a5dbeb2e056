// SELinux as kernel and policy show it (selinux(8)).
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unlessErrno } from '@coracle/base/errno'
import { precondition } from '@coracle/base/errors'
import { loadUnpackSyscalls } from '../unpack-syscalls.ts'

export interface SelinuxContext {
  readonly user: string
  readonly role: string
  readonly type: string
}

/** What the node's policy says about containers (the shape that container-spec takes). */
export interface SelinuxPolicyWords {
  readonly process: SelinuxContext
  readonly file: SelinuxContext
  readonly privilegedType: string
}

/** The kernel has SELinux and it is on, enforcing or not. `root` is in front of /sys, for tests. */
export const hasSelinux = (root = ''): boolean => existsSync(`${root}/sys/fs/selinux/enforce`)

/**
 * From SELINUXTYPE of /etc/selinux/config and the policy's contexts/lxc_contexts, where container-selinux says how containers are labelled.
 * Throws `failed_precondition` when it is not there.
 */
export function readSelinuxPolicy(root = ''): SelinuxPolicyWords {
  const base = join(root, '/etc/selinux')
  const type = settings(join(base, 'config')).get('SELINUXTYPE') ?? 'targeted'
  if (!/^[\w-]+$/.test(type)) throw precondition(`${base}/config: SELINUXTYPE is not the name of a policy`)
  const path = join(base, type, 'contexts/lxc_contexts')
  const contexts = settings(path)
  const context = (name: string): SelinuxContext => {
    const [user = '', role = '', contextType = ''] = (contexts.get(name) ?? '').split(':')
    if (user === '' || role === '' || contextType === '')
      throw precondition(`${path} does not say what "${name}" of a container is: install the policy package container-selinux`)
    return { user, role, type: contextType }
  }
  return { process: context('process'), file: context('file'), privilegedType: 'spc_t' }
}

// `name = "value"` or `name=value`, a comment behind `#`.
function settings(path: string): ReadonlyMap<string, string> {
  const text = unlessErrno(['ENOENT', 'EACCES'], () => readFileSync(path, 'utf8'), '')
  return new Map(
    text.split('\n').flatMap((line) => {
      const [, name, value] = /^\s*(\w+)\s*=\s*"?([^"#\s]*)/.exec(line) ?? []
      return name === undefined || value === undefined ? [] : [[name, value] as const]
    }),
  )
}

export const selinuxAttribute = 'security.selinux'

/** Labels one file of our own; a link is not followed. */
export function setSelinuxLabel(path: string, label: string): void {
  loadUnpackSyscalls().setXattr(Buffer.from(path), selinuxAttribute, Buffer.from(`${label}\0`))
}
