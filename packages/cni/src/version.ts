// Versions of the CNI specification that this runtime speaks, lowest first.
export const cniVersions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type CniVersion = (typeof cniVersions)[number]

/** Before versions were written into configurations there was 0.1.0 (CNI spec 0.2.0, "Network Configuration"). */
export const impliedVersion: CniVersion = '0.1.0'

export function asCniVersion(text: unknown): CniVersion | undefined {
  return cniVersions.find((version) => version === text)
}

export const atLeast = (version: CniVersion, floor: CniVersion): boolean =>
  cniVersions.indexOf(version) >= cniVersions.indexOf(floor)

/** The highest of the versions that we speak, or undefined. */
export function highestKnown(versions: readonly unknown[]): CniVersion | undefined {
  return cniVersions.findLast((version) => versions.includes(version))
}
