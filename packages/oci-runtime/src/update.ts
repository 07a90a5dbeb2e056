import { readFileSync, rmSync } from 'node:fs'
import { writeFileAtomic } from '@coracle/base/atomic-file'
import { unlessErrno } from '@coracle/base/errno'
import { CodedError, explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { isObject } from '@coracle/base/parse-json'
import { cleanupSignal } from '@coracle/base/signals'
import type { LinuxResources } from '@coracle/oci-spec/runtime-spec'
import { command } from './command.ts'
import type { RuntimeContext } from './context.ts'
import { needsQuotaByHand, withoutQuota } from './cpu-quota.ts'
import { filesOf } from './files.ts'
import type { ContainerPaths } from './oci-runtime.ts'
import { readRecord } from './record.ts'
import { OciRuntimeError } from './words.ts'

const log = logger('oci-runtime')

/**
 * All or nothing: a runtime may have written some of the limits before it failed. The previous ones are applied again, which keeps
 * systemd's view right, and then the files of the cgroup get back what they had: that of limits which nobody had set, too.
 * Throws `failed_precondition` with the runtime's words when the kernel refuses a limit.
 */
export async function update(
  ctx: RuntimeContext,
  paths: ContainerPaths,
  resources: LinuxResources,
  signal: AbortSignal,
): Promise<void> {
  const previous = currentResources(paths)
  const wanted = mergeResources(previous, resources)
  const cgroup = readRecord(ctx, paths)?.cgroup
  const kept = cgroup === undefined ? undefined : ctx.deps.cgroups.keepLimits(cgroup)
  try {
    await apply(ctx, paths, changeable(ctx, wanted), signal)
    if (needsQuotaByHand(ctx, wanted) && cgroup !== undefined)
      ctx.deps.cgroups.setLimit(cgroup, { file: 'cpu.cfs_quota_us', value: '-1' })
  } catch (err) {
    // Then nothing was changed, and nothing can be changed back.
    if (err instanceof CodedError && err.code === 'unimplemented') throw err
    await apply(ctx, paths, changeable(ctx, previous), cleanupSignal(ctx.timeouts.stateMs)).catch((undo: unknown) => {
      log.warn('previous resources were not restored', { container: paths.id, why: explain(undo) })
    })
    const left = kept?.restore() ?? []
    if (left.length > 0) log.warn('limits were not restored', { container: paths.id, files: left })
    throw err instanceof OciRuntimeError ? new CodedError('failed_precondition', err.message, { cause: err.cause }) : err
  }
  writeFileAtomic(filesOf(paths).resources, JSON.stringify(wanted))
}

/** Without what an update cannot change, which is devices, and what is written by hand. */
function changeable(ctx: RuntimeContext, resources: LinuxResources): LinuxResources {
  const { devices: _devices, ...rest } = needsQuotaByHand(ctx, resources) ? withoutQuota(resources) : resources
  return rest
}

async function apply(ctx: RuntimeContext, paths: ContainerPaths, resources: LinuxResources, signal: AbortSignal): Promise<void> {
  const file = `${filesOf(paths).resources}.next`
  writeFileAtomic(file, JSON.stringify(resources))
  const args = ['update', `--resources=${file}`, paths.id]
  try {
    await command(ctx, { action: `update container ${paths.id}`, args, timeoutMs: ctx.timeouts.stateMs, signal })
  } catch (err) {
    // gVisor's older versions answer a command they do not have with a page of help.
    if (ctx.kind === 'runsc' && err instanceof Error && err.message.includes('Usage:'))
      throw new CodedError(
        'unimplemented',
        `handler ${ctx.handler} has no command to change the resources of a running container`,
      )
    throw err
  } finally {
    rmSync(file, { force: true })
  }
}

function currentResources(paths: ContainerPaths): LinuxResources {
  const { resources, config } = filesOf(paths)
  const updated = readJson(resources)
  if (isObject(updated)) return updated as LinuxResources
  const spec = readJson(config)
  const linux = isObject(spec) ? spec['linux'] : undefined
  // Both files are our own.
  return (isObject(linux) && isObject(linux['resources']) ? linux['resources'] : {}) as LinuxResources
}

function readJson(path: string): unknown {
  const text = unlessErrno(['ENOENT', 'ENOTDIR'], () => readFileSync(path, 'utf8'), undefined)
  return text === undefined ? undefined : JSON.parse(text)
}

/** Fields given replace those before; the rest stays. */
export function mergeResources(before: LinuxResources, change: LinuxResources): LinuxResources {
  return {
    ...before,
    ...change,
    ...(before.memory || change.memory ? { memory: { ...before.memory, ...change.memory } } : {}),
    ...(before.cpu || change.cpu ? { cpu: { ...before.cpu, ...change.cpu } } : {}),
    ...(before.unified || change.unified ? { unified: { ...before.unified, ...change.unified } } : {}),
  }
}
