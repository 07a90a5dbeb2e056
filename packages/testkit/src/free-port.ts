import { createServer } from 'node:net'

/** A TCP port of 127.0.0.1 that nobody listened on a moment ago; for programs that want to be told one. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('a TCP listener without a port')
  return address.port
}
