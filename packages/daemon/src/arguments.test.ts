import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseArguments } from './arguments.ts'

test('--config is of the directory that it was said in, also after the daemon has left it', () => {
  const wanted = join(process.cwd(), 'conf/coracle.toml')
  assert.equal(parseArguments(['--config', 'conf/coracle.toml']).file, wanted)
  assert.equal(parseArguments(['config', '--config=./conf/coracle.toml']).file, wanted)
  assert.equal(parseArguments(['--config', '/etc/x.toml']).file, '/etc/x.toml')
})
