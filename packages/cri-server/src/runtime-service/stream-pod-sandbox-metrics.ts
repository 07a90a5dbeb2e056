import type { RuntimeService } from '@coracle/cri-api'
import { isPodVisible, podMetrics } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { listOf } from '../encoded.ts'
import { podMetricsItem } from '../metrics/pod-metrics.ts'
import type { Handler } from '../service.ts'

export function streamPodSandboxMetrics({
  services,
  stats,
}: RouteDeps): Handler<(typeof RuntimeService)['method']['streamPodSandboxMetrics']> {
  return async function* () {
    const uses = await stats.pods([...services.pods.all()].filter(isPodVisible))
    for await (const pod of podMetrics(services, uses)) yield listOf([podMetricsItem(pod)])
  }
}
