import type { RuntimeService } from '@coracle/cri-api'
import { isPodVisible, podMetrics } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { listOf } from '../encoded.ts'
import { podMetricsItem } from '../metrics/pod-metrics.ts'
import type { Handler } from '../service.ts'

export function listPodSandboxMetrics({
  services,
  stats,
}: RouteDeps): Handler<(typeof RuntimeService)['method']['listPodSandboxMetrics']> {
  return async () => {
    const uses = await stats.pods([...services.pods.all()].filter(isPodVisible))
    const items: Buffer[] = []
    for await (const pod of podMetrics(services, uses)) items.push(podMetricsItem(pod))
    return listOf(items)
  }
}
