// The gate of tests that need uid 0 and a real kernel: `describe('…', needsRoot(), …)`.

/**
 * Options for node:test: skips with a reason unless TEST_ROOT=1.
 * Throws when TEST_ROOT=1 is asked of a process that is not root: a ring that silently runs nothing proves nothing.
 */
export function needsRoot(): { readonly skip: string | false } {
  if (process.env['TEST_ROOT'] !== '1') return { skip: 'needs root: run as root with TEST_ROOT=1' }
  if (process.getuid?.() !== 0) throw new Error(`TEST_ROOT=1 needs uid 0, this is uid ${process.getuid?.()}`)
  return { skip: false }
}
