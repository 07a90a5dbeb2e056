// What the cAdvisor inside a kubelet asks of a runtime whose socket is crio.sock: JSON over plain HTTP/1.1, on the same socket.
// Field names as its client has them (google/cadvisor, container/crio/client.go).

import { mkdirSync } from 'node:fs'
import type { Server } from 'node:http'
import { dirname, join } from 'node:path'
import { http } from '@coracle/base/node-http'
import type { Container, Pod, Services } from '@coracle/lifecycle'

export interface RuntimeInfo {
  readonly storage_driver: string
  readonly storage_root: string
  readonly storage_image: string
  readonly cgroup_driver: string
  readonly default_id_mappings: { readonly uids: readonly never[]; readonly gids: readonly never[] }
}

export interface ContainerInfo {
  readonly name: string
  /** 0: none; it is asked again. */
  readonly pid: number
  readonly image: string
  readonly image_ref: string
  /** Nanoseconds since 1970. */
  readonly created_time: number
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly crio_annotations: Readonly<Record<string, string>>
  readonly log_path: string
  /** Ends with /merged; the writable layer is in /diff beside it. */
  readonly root: string
  readonly sandbox: string
  readonly ip_addresses: readonly string[]
}

type Known = Pick<Services, 'pods' | 'containers' | 'images' | 'settings' | 'facts'>

/** By this label cAdvisor tells the pod itself, whose network it counts, from its containers. */
const containerLabel = 'io.kubernetes.container.name'
const limits = { requestTimeout: 10_000, headersTimeout: 10_000, keepAliveTimeout: 120_000, maxHeaderSize: 8192 } as const

export const runtimeInfo = ({ images: { fileSystems }, facts }: Known): RuntimeInfo => ({
  storage_driver: 'overlay',
  storage_root: fileSystems.containers,
  // Empty says that there is one disk for both.
  storage_image: fileSystems.images === fileSystems.containers ? '' : fileSystems.images,
  cgroup_driver: facts.cgroupDriver,
  default_id_mappings: { uids: [], gids: [] },
})

/** Of a container, or of a pod by the id of the pod. Only whole ids are answered. */
export function containerInfo(services: Known, id: string): ContainerInfo | undefined {
  const container = services.containers.find(id)
  if (container?.id === id) return ofContainer(services, container)
  const pod = services.pods.find(id)
  return pod?.id === id ? ofPod(services, pod) : undefined
}

function ofContainer(services: Known, container: Container): ContainerInfo {
  const { config, id, podId, state } = container
  const pod = services.pods.find(podId)
  return {
    name: nameOf(pod, config.metadata?.name ?? '', config.metadata?.attempt ?? 0),
    pid: state.kind === 'running' || state.kind === 'created' ? state.pid : 0,
    image: config.image?.userSpecifiedImage || config.image?.image || container.imageRef,
    image_ref: container.imageRef,
    created_time: Number(container.createdAt),
    labels: config.labels,
    annotations: config.annotations,
    crio_annotations: {},
    log_path: container.logPath ?? '',
    root: join(dirname(services.images.writableLayer(id)), 'merged'),
    sandbox: podId,
    ip_addresses: pod?.network?.ips ?? [],
  }
}

// A pod without an init of its own has the network that its containers are in: any of them shows it.
function ofPod(services: Known, pod: Pod): ContainerInfo {
  const { config, id, createdAt, infraPid, network } = pod
  let pid = infraPid ?? 0
  if (pid === 0) {
    for (const { podId, state } of services.containers.all()) {
      if (podId === id && state.kind === 'running') {
        pid = state.pid
        break
      }
    }
  }
  return {
    name: nameOf(pod, 'POD', config.metadata?.attempt ?? 0),
    pid,
    image: '',
    image_ref: '',
    created_time: Number(createdAt),
    labels: { ...config.labels, [containerLabel]: 'POD' },
    annotations: config.annotations,
    crio_annotations: {},
    log_path: config.logDirectory,
    root: join(podRoot(services), 'merged'),
    sandbox: id,
    ip_addresses: network?.ips ?? [],
  }
}

// A pod itself writes nothing. An empty directory keeps cAdvisor's look at its file system from failing.
const podRoot = ({ settings }: Known): string => join(settings.rootDirectory, 'empty')

const nameOf = (pod: Pod | undefined, name: string, attempt: number): string => {
  const { name: podName = '', namespace = '', uid = '' } = pod?.config.metadata ?? {}
  return `k8s_${name}_${podName}_${namespace}_${uid}_${attempt}`
}

/** Answers GET /info and GET /containers/ID. It listens nowhere by itself: connections are handed to it. */
export function createCadvisorServer(services: Known): Server {
  mkdirSync(join(podRoot(services), 'diff'), { recursive: true, mode: 0o700 })
  return http.createServer(limits, (request, response) => {
    const reply = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.method !== 'GET') return reply(405, { error: 'only GET is answered' })
    const path = request.url?.split('?')[0] ?? ''
    if (path === '/info') return reply(200, runtimeInfo(services))
    const id = /^\/containers\/([0-9a-f]{64})$/.exec(path)?.[1]
    const info = id === undefined ? undefined : containerInfo(services, id)
    return info === undefined ? reply(404, { error: `no such page or container: ${path.slice(0, 100)}` }) : reply(200, info)
  })
}
