import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { containerConfig, podConfig, testServices } from '@coracle/testkit/services'
import { runPod } from '../pod/run.ts'
import type { Services } from '../services.ts'
import { createContainer } from './create.ts'

const { signal } = new AbortController()
const localhost = { profileType: 2, localhostRef: 'mine' }

async function profileOf(apparmor: Services['apparmor'], securityContext: object): Promise<string | undefined> {
  await using world = testServices()
  const services = { ...world.services, apparmor }
  const podId = await runPod(services, { config: podConfig('a'), handler: '', fingerprint: 'f' }, signal)
  const config = containerConfig('c', { linux: { securityContext: { namespaceOptions: { pid: 1 }, ...securityContext } } })
  const id = await createContainer(services, { podId, config, fingerprint: 'f' }, signal)
  return services.containers.get(id).made?.process.apparmorProfile
}

describe('H-34: AppArmor of a container', () => {
  const loaded = (...names: string[]) => ({ defaultProfile: 'coracle-default', loaded: () => new Set(names) })

  test('with AppArmor: the default profile, a loaded one by name, and never one that is not loaded', async () => {
    const kernel = loaded('coracle-default', 'mine')
    assert.equal(await profileOf(kernel, {}), 'coracle-default')
    assert.equal(await profileOf(kernel, { apparmor: { profileType: 0 } }), 'coracle-default')
    assert.equal(await profileOf(kernel, { apparmor: { profileType: 1 } }), undefined)
    assert.equal(await profileOf(kernel, { apparmor: localhost }), 'mine')
    assert.equal(await profileOf(kernel, { apparmorProfile: 'localhost/mine' }), 'mine')
    const refused = (err: unknown) => codeOf(err) === 'failed_precondition' && explain(err).includes('not loaded')
    await assert.rejects(profileOf(loaded('coracle-default'), { apparmor: localhost }), refused)
    await assert.rejects(profileOf(loaded(), {}), refused)
  })

  test('without: RuntimeDefault means nothing, a name is refused', async () => {
    assert.equal(await profileOf(undefined, { apparmor: { profileType: 0 } }), undefined)
    await assert.rejects(
      profileOf(undefined, { apparmor: localhost }),
      (err) => codeOf(err) === 'failed_precondition' && explain(err).includes('has no AppArmor'),
    )
  })
})
