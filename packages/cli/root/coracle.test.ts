import { startNode } from '@coracle/testkit/node'
import { suite } from './suite.ts'

suite('coracle', () => startNode())
