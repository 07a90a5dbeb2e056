// CRI's resources to the OCI spec's, and their update in place (cgroups(7), runtime-spec config-linux.md).

import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { LinuxContainerResources } from '@coracle/cri-api'
import type { LinuxResources } from '@coracle/oci-spec/runtime-spec'
import { parseRange } from './numbers.ts'
import type { HostFacts } from './spec-input.ts'

const field = 'config.linux.resources'
const int64 = { min: 0, max: Number.MAX_SAFE_INTEGER }

export type ResourceHost = Pick<HostFacts, 'cgroupMode' | 'controllers' | 'swapAccounting' | 'hugepageSizes'>

/**
 * Only fields that are set are given. Without an own swap limit a memory limit allows no swap. Huge page sizes this host lacks are left out:
 * kubelet sends every size it knows. Throws `invalid_argument` for bad values, `failed_precondition` for a missing controller.
 */
export function toLinuxResources(resources: LinuxContainerResources | undefined, host: ResourceHost): LinuxResources {
  if (resources === undefined) return {}
  checkResources(resources)
  return {
    ...cpuOf(resources, host),
    ...memoryOf(resources, host),
    ...hugepagesOf(resources, host),
    ...unifiedOf(resources, host),
  }
}

function need(host: ResourceHost, controller: string, what: string): void {
  if (!host.controllers.has(controller))
    throw new CodedError(
      'failed_precondition',
      `${field}.${what} cannot be enforced: this node has no ${controller} cgroup controller`,
    )
}

function cpuOf(r: LinuxContainerResources, host: ResourceHost): Pick<LinuxResources, 'cpu'> {
  const time = r.cpuShares !== 0n || r.cpuQuota !== 0n || r.cpuPeriod !== 0n
  const set = r.cpusetCpus !== '' || r.cpusetMems !== ''
  if (time) need(host, 'cpu', 'cpu_shares')
  if (set) need(host, 'cpuset', 'cpuset_cpus')
  if (!time && !set) return {}
  return {
    cpu: {
      ...(r.cpuShares === 0n ? {} : { shares: Math.min(Math.max(Number(r.cpuShares), 2), 262144) }),
      ...(r.cpuQuota === 0n ? {} : { quota: Number(r.cpuQuota) }),
      ...(r.cpuPeriod === 0n ? {} : { period: Number(r.cpuPeriod) }),
      ...(r.cpusetCpus === '' ? {} : { cpus: r.cpusetCpus }),
      ...(r.cpusetMems === '' ? {} : { mems: r.cpusetMems }),
    },
  }
}

function memoryOf(r: LinuxContainerResources, host: ResourceHost): Pick<LinuxResources, 'memory'> {
  const limit = Number(r.memoryLimitInBytes)
  const swap = Number(r.memorySwapLimitInBytes)
  if (limit === 0 && swap === 0) return {}
  need(host, 'memory', 'memory_limit_in_bytes')
  const wanted = swap === 0 ? limit : swap
  if (!host.swapAccounting && wanted > limit)
    throw new CodedError(
      'failed_precondition',
      `${field}.memory_swap_limit_in_bytes ${swap} cannot be enforced: this node does not account for swap`,
    )
  return {
    memory: {
      ...(limit === 0 ? {} : { limit }),
      // Without swap accounting there is nothing to set, and a wish for no swap beyond memory is what the kernel does anyway.
      ...(host.swapAccounting ? { swap: wanted } : {}),
    },
  }
}

function hugepagesOf(r: LinuxContainerResources, host: ResourceHost): Pick<LinuxResources, 'hugepageLimits'> {
  if (!host.controllers.has('hugetlb')) return {}
  const limits = r.hugepageLimits
    .filter(({ pageSize }) => host.hugepageSizes.includes(pageSize))
    .map(({ pageSize, limit }) => ({ pageSize, limit: parseRange(`${field}.hugepage_limits`, limit, int64) }))
  return limits.length === 0 ? {} : { hugepageLimits: limits }
}

function unifiedOf(r: LinuxContainerResources, host: ResourceHost): Pick<LinuxResources, 'unified'> {
  const entries = Object.entries(r.unified)
  if (entries.length === 0) return {}
  if (host.cgroupMode !== 'v2')
    throw new CodedError('failed_precondition', `${field}.unified cannot be enforced: this node is not on cgroup v2`)
  for (const [key] of entries) need(host, key.slice(0, key.indexOf('.')), `unified[${quote(key)}]`)
  return { unified: Object.fromEntries(entries) }
}

const cpuList = /^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/

