// A CPU quota of -1 means none (runtime-spec config-linux.md). crun 1.8 writes it as an unsigned number, which the kernel refuses for
// cgroup v1: there it is left out of what crun is given.
import type { LinuxResources, RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import type { RuntimeContext } from './context.ts'

/** Whether an update has to write the quota itself. */
export const needsQuotaByHand = (ctx: RuntimeContext, resources: LinuxResources): boolean =>
  ctx.kind === 'crun' && ctx.deps.cgroups.mode !== 'v2' && resources.cpu?.quota === -1

export function withoutQuota(resources: LinuxResources): LinuxResources {
  const { quota: _quota, ...cpu } = resources.cpu ?? {}
  return { ...resources, cpu }
}

/** The spec as this runtime takes it. A new cgroup has no quota, so that nothing is lost. */
export function withQuotaItCanRead(ctx: RuntimeContext, spec: RuntimeSpec): RuntimeSpec {
  const resources = spec.linux.resources
  if (resources === undefined || !needsQuotaByHand(ctx, resources)) return spec
  return { ...spec, linux: { ...spec.linux, resources: withoutQuota(resources) } }
}
