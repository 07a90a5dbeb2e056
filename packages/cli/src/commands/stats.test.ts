import assert from 'node:assert/strict'
import { test } from 'node:test'
import { notFound } from '@coracle/base/errors'
import { ContainerStatsSchema } from '@coracle/cri-api'
import { create } from '@coracle/cri-api/protobuf'
import type { Context } from '../context.ts'
import { memoryScreen } from '../print/screen.ts'
import { command } from './stats.ts'

test('stats -a passes over containers that are removed meanwhile', async () => {
  const stats = (id: string) => create(ContainerStatsSchema, { attributes: { id } })
  const out = memoryScreen()
  // Only what this command asks of it.
  const context = {
    out,
    runtime: {
      listContainerStats: async () => ({ $typeName: 'runtime.v1.ListContainerStatsResponse', stats: [stats('runs')] }),
      listContainers: async () => ({ containers: [{ id: 'runs' }, { id: 'gone' }, { id: 'ended' }] }),
      containerStats: async ({ containerId }: { containerId: string }) => {
        if (containerId === 'gone') throw notFound('container "gone" does not exist')
        return { stats: stats(containerId) }
      },
    },
  } as unknown as Context
  await command.invoke(context, ['-a', '-o', 'json'])
  const told = JSON.parse(out.text()) as { stats: { attributes: { id: string } }[] }
  assert.deepEqual(
    told.stats.map(({ attributes }) => attributes.id),
    ['runs', 'ended'],
  )
})
