// Pods with an IPv4 and an IPv6 address.
import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { it } from 'node:test'
import { criSuite } from './suite.ts'

criSuite(
  'dual stack',
  (cri) => {
    it('the primary address first, one additional of the other family, both on the interface', async () => {
      await using pod = await cri.pod()
      const { network } = await pod.status()
      const addresses = [network?.ip ?? '', ...(network?.additionalIps.map(({ ip }) => ip) ?? [])]
      assert.deepEqual(addresses.map(isIP), [4, 6])
      const seen = await (await pod.run()).sh('ip addr show eth0')
      for (const address of addresses) assert.ok(seen.includes(address), `${address} in ${seen}`)
    })
  },
  { dualStack: true },
)
