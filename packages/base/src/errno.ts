/** The `code` of a Node system error (`ENOENT`, …), or undefined. */
export function errnoOf(err: unknown): string | undefined {
  if (err instanceof Error && 'code' in err && typeof err.code === 'string') return err.code
  return undefined
}

export const isErrno = (err: unknown, ...codes: string[]): boolean => codes.includes(errnoOf(err) ?? '')

/** Runs `work`; a failure with one of the given errno codes yields `otherwise` instead. */
export function unlessErrno<T, U>(codes: readonly string[], work: () => T, otherwise: U): T | U {
  try {
    return work()
  } catch (err) {
    if (isErrno(err, ...codes)) return otherwise
    throw err
  }
}
