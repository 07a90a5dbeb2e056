// Annotations that reach the OCI runtime: our own few, and those the operator allows. A pod's author writes annotations, and runtimes obey
// some of them (CVE-2024-3154, CVE-2023-6476), so nothing else passes.
import type { SpecInput } from './spec-input.ts'

// Properties of a systemd unit of the host to runc and crun, and crun's replacements of the filter: no operator's pattern lets them through.
const neverAllowed = ['org.systemd.property.', 'run.oci.seccomp']

const own = 'coracle.container'

/** Whether `name` matches one of the patterns, exact names or `prefix*`. Case counts. */
export const isAllowed = (name: string, patterns: readonly string[]): boolean =>
  !neverAllowed.some((prefix) => name.toLowerCase().startsWith(prefix)) &&
  !name.startsWith(own) &&
  patterns.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern))

/** The container's annotations win over the pod's, ours over both. */
export function specAnnotations(input: SpecInput): Readonly<Record<string, string>> {
  const asked = [...Object.entries(input.pod.config.annotations), ...Object.entries(input.config.annotations)]
  // fromEntries defines own properties, so a name such as __proto__ stays a name.
  return Object.fromEntries([
    ...asked.filter(([name]) => isAllowed(name, input.allowedAnnotations)),
    [`${own}.name`, input.config.metadata?.name ?? ''],
    [`${own}.pod`, input.pod.id],
    [`${own}.image`, input.config.image?.image ?? ''],
  ])
}
