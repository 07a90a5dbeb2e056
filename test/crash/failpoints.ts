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
  pullImage: [],
} as const satisfies Record<string, readonly string[]>
