import { closeSync, openSync } from 'node:fs'
import { failed } from '@coracle/base/errors'
import { inNamespaces } from '../thread-namespaces.ts'
import type { InterfaceCounters } from './door.ts'
import { readSmall } from './read-small.ts'

/** Read from inside the namespace: also when no process lives there, and no reused pid can lead to another one. */
export function readInterfaces(netnsPath: string): readonly InterfaceCounters[] {
  try {
    const netns = openSync(netnsPath, 'r')
    try {
      return parseInterfaces(inNamespaces(['net'], netns, () => readSmall('/proc/thread-self/net/dev')) ?? '')
    } finally {
      closeSync(netns)
    }
  } catch (err) {
    throw failed(`read the interfaces of ${netnsPath}`, err)
  }
}

/** /proc/net/dev (proc_pid_net(5)) without the loopback interface. */
export function parseInterfaces(text: string): readonly InterfaceCounters[] {
  const found: InterfaceCounters[] = []
  for (const line of text.split('\n').slice(2)) {
    const colon = line.lastIndexOf(':')
    if (colon < 0) continue
    const name = line.slice(0, colon).trim()
    const v = line
      .slice(colon + 1)
      .trim()
      .split(/ +/)
      .map(Number)
    if (name === 'lo' || v.length < 12) continue
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0] = v
    const [txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] = v.slice(8)
    found.push({ name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped })
  }
  return found
}
