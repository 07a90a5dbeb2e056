export { containerConfigCodec, podConfigCodec } from './codecs.ts'
export type { Progress, RouteDeps } from './deps.ts'
export { type CriServer, listen } from './listen.ts'
export { createProgress } from './progress.ts'
