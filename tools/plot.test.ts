// The plot in the documents shows the results beside it, and nothing else.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { plot } from '../test/bench/pulls/plot.ts'
import type { Row } from '../test/bench/pulls/report.ts'
import { captionOf, readResults } from '../test/bench/pulls/results.ts'

const at = (name: string) => fileURLToPath(new URL(`../docs/${name}`, import.meta.url))
const names = ['containerd', 'podman', 'coracle']

test('docs/pulls.svg is what npm run bench:pulls -- --from docs/pulls.json --plot docs/pulls.svg makes', () => {
  const results = readResults([at('pulls.json')])
  const named = names.filter((name) => results.rows.some(({ samples }) => samples.has(name)))
  assert.equal(readFileSync(at('pulls.svg'), 'utf8'), plot(results.rows, named, captionOf(results)))
})

test('plot() draws bars in proportion, medians as words, names escaped', () => {
  const costs = (...seconds: number[]) =>
    seconds.map((each) => ({ seconds: each, cpuSeconds: each, peakMb: 10, daemonPeakMb: 5 }))
  const row: Row = {
    name: 'a <b> & c',
    goal: 0.5,
    samples: new Map([
      ['containerd', costs(4, 4, 4)],
      ['coracle', costs(1, 2, 3)],
    ]),
  }
  const svg = plot([row], ['containerd', 'coracle'], 'as measured')
  assert.match(svg, /a &lt;b&gt; &amp; c/)
  assert.match(svg, />2\.00 s</)
  const widths = [...svg.matchAll(/<rect class="(\w+)" x="232" y="\d+" width="([\d.]+)"/g)].map(([, name, width]) => [
    name,
    width,
  ])
  assert.deepEqual(widths, [
    ['containerd', '146.0'],
    ['coracle', '73.0'],
  ])
  // Half of containerd's 4 s, from the column's left edge.
  assert.match(svg, /<line class="goal" x1="305\.0"/)
})
