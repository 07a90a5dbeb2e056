// The image that containerd runs in every pod: busybox, asleep until it is told to end.

import { busyboxLayer } from './busybox-images.ts'
import type { ImageSource } from './test-image.ts'

export const pauseImage = async (): Promise<ImageSource> => ({
  layers: [await busyboxLayer()],
  // A shell as PID 1 ignores signals it has no handler for.
  config: { Entrypoint: ['/bin/sh', '-c', 'trap exit TERM INT; while :; do sleep 100000 & wait $!; done'] },
})
