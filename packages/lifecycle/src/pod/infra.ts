import { mkdirSync } from 'node:fs'
import { infraSpec } from '@coracle/container-spec'
import { isCrun, runtimeOf } from '../handlers.ts'
import { podLayout } from '../layout.ts'
import type { Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { podFacts } from './facts.ts'

/** Starts the init of a shared PID namespace: a tiny program of the host in an empty root. Returns its pid. */
export async function startInfra(services: Services, pod: Pod): Promise<number> {
  const runtime = runtimeOf(services, pod)
  const { infra, infraRootfs } = podLayout(services.settings, pod.id)
  mkdirSync(infraRootfs, { recursive: true, mode: 0o755 })
  const spec = infraSpec({
    id: pod.id,
    pod: podFacts(services, pod),
    host: services.facts,
    rootfsPath: infraRootfs,
    initProgram: services.settings.initProgram,
    compiledSeccomp: isCrun(services, pod),
  })
  const { monitorCgroup } = services.settings
  const { pid } = await runtime.create(
    { paths: infra, spec, logPath: undefined, stdin: false, stdinOnce: false, terminal: false, monitorCgroup },
    services.shutdown,
  )
  await runtime.start(infra, services.shutdown)
  return pid
}
