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
    path: 'tracing.url',
    type: 'string',
    default: undefined,
    check: (v) => (/^https?:$/.test(URL.parse(String(v))?.protocol ?? '') ? undefined : 'expected an http or https URL'),
    doc: 'Where traces are sent by OTLP/HTTP in JSON, such as http://127.0.0.1:4318/v1/traces. Unset: none are made.',
  },
  {
    path: 'tracing.samples_per_million',
    type: 'integer',
    default: 0,
    check: range(0, 1_000_000),
    doc: 'Of a million calls that come without a trace, how many begin one. A trace of the caller is joined as the caller decided.',
  },
  {
    path: 'cadvisor.serve',
    type: 'string',
    default: 'auto',
    check: oneOf('auto', 'yes', 'no'),
    doc: 'Answer cAdvisor (GET /info, /containers/ID) on the CRI socket beside gRPC. auto: when the socket is run/crio/crio.sock.',
  },
]
