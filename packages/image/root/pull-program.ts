// A process that pulls one image, to be killed: pull-program.ts DIRECTORY REFERENCE; what comes of a layer is kept for the next try from the first byte on
import { join } from 'node:path'
import { createHost } from '@coracle/host'
import { parseReference } from '@coracle/oci-spec/reference'
import { createImages } from '../src/mod.ts'

const [directory = '', reference = ''] = process.argv.slice(2)
const images = await createImages(
  { root: join(directory, 'root'), state: join(directory, 'state'), keptAfterMs: 0 },
  createHost(),
)
await images.recover(AbortSignal.timeout(10_000))
await images.pull({ reference: parseReference(reference) }, AbortSignal.timeout(60_000))
await images.close()
