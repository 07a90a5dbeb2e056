/** Largest reply that a kubelet takes, less some room for the rest of the message. */
const replyBytes = 16 * 1024 * 1024 - 4096

/** Shortens two outputs so that both fit one reply; the shorter one is kept whole where it leaves room. */
export function fitReply(stdout: Buffer, stderr: Buffer): { stdout: Buffer; stderr: Buffer } {
  if (stdout.length + stderr.length <= replyBytes) return { stdout, stderr }
  const half = replyBytes / 2
  const forStderr = Math.min(stderr.length, Math.max(half, replyBytes - stdout.length))
  return { stdout: stdout.subarray(0, replyBytes - forStderr), stderr: stderr.subarray(0, forStderr) }
}
