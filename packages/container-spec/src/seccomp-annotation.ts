// crun's annotation for a finished filter (crun(1), run.oci.seccomp_bpf_data).
import { compileSeccomp, encodeFilter } from './seccomp-compile.ts'
import { defaultSeccomp } from './seccomp-default.ts'

const name = 'run.oci.seccomp_bpf_data'

// By capability set: compiling takes milliseconds, and a node's containers use few sets.
const made = new Map<string, Readonly<Record<string, string>>>()

/** The default profile's filter for these capabilities, as an annotation; none where it cannot be compiled. Goes beside `linux.seccomp`, never instead. */
export function seccompAnnotation(capabilities: readonly string[]): Readonly<Record<string, string>> {
  const key = capabilities.join()
  const known = made.get(key)
  if (known !== undefined) return known
  const program = compileSeccomp(defaultSeccomp(capabilities))
  const annotation = program === undefined ? {} : { [name]: encodeFilter(program).toString('base64') }
  if (made.size >= 64) made.clear()
  made.set(key, annotation)
  return annotation
}
