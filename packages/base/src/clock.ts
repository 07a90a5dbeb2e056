// Two clocks: wall time for what is shown, monotonic time for every deadline.

/**
 * Nanoseconds since 1970 of the wall clock, with the microsecond resolution of the platform. Two calls never give the same, and
 * small corrections do not let it run backwards; when the clock was set back by more than a second, it follows.
 */
export function nowNs(): bigint {
  const ns = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n + drift()
  // A clock that was once wrong must not date everything into the future until the next start.
  last = ns > last || last - ns > 1_000_000_000n ? ns : last + 1n
  return last
}

let last = 0n
let offset = 0n
let checkedAt = Number.NEGATIVE_INFINITY

// performance.timeOrigin does not follow a change of the wall clock: compare with Date.now() at most once a second.
function drift(): bigint {
  const monotonic = performance.now()
  if (monotonic - checkedAt > 1000) {
    checkedAt = monotonic
    const behind = Date.now() - (performance.timeOrigin + monotonic)
    offset = Math.abs(behind) > 50 ? BigInt(Math.round(behind)) * 1_000_000n : 0n
  }
  return offset
}

/** Milliseconds of a clock that never jumps. */
export const monotonicMs = (): number => performance.now()
