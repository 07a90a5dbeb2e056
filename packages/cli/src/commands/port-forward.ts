import { precondition } from '@coracle/base/errors'
import { PodSandboxState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { resolvePod } from '../resolve.ts'
import { forwardPorts, parsePortPair } from '../stream/forward-ports.ts'
import { streamOptions } from '../stream/options.ts'

export const command = defineCommand({
  name: 'port-forward',
  summary: 'Forward local ports to a pod',
  usage: 'port-forward [options] POD [LOCAL:]REMOTE…',
  description: [
    'Listens on 127.0.0.1 and ::1 until interrupted. LOCAL is the same as REMOTE when absent; 0, or nothing before the colon, lets the',
    'system choose one. A refused connection is reported and the rest goes on.',
  ].join('\n'),
  options: {
    address: {
      kind: 'list',
      value: 'IP',
      help: 'listen here instead; may be repeated (beware of 0.0.0.0: everybody can connect)',
    },
    ...streamOptions,
  },
  operands: { min: 2 },
  examples: ['coracle port-forward web 8080:80', 'coracle port-forward default/db 5432 :9187', 'coracle port-forward web 0:80'],
  async run(context, options, [name = '', ...ports]) {
    const pairs = ports.map(parsePortPair)
    const pod = await resolvePod(context, name)
    if (pod.state !== PodSandboxState.SANDBOX_READY)
      throw precondition(`pod ${name} is not ready: port-forward needs a running one (coracle pods lists them)`)
    const addresses = options.address.length > 0 ? options.address : ['127.0.0.1', '::1']
    await forwardPorts(context, { podSandboxId: pod.id, pairs, addresses, stream: options })
  },
})
