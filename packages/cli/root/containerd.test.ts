import { startContainerdNode } from '@coracle/testkit/containerd-node'
import { suite } from './suite.ts'

suite('containerd', (registry) => startContainerdNode(registry))
