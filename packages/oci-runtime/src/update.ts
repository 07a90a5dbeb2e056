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
import { filesOf } from './files.ts'
import type { ContainerPaths } from './oci-runtime.ts'

const log = logger('oci-runtime')

/** All or nothing: a runtime may have written some of the limits before it failed, so the previous ones are applied again. */
export async function update(
  ctx: RuntimeContext,
  paths: ContainerPaths,
  resources: LinuxResources,
  signal: AbortSignal,
): Promise<void> {
  const previous = currentResources(paths)
  const wanted = mergeResources(previous, resources)
  try {
    await apply(ctx, paths, wanted, signal)
  } catch (err) {
    // Then nothing was changed, and nothing can be changed back.
    if (err instanceof CodedError && err.code === 'unimplemented') throw err
    await apply(ctx, paths, previous, cleanupSignal(ctx.timeouts.stateMs)).catch((undo: unknown) => {
      log.warn('previous resources were not restored', { container: paths.id, why: explain(undo) })
    })
    throw err
  }
  writeFileAtomic(filesOf(paths).resources, JSON.stringify(wanted))
}

async function apply(ctx: RuntimeContext, paths: ContainerPaths, resources: LinuxResources, signal: AbortSignal): Promise<void> {
  const file = `${filesOf(paths).resources}.next`
  // Devices cannot be changed by an update.
  const { devices: _devices, ...changeable } = resources
  writeFileAtomic(file, JSON.stringify(changeable))
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
