import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commandTable, findCommand } from './command-table.ts'
import { renderCommandHelp, renderOverview } from './help.ts'
import { memoryScreen } from './print/screen.ts'

for (const [name, entry] of Object.entries(commandTable))
  test(`${name} is what the table says, and shows examples`, async () => {
    const { command } = await entry.load()
    assert.deepEqual([command.name, command.summary], [name, entry.summary])
    assert.ok(command.usage.startsWith(name))
    assert.ok(command.examples.length > 0)
    const shorts = Object.values(command.options).flatMap(({ short }) => (short ? [short] : []))
    assert.equal(new Set(shorts).size, shorts.length, 'each short option once')
    assert.ok(!shorts.includes('h'), '-h is help')
    const help = renderCommandHelp(command, memoryScreen())
    for (const option of Object.keys(command.options)) assert.ok(help.includes(`--${option}`))
    assert.ok(renderOverview(memoryScreen()).includes(`  ${name} `))
  })

test('aliases', () => {
  assert.equal(findCommand('img'), 'images')
  assert.equal(findCommand('nope'), undefined)
  assert.equal(findCommand('constructor'), undefined)
})
