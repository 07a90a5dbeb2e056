// The options about the form of the output, shared by many commands.

export const outputOption = {
  kind: 'string',
  short: 'o',
  value: 'FORMAT',
  choices: ['json', 'yaml', 'table'],
  help: 'json, yaml or table',
} as const

/** Where crictl has no table: scripts get what they know. */
export const jsonFirstOption = { ...outputOption, help: 'json (default), yaml or table' } as const

/** As inspect commands take it: no table of ours, but a template. */
export const inspectOutputOption = {
  kind: 'string',
  short: 'o',
  value: 'FORMAT',
  choices: ['json', 'yaml', 'table', 'go-template'],
  help: 'json (default), yaml, table or go-template',
} as const

export const templateOption = {
  kind: 'string',
  value: 'TEMPLATE',
  help: 'with -o go-template: text with {{.path.to.field}} and {{json .path}}',
} as const
