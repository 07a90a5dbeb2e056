import { Bed, never, processOf } from './bed.ts'
const bed = new Bed('/usr/bin/runsc', { execDrainMs: 1000, extraArguments: (process.argv.slice(2)) })
const attempt = async (what: string, work: () => Promise<unknown>) => { const t = performance.now(); try { const r = await work(); console.log(what, '->', r, (performance.now()-t).toFixed(0)+'ms') } catch (e) { console.log(what, 'THREW', (e as any).code, (e as Error).message, (e as Error).cause, (performance.now()-t).toFixed(0)+'ms') } }
try {
  await attempt('version', () => bed.runtime.version(never))
  await attempt('features', () => bed.runtime.features(never))
  await attempt('missing', () => bed.run({ args: ['/nope'] }))
  await attempt('run', async () => {
    const m = await bed.create({ args: ['sh', '-c', 'echo hello; sleep 1000'] })
    console.log('created', m.pid)
    await bed.runtime.start(m.paths, never)
    console.log(await bed.runtime.isStarted(m.paths), bed.runtime.inspect(m.paths))
    await attempt('exec', async () => {
      const s = await bed.runtime.exec(m.paths, { process: processOf(['sh', '-c', 'echo hi; exit 3']), stdin: false }, never)
      return [(await s.stdout.toArray()).join(''), (await s.stderr!.toArray()).join(''), await s.exited]
    })
    await attempt('exec missing', async () => {
      await bed.runtime.exec(m.paths, { process: processOf(['/nope']), stdin: false }, never)
    })
    await attempt('exec tty', async () => {
      const s = await bed.runtime.exec(m.paths, { process: processOf(['sh', '-c', 'echo hi; exit 3'], {terminal: true}), stdin: false }, never)
      return [(await s.stdout.toArray()).join(''), await s.exited]
    })
    await attempt('exec terminate', async () => {
      const s = await bed.runtime.exec(m.paths, { process: processOf(['sleep', '1000']), stdin: false }, never)
      await s.terminate(false)
      return s.exited
    })
    await attempt('kill', () => bed.runtime.kill(m.paths, 9, true))
    console.log(await m.exit, m.log())
  })
} finally { await bed[Symbol.asyncDispose]() }
