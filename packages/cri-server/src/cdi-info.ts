// What a verbose Status tells about CDI.
import type { CdiSource } from '@coracle/lifecycle'

/** The files, their devices, what cannot be used and why, as JSON. */
export function cdiInfo(cdi: CdiSource | undefined): string {
  if (cdi === undefined) return JSON.stringify({ enabled: false })
  const { directories, files, devices, problems, conflicts } = cdi.index()
  return JSON.stringify({
    enabled: true,
    directories,
    annotations: cdi.annotations,
    files: files.map(({ path, spec }) => ({ path, kind: spec.kind, devices: [...spec.devices.keys()] })),
    devices: [...devices].map(([name, { path }]) => ({ name, path })),
    problems,
    conflicts: [...conflicts].map(([name, paths]) => ({ name, paths })),
  })
}
