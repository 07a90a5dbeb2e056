// Keys about what the daemon tells of itself.
import { isIP } from 'node:net'
import { absolute, oneOf, range } from './checks.ts'
import type { Key } from './keys.ts'

export const observeKeys: readonly Key[] = [
  {
    path: 'metrics.port',
    type: 'integer',
    default: 0,
    check: range(0, 65535),
    doc: 'Port where metrics of the daemon itself are served for Prometheus, at /metrics. 0: not served.',
  },
  {
    path: 'metrics.address',
    type: 'string',
    default: '127.0.0.1',
    check: (v) => (isIP(String(v)) > 0 ? undefined : 'expected an IP address'),
    doc: 'Where metrics are served. Others than loopback need TLS.',
  },
  {
    path: 'metrics.tls_certificate',
    type: 'string',
    default: undefined,
    check: absolute,
    doc: 'PEM certificate chain; read again when it changes.',
  },
  { path: 'metrics.tls_key', type: 'string', default: undefined, check: absolute, doc: 'PEM key of the certificate.' },
  {
    path: 'cadvisor.serve',
    type: 'string',
    default: 'auto',
    check: oneOf('auto', 'yes', 'no'),
    doc: 'Answer cAdvisor (GET /info, /containers/ID) on the CRI socket beside gRPC. auto: when the socket is run/crio/crio.sock.',
  },
]
