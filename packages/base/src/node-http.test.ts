import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

const loaded = (module: string): boolean => {
  const code = `await import('${module}'); console.log(process.moduleLoadList.includes('NativeModule internal/deps/undici/undici'))`
  return (
    execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: import.meta.dirname, encoding: 'utf8' }).trim() ===
    'true'
  )
}

test('our way to node:http does not load what an import of it does', () => {
  assert.equal(loaded('./node-http.ts'), false)
  assert.equal(loaded('node:http'), true, 'an import is as good by now: this file can go')
})
