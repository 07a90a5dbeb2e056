import { copyImage } from '@coracle/image/moving'
import { hostPlatform, parsePlatform } from '@coracle/oci-spec/platform'
import { defineCommand } from '../command.ts'
import { withProgress } from '../moving/copy-progress.ts'
import { rootfsSource } from '../moving/import-rootfs.ts'
import { openStoreDestination } from '../moving/store-destination.ts'
import { parsePairs } from '../select.ts'

export const command = defineCommand({
  name: 'import',
  summary: 'Make an image of a tar archive of a root file system',
  usage: 'import [options] FILE|- [NAME]',
  options: {
    cmd: { kind: 'list', value: 'WORD', help: 'default command, a word each' },
    entrypoint: { kind: 'list', value: 'WORD', help: 'entrypoint, a word each' },
    env: { kind: 'list', short: 'e', value: 'KEY=VALUE', help: 'environment variable' },
    label: { kind: 'list', short: 'l', value: 'KEY=VALUE', help: 'label' },
    user: { kind: 'string', short: 'u', value: 'USER', help: 'user to run as' },
    workdir: { kind: 'string', short: 'w', value: 'DIR', help: 'working directory' },
    message: { kind: 'string', short: 'm', value: 'TEXT', help: 'comment in the history' },
    platform: { kind: 'string', value: 'OS/ARCH', help: 'default: this machine’s' },
  },
  operands: { min: 1, max: 2 },
  examples: ['coracle import rootfs.tar.gz local/base:1', 'tar -C rootfs -c . | coracle import --cmd /bin/sh - local/base:1'],
  async run(context, options, [path = '', name]) {
    const signal = context.interruption()
    const { user, workdir } = options
    const labels = parsePairs('label', options.label)
    const request = {
      path,
      platform: options.platform === undefined ? hostPlatform() : parsePlatform(options.platform),
      message: options.message,
      config: {
        ...(options.entrypoint.length > 0 ? { Entrypoint: options.entrypoint } : {}),
        ...(options.cmd.length > 0 ? { Cmd: options.cmd } : {}),
        ...(options.env.length > 0 ? { Env: Object.entries(parsePairs('env', options.env)).map((pair) => pair.join('=')) } : {}),
        ...(Object.keys(labels).length > 0 ? { Labels: labels } : {}),
        ...(user === undefined ? {} : { User: user }),
        ...(workdir === undefined ? {} : { WorkingDir: workdir }),
      },
    }
    const names = name === undefined ? [] : [name]
    const title = `importing ${name ?? path}`
    const id = await withProgress(context, { title, quiet: false, lines: false }, async ({ hooks, doing, follow }) => {
      doing('reading')
      await using source = await rootfsSource(request)
      doing('')
      const what = { names, transport: 'tarball', command: 'import', from: path, onUnpacking: follow }
      await using destination = await openStoreDestination(context, what, signal)
      await copyImage({ source, destination, ...hooks }, signal)
      return destination.imageId()
    })
    context.out.line(id)
  },
})
