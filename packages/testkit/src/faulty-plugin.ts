// A CNI plugin that misbehaves on command: chained after the real ones in a test world that asks for it.
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface PluginFaults {
  /** Waited before an ADD is answered. */
  readonly addDelayMs?: number
  /** ADD fails with this message, after the plugins before it have done their part. */
  readonly addError?: string
  /** DEL fails with this message. */
  readonly delError?: string
  readonly delDelayMs?: number
  /** Written to stdout instead of a result. */
  readonly garbage?: string
}

export const FAULTY_PLUGIN = 'test-faulty'

/** Fills `pluginDir` with the machine's plugins and the faulty one, whose orders and records are files in `directory`. */
export function installFaultyPlugin(pluginDir: string, systemPluginDir: string, directory: string): void {
  for (const name of readdirSync(systemPluginDir)) symlinkSync(join(systemPluginDir, name), join(pluginDir, name))
  writeFileSync(join(pluginDir, FAULTY_PLUGIN), program(directory), { mode: 0o755 })
  setFaults(directory, {})
}

export function setFaults(directory: string, faults: PluginFaults): void {
  writeFileSync(join(directory, 'faults.json'), JSON.stringify(faults))
}

/** One line for each call so far: `ADD ID`, `DEL ID`, … */
export function pluginCalls(directory: string): string[] {
  try {
    return readFileSync(join(directory, 'calls.log'), 'utf8').trimEnd().split('\n')
  } catch {
    return []
  }
}

/** Reads orders at each call. VERSION is always answered. */
const program = (directory: string) => `#!${process.execPath}
const fs = require('node:fs')
const directory = ${JSON.stringify(directory)}
const command = process.env.CNI_COMMAND
const input = JSON.parse(fs.readFileSync(0, 'utf8') || '{}')
if (command === 'VERSION') {
  console.log(JSON.stringify({ cniVersion: '1.1.0', supportedVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] }))
  process.exit(0)
}
const faults = JSON.parse(fs.readFileSync(directory + '/faults.json', 'utf8'))
fs.appendFileSync(directory + '/calls.log', command + ' ' + process.env.CNI_CONTAINERID + '\\n')
const delayMs = (command === 'ADD' ? faults.addDelayMs : command === 'DEL' ? faults.delDelayMs : 0) ?? 0
setTimeout(() => {
  const error = command === 'ADD' ? faults.addError : command === 'DEL' ? faults.delError : undefined
  if (faults.garbage !== undefined && command === 'ADD') return console.log(faults.garbage)
  if (error !== undefined) {
    console.log(JSON.stringify({ cniVersion: input.cniVersion, code: 999, msg: error }))
    process.exitCode = 1
  } else if (command === 'ADD') {
    console.log(JSON.stringify({ ...input.prevResult, cniVersion: input.cniVersion }))
  }
}, delayMs)
`
