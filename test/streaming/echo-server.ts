// An echo server inside a pod's network, run from this machine: busybox' own servers start a process for each connection.
// As a program: echo-server.ts HOST PORT [HOST PORT …]; sends back what comes, to the end of its input, then ends its own half.
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '@coracle/testkit/eventually'
import { type Program, startProgram } from '@coracle/testkit/program'
import type { ContainerUnderTest } from '../cri/suite.ts'

const self = fileURLToPath(import.meta.url)
const node = fileURLToPath(new URL('../../bin/node', import.meta.url))

/** In the network namespace of the container's pod; resolves when all `places` (host, port, host, port …) listen. */
export async function startEchoServer(container: ContainerUnderTest, places: readonly (string | number)[]): Promise<Program> {
  const { info } = await container.runtime.containerStatus({ containerId: container.id, verbose: true })
  const { pid } = JSON.parse(info['info'] ?? '{}') as { pid?: number }
  if (!pid) throw new Error(`the verbose status of container ${container.id} names no pid`)
  const logPath = join(container.pod.cri.node.world.directory, 'echo.log')
  const server = await startProgram({ argv: ['nsenter', '-t', String(pid), '-n', node, self, ...places.map(String)], logPath })
  const ports = places.filter((_, at) => at % 2 === 1)
  await eventually('the echo server listens', async () => {
    const listening = await container.sh('cat /proc/net/tcp /proc/net/tcp6')
    return ports.every((port) => listening.includes(`:${Number(port).toString(16).toUpperCase().padStart(4, '0')} `))
  })
  return server
}

if (process.argv[1] === self) {
  const places = process.argv.slice(2)
  for (let at = 0; at < places.length; at += 2) {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => socket.destroy())
      socket.pipe(socket)
    })
    server.listen({ host: places[at], port: Number(places[at + 1]), backlog: 1024 })
  }
}
