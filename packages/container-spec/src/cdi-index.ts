// Which CDI file defines a device, and what the devices of a container ask for together (CDI SPEC.md, "Device naming" and "Precedence").
import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { ContainerConfig } from '@coracle/cri-api'
import type { CdiEdits, CdiSpec } from './cdi-parse.ts'

export interface CdiFile {
  readonly path: string
  /** Position of its directory in the list: a later directory wins. */
  readonly priority: number
  readonly spec: CdiSpec
}

export interface CdiProblem {
  readonly path: string
  readonly reason: string
}

export interface CdiIndex {
  readonly directories: readonly string[]
  readonly files: readonly CdiFile[]
  /** Files that cannot be used, and why. */
  readonly problems: readonly CdiProblem[]
  /** `vendor/class=device` to the file that defines it. */
  readonly devices: ReadonlyMap<string, CdiFile>
  /** Devices that several files of one directory define: nobody can tell which is meant, so none is. */
  readonly conflicts: ReadonlyMap<string, readonly string[]>
}

/** A later directory's definition of a device replaces an earlier one's; two of equal rank are a conflict, until a higher one decides it. */
export function indexCdi(
  directories: readonly string[],
  files: readonly CdiFile[],
  problems: readonly CdiProblem[] = [],
): CdiIndex {
  const devices = new Map<string, CdiFile>()
  const conflicts = new Map<string, readonly string[]>()
  for (const file of files.toSorted((a, b) => a.priority - b.priority)) {
    for (const device of file.spec.devices.keys()) {
      const name = `${file.spec.kind}=${device}`
      const other = devices.get(name)
      if (other !== undefined && other.priority === file.priority)
        conflicts.set(name, [...(conflicts.get(name) ?? [other.path]), file.path])
      else {
        conflicts.delete(name)
        devices.set(name, file)
      }
    }
  }
  return { directories, files, problems, devices, conflicts }
}

export interface CdiRequest {
  /** Where the request names it, for messages. */
  readonly field: string
  /** `vendor/class=device` */
  readonly name: string
}

const annotationPrefix = 'cdi.k8s.io/'
const qualifiedName = /^[A-Za-z][\w.-]*\/[A-Za-z][\w.-]*=[A-Za-z0-9][\w.:-]*$/

/** Throws `invalid_argument` unless `name` is `VENDOR/CLASS=DEVICE`. */
export function checkCdiName({ field, name }: CdiRequest): void {
  if (!qualifiedName.test(name)) throw invalid(`${field} ${quote(name)} must be VENDOR/CLASS=DEVICE`)
}

/**
 * The CDI devices of a container, each once: those of CDI_devices, then those of annotations `cdi.k8s.io/…` with their comma-separated names,
 * which device plugins of older clusters set. Throws `invalid_argument` for a name that is none.
 */
export function cdiRequests(config: ContainerConfig): readonly CdiRequest[] {
  const all = [
    ...config.CDIDevices.map(({ name }, i) => ({ field: `config.CDI_devices[${i}].name`, name })),
    ...cdiAnnotations(config).flatMap((key) =>
      (config.annotations[key] ?? '').split(',').map((name) => ({ field: `config.annotations[${quote(key)}]`, name })),
    ),
  ]
  all.forEach(checkCdiName)
  return [...new Map(all.toReversed().map((request) => [request.name, request])).values()].toReversed()
}

/** Keys of annotations that name CDI devices. */
export const cdiAnnotations = (config: ContainerConfig): readonly string[] =>
  Object.keys(config.annotations)
    .filter((key) => key.startsWith(annotationPrefix))
    .sort()

const none: CdiEdits = { env: [], deviceNodes: [], mounts: [], hooks: [], additionalGids: [], unsupported: [] }

/**
 * What the devices ask for together; the edits that a file has for all its devices once. Throws `failed_precondition` naming a device that no
 * file defines, that files contradict each other about, or that needs what we cannot do.
 */
export function resolveCdi(requests: readonly CdiRequest[], index: CdiIndex): CdiEdits {
  const used = new Set<CdiFile>()
  return requests.reduce((all, request) => {
    const file = fileOf(request, index)
    const first = !used.has(file)
    used.add(file)
    const own = file.spec.devices.get(request.name.slice(request.name.indexOf('=') + 1)) ?? none
    const edits = first ? join(file.spec.edits, own) : own
    const [unsupported] = edits.unsupported
    if (unsupported !== undefined) throw refused(request, `needs ${unsupported} (${file.path}), which is not supported here`)
    return join(all, edits)
  }, none)
}

const refused = ({ field, name }: CdiRequest, why: string): CodedError =>
  new CodedError('failed_precondition', `${field}: CDI device ${quote(name)} ${why}`)

function fileOf(request: CdiRequest, index: CdiIndex): CdiFile {
  const conflict = index.conflicts.get(request.name)
  if (conflict !== undefined) throw refused(request, `is defined more than once, by ${conflict.join(' and ')}: remove one`)
  const file = index.devices.get(request.name)
  if (file !== undefined) return file
  const kind = request.name.slice(0, request.name.indexOf('=') + 1)
  const known = [...index.devices.keys()].filter((name) => name.startsWith(kind)).map((name) => name.slice(kind.length))
  const hint =
    known.length === 0
      ? `no file in ${index.directories.join(', ')} is about ${kind.slice(0, -1)}`
      : `known are ${known.slice(0, 8).join(', ')}${known.length > 8 ? ` and ${known.length - 8} more` : ''}`
  const [problem] = index.problems
  const broken = problem === undefined ? '' : `; unusable: ${problem.path}: ${problem.reason}`
  throw refused(request, `is not defined on this node: ${hint}${broken}`)
}

const join = (a: CdiEdits, b: CdiEdits): CdiEdits => ({
  env: [...a.env, ...b.env],
  deviceNodes: [...a.deviceNodes, ...b.deviceNodes],
  mounts: [...a.mounts, ...b.mounts],
  hooks: [...a.hooks, ...b.hooks],
  additionalGids: [...a.additionalGids, ...b.additionalGids],
  unsupported: [...a.unsupported, ...b.unsupported],
})
