// Generates packages/cri-api/src/gen from packages/cri-api/proto with buf and protoc-gen-es (both pinned npm packages).
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const bin = `${root}/node_modules/.bin`
const { status } = spawnSync(`${bin}/buf`, ['generate', '--template', 'packages/cri-api/buf.gen.yaml'], {
  cwd: root,
  stdio: 'inherit',
  env: { PATH: `${bin}:/usr/bin:/bin`, HOME: root, BUF_CACHE_DIR: `${root}/node_modules/.cache/buf` },
})
process.exit(status ?? 1)
