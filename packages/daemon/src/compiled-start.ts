// A start whose modules are all compiled already. What strips the types of those that are not is a program of its own: 17 MB that a daemon
// would keep for as long as it runs.
import { flushCompileCache, getCompileCacheDir } from 'node:module'
import { loadTwoProtocols } from '@coracle/cri-server'

const stripper = 'NativeModule internal/deps/amaro/dist/index'
/** Set for the second start: where the cache cannot be kept there shall be no third. */
const mark = 'CORACLE_COMPILED'

/**
 * After the first start of a version: keeps what was compiled and begins again in the same process (execve(2)), which then reads it from the
 * cache. Else returns. To be called before anything is opened.
 */
export async function beginCompiled(): Promise<void> {
  const again = process.env[mark] !== undefined
  delete process.env[mark]
  if (again || getCompileCacheDir() === undefined || !loadedModules().includes(stripper)) return
  // Those that only some configurations load: their turn comes later, and would bring the stripper back.
  await Promise.all([
    import('./metrics/endpoint.ts'),
    import('./metrics/own-metrics.ts'),
    import('./tracing/tracing.ts'),
    loadTwoProtocols(),
  ])
  flushCompileCache()
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve?.(process.execPath, argv, { ...process.env, [mark]: '1' })
}

/** Node's own list of what it has loaded, which its types do not know. */
function loadedModules(): readonly string[] {
  return 'moduleLoadList' in process && Array.isArray(process.moduleLoadList) ? process.moduleLoadList.map(String) : []
}
