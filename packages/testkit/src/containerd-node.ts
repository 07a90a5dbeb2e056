// Debian's containerd as a node under test: what our CRI tests demand must first be true of a runtime that kubelet already uses.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestNode } from './node.ts'
import { pauseImage } from './pause-image.ts'
import type { Registry } from './registry.ts'
import { startProduct } from './running-node.ts'
import { makeWorld, type World, type WorldOptions } from './world.ts'

/** Starts containerd with its CRI plugin. It wants a pause image, which is made and pushed to the registry. */
export async function startContainerdNode(registry: Registry, options: WorldOptions = {}): Promise<TestNode> {
  const world = await makeWorld(options)
  await registry.push('test/pause', '1', await pauseImage())
  const configPath = join(world.directory, 'containerd.toml')
  await writeFile(configPath, config(world, `${registry.host}/test/pause:1`))
  return startProduct(world, { name: 'containerd', argv: () => ['containerd', '--config', configPath] })
}

const config = (world: World, pauseImage: string) => `
version = 2
root = ${JSON.stringify(world.root)}
state = ${JSON.stringify(world.state)}
[grpc]
  address = ${JSON.stringify(world.socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = ${JSON.stringify(join(world.directory, 'opt'))}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${JSON.stringify(pauseImage)}
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${JSON.stringify(world.cniPluginDir)}
    conf_dir = ${JSON.stringify(world.cniConfigDir)}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`
