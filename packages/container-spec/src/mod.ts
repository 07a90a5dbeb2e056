export type { HostFacts, PodFacts, SourceFacts, SpecInput } from './spec-input.ts'
