// Takes from the machine what dead processes owned; with a pid also what that one owns: reclaim-program.ts [PID].
// A signal does not end it: it hurries.
import { ownerName } from './owner.ts'
import { reclaim } from './reclaim.ts'
import { handleSignals } from './signals.ts'

const hurry = new AbortController()
handleSignals(() => hurry.abort())
const pid = process.argv[2]
const done = await reclaim({ ...(pid === undefined ? {} : { owner: ownerName(Number(pid)) ?? '' }), hurry: hurry.signal })
if (done.words !== '') process.stderr.write(`${done.words}\n`)
process.exitCode = done.left.length === 0 ? 0 : 1
