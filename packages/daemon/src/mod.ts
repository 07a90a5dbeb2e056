export { type Config, toConfig } from './config/config.ts'
export { loadSettings } from './config/load.ts'
export { type Daemon, startDaemon } from './start.ts'
