import { chownSync, mkdirSync } from 'node:fs'
import { logger } from '@coracle/base/log'
import { infraSpec } from '@coracle/container-spec'
import { runtimeOf } from '../handlers.ts'
import { podLayout } from '../layout.ts'
import { isReady, type Pod } from '../model/pod.ts'
import { podLabels } from '../selinux/labels.ts'
import type { Services } from '../services.ts'
import { podFacts } from './facts.ts'
import { podRoot } from './user-namespace.ts'

const log = logger('lifecycle')

/** Starts the init of a shared PID namespace: a tiny program of the host in an empty root. Returns its pid. */
export async function startInfra(services: Services, pod: Pod): Promise<number> {
  const runtime = runtimeOf(services, pod)
  const { infra, infraRootfs } = podLayout(services.settings, pod.id)
  mkdirSync(infraRootfs, { recursive: true, mode: 0o755 })
  const { uid, gid } = podRoot(pod.config)
  // The runtime makes its mount points as the pod's root.
  if (uid !== 0) chownSync(infraRootfs, uid, gid)
  const labels = podLabels(services, pod)
  const spec = infraSpec({
    id: pod.id,
    pod: podFacts(services, pod),
    host: services.facts,
    rootfsPath: infraRootfs,
    initProgram: services.settings.initProgram,
    compiledSeccomp: runtime.compiledSeccomp,
    ...infraProfile(services),
    ...(labels === undefined ? {} : { selinux: labels }),
  })
  const { monitorCgroup } = services.settings
  const { pid } = await runtime.create(
    { paths: infra, spec, logPath: undefined, stdin: false, stdinOnce: false, terminal: false, monitorCgroup },
    services.shutdown,
  )
  await runtime.start(infra, services.shutdown)
  watchInfra(services, pod)
  return pid
}

/** A broken AppArmor is told at the containers; the init, which has no capabilities, does not wait for its mending. */
function infraProfile({ apparmor }: Services): { readonly apparmorProfile?: string } {
  try {
    return apparmor?.loaded().has(apparmor.defaultProfile) === true ? { apparmorProfile: apparmor.defaultProfile } : {}
  } catch (err) {
    log.warn('AppArmor profiles cannot be listed', { error: err })
    return {}
  }
}

/** A pod whose init ended has lost its PID namespace: it is not ready any more, and a kubelet makes a new one. */
export function watchInfra(services: Services, { id, runtime }: Pod): void {
  const { infra } = podLayout(services.settings, id)
  runtimeOf(services, { runtime }).watchExit(infra, services.shutdown, ({ exitCode }) => {
    const pod = services.pods.find(id)
    if (pod === undefined || !isReady(pod)) return
    log.warn('the init of a pod ended', { podId: id, exitCode })
    try {
      services.pods.put({ ...pod, state: { kind: 'notReady' } })
    } catch (err) {
      // Nobody waits for this: the next start looks again.
      log.error('a pod could not be marked as not ready', { podId: id, error: err })
    }
  })
}
