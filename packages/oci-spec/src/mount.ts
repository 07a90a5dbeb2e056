/** A mount as runtime-spec config.md#mounts and mount(8) name it. Options are single words: `ro`, `rbind`, `nosuid`, `size=64m`. */
export interface Mount {
  readonly type: string
  readonly source: string
  readonly destination: string
  readonly options: readonly string[]
}
