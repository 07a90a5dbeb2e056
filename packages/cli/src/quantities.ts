// Durations and sizes as people type them.

const DURATION_UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `1m30s`, `500ms`, `2h`, or plain seconds, in milliseconds; undefined when it is none of these. */
export function parseDurationMs(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    total += Number(amount) * (DURATION_UNITS_MS[unit ?? ''] ?? Number.NaN)
  return total
}

const SIZE_UNITS = ['b', 'k', 'm', 'g', 't']

/** `512`, `64m`, `1.5g`, `100Mi`, `64MB` in bytes, by powers of 1024 as all container tools do; undefined when malformed. */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([bkmgt])?(?:i?b?)$/i.exec(text)
  if (!match) return undefined
  const power = match[2] ? SIZE_UNITS.indexOf(match[2].toLowerCase()) : 0
  return Math.round(Number(match[1]) * 1024 ** power)
}

/** Decimal units, three significant digits: `1.24MB`. */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes)
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))}${units[unit]}`
}

/** How long ago `createdNs` (nanoseconds since the epoch) was: `3 minutes ago`. */
export function formatAge(createdNs: bigint, nowMs = Date.now()): string {
  if (createdNs <= 0n) return 'unknown'
  return `${describeDuration(nowMs - Number(createdNs / 1_000_000n))} ago`
}

function describeDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const minutes = Math.floor(seconds / 60)
  const hours = Math.round(minutes / 60)
  if (seconds < 1) return 'Less than a second'
  if (seconds === 1) return '1 second'
  if (seconds < 60) return `${seconds} seconds`
  if (minutes === 1) return 'About a minute'
  if (minutes < 60) return `${minutes} minutes`
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  if (hours < 24 * 14) return `${Math.floor(hours / 24)} days`
  if (hours < 24 * 60) return `${Math.floor(hours / 24 / 7)} weeks`
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`
  return `${Math.floor(hours / 24 / 365)} years`
}
