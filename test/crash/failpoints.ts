// Where the daemon can be killed: every name in the code, by the call that passes it. A test compares this table with the code.

export const failpoints = {
  runPod: ['pod.local.wanted', 'pod.local.held', 'pod.network.wanted', 'pod.network.held', 'pod.ready'],
  /** Only with a PID namespace for the pod. */
  runSharedPod: ['pod.infra.wanted', 'pod.infra.held'],
  createContainer: ['container.wanted', 'container.rootfs', 'container.runtime-created', 'container.created'],
  startContainer: ['container.start', 'container.runtime-started', 'container.started'],
  stopContainer: ['container.stop'],
  containerExit: ['container.exit'],
  removeContainer: ['container.release', 'container.forget'],
  stopPod: ['pod.release.network', 'pod.release.local'],
  removePod: ['pod.forget'],
  pullImage: [
    'image.pull.config',
    'image.pull.unpacked',
    'image.pull.synced',
    'image.pull.renamed',
    'image.pull.layers',
    'image.pull.recorded',
    'image.pull.flushed',
  ],
  /** The collection of layers that a removal leaves without an image. */
  removeImage: ['image.collect.forgotten', 'image.collect.moved'],
} as const satisfies Record<string, readonly string[]>
