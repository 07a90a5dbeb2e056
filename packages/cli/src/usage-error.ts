/** The command line cannot be understood: shown with a hint to --help, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