/** Throws `invalid_argument` unless every field has a value the kernel could take. */
export function checkResources(r: LinuxContainerResources): void {
  parseRange(`${field}.cpu_shares`, r.cpuShares, int64)
  if (r.cpuQuota !== 0n && r.cpuQuota !== -1n)
    parseRange(`${field}.cpu_quota`, r.cpuQuota, { min: 1000, max: Number.MAX_SAFE_INTEGER })
  if (r.cpuPeriod !== 0n) parseRange(`${field}.cpu_period`, r.cpuPeriod, { min: 1000, max: 1_000_000 })
  parseRange(`${field}.memory_limit_in_bytes`, r.memoryLimitInBytes, { min: -1, max: int64.max })
  parseRange(`${field}.memory_swap_limit_in_bytes`, r.memorySwapLimitInBytes, { min: -1, max: int64.max })
  parseRange(`${field}.oom_score_adj`, r.oomScoreAdj, { min: -1000, max: 1000 })
  const { memoryLimitInBytes: limit, memorySwapLimitInBytes: swap } = r
  if (swap > 0n && limit > swap)
    throw invalid(`${field}.memory_swap_limit_in_bytes ${swap} is below memory_limit_in_bytes ${limit}`)
  for (const [name, text] of [
    ['cpuset_cpus', r.cpusetCpus],
    ['cpuset_mems', r.cpusetMems],
  ] as const)
    if (text !== '' && !cpuList.test(text)) throw invalid(`${field}.${name} ${quote(text)} must be a list such as 0-3,7`)
  for (const { pageSize } of r.hugepageLimits)
    if (!/^[1-9][0-9]{0,6}[KMG]B$/.test(pageSize))
      throw invalid(`${field}.hugepage_limits ${quote(pageSize)} must be a size such as 2MB`)
  checkUnified(r.unified)
}

function checkUnified(unified: { readonly [key: string]: string }): void {
  for (const [key, value] of Object.entries(unified)) {
    if (!/^[a-z]+(\.[A-Za-z0-9_-]+)+$/.test(key) || key.startsWith('cgroup.'))
      throw invalid(`${field}.unified ${quote(key)} must be a controller's file such as memory.high`)
    if (value.includes('\0')) throw invalid(`${field}.unified[${quote(key)}] must not contain NUL`)
  }
}

/** `current` with the fields of `update` that are not zero. All or nothing: throws `invalid_argument` when the result is not valid. */
export function mergeResources(
  current: LinuxContainerResources | undefined,
  update: LinuxContainerResources,
): LinuxContainerResources {
  checkResources(update)
  if (current === undefined) return update
  const pick = (now: bigint, next: bigint): bigint => (next === 0n ? now : next)
  const sizes = new Set(update.hugepageLimits.map((limit) => limit.pageSize))
  const merged: LinuxContainerResources = {
    ...current,
    cpuPeriod: pick(current.cpuPeriod, update.cpuPeriod),
    cpuQuota: pick(current.cpuQuota, update.cpuQuota),
    cpuShares: pick(current.cpuShares, update.cpuShares),
    memoryLimitInBytes: pick(current.memoryLimitInBytes, update.memoryLimitInBytes),
    memorySwapLimitInBytes: pick(swapBase(current, update), update.memorySwapLimitInBytes),
    oomScoreAdj: pick(current.oomScoreAdj, update.oomScoreAdj),
    cpusetCpus: update.cpusetCpus || current.cpusetCpus,
    cpusetMems: update.cpusetMems || current.cpusetMems,
    hugepageLimits: [...current.hugepageLimits.filter(({ pageSize }) => !sizes.has(pageSize)), ...update.hugepageLimits],
    unified: { ...current.unified, ...update.unified },
  }
  checkResources(merged)
  return merged
}

// A swap limit equal to the memory limit means "no swap" and follows it.
const swapBase = (current: LinuxContainerResources, update: LinuxContainerResources): bigint =>
  update.memoryLimitInBytes !== 0n && current.memorySwapLimitInBytes === current.memoryLimitInBytes
    ? update.memoryLimitInBytes
    : current.memorySwapLimitInBytes

/** The oom_score_adj a container gets; without the right to go lower, not below our own. */
export function oomScoreAdj(
  resources: LinuxContainerResources | undefined,
  host: Pick<HostFacts, 'lowerOomScore' | 'oomScoreAdj'>,
): { readonly value: number; readonly warnings: readonly string[] } {
  const wanted =
    resources === undefined ? 0 : parseRange(`${field}.oom_score_adj`, resources.oomScoreAdj, { min: -1000, max: 1000 })
  if (host.lowerOomScore || wanted >= host.oomScoreAdj) return { value: wanted, warnings: [] }
  return {
    value: host.oomScoreAdj,
    warnings: [`${field}.oom_score_adj ${wanted} is raised to ${host.oomScoreAdj}: this process may not go lower`],
  }
}
