import type { RuntimeService } from '@coracle/cri-api'
import { descriptors } from '../metrics/pod-metrics.ts'
import type { Handler } from '../service.ts'

export function listMetricDescriptors(): Handler<(typeof RuntimeService)['method']['listMetricDescriptors']> {
  return () => ({ descriptors: [...descriptors] })
}
