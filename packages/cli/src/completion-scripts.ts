// The completion scripts of the three shells, from the same tables that the parser reads.

export type CompletionWord = {
  readonly name: string
  readonly summary: string
  readonly options: readonly {
    readonly name: string
    readonly short: string | undefined
    readonly help: string
    readonly takesValue: boolean
  }[]
  /** What its operands are; ids are asked from the running daemon. */
  readonly completes: 'containers' | 'pods' | 'images' | 'files' | undefined
}

type Options = CompletionWord['options']

/** Prints one name a line; quiet when no daemon answers. */
const LISTERS = {
  containers: "coracle ps -a 2>/dev/null | awk 'NR > 1 { print $1 }'",
  pods: "coracle pods 2>/dev/null | awk 'NR > 1 { print $1 }'",
  images: 'coracle images 2>/dev/null | awk \'NR > 1 && $2 != "<none>" { print $1 ":" $2 }\'',
} as const

const optionWords = (options: Options): string =>
  options.flatMap(({ name, short }) => [`--${name}`, ...(short ? [`-${short}`] : [])]).join(' ')

export function bashScript(words: readonly CompletionWord[], globals: Options): string {
  const cases = words.map(({ name, options, completes }) => {
    const operands =
      completes === undefined ? '' : completes === 'files' ? ' operands=files' : ` operands=$(${LISTERS[completes]})`
    return `    ${name}) options="${optionWords(options)}"; [[ $current == -* ]] ||${operands || ' :'} ;;`
  })
  return `# bash completion for coracle
_coracle() {
  local current=\${COMP_WORDS[COMP_CWORD]} command= options= operands= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    ${globals
      .filter(({ takesValue }) => takesValue)
      .flatMap(({ name, short }) => [`--${name}`, ...(short ? [`-${short}`] : [])])
      .join('|')}) ((i++)) ;;
    -*) ;;
    *) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case $command in
    "") options="${optionWords(globals)}"; operands="${words.map(({ name }) => name).join(' ')}" ;;
${cases.join('\n')}
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ $operands == files ]]; then
    COMPREPLY=($(compgen -f -- "$current"))
  else
    COMPREPLY=($(compgen -W "$operands" -- "$current"))
    # Colons divide words in bash: give back only what follows the last one already typed.
    declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$current"
  fi
}
complete -o default -F _coracle coracle
`
}

export function zshScript(words: readonly CompletionWord[], globals: Options): string {
  const quote = (text: string) =>
    text.replaceAll("'", "'\\''").replaceAll('[', '\\[').replaceAll(']', '\\]').replaceAll(':', '\\:')
  const specs = (options: Options) =>
    options
      .map(
        ({ name, help, takesValue }) => `'--${name}${takesValue ? '=' : ''}[${quote(help)}]${takesValue ? ':value:_files' : ''}'`,
      )
      .join(' ')
  const cases = words.map(({ name, options, completes }) => {
    const operands =
      completes === undefined
        ? ''
        : completes === 'files'
          ? " '*:file:_files'"
          : ` "*:${completes.slice(0, -1)}:(\${(f)\\"$(_coracle_${completes})\\"})"`
    return `    ${name}) _arguments ${specs(options)}${operands} ;;`
  })
  const listers = Object.entries(LISTERS).map(([name, text]) => `_coracle_${name}() { ${text} | sed 's/:/\\\\:/g' }`)
  return `#compdef coracle
${listers.join('\n')}
_coracle() {
  local -a commands
  commands=(
${words.map(({ name, summary }) => `    '${name}:${quote(summary)}'`).join('\n')}
  )
  local state line
  _arguments -C ${specs(globals)} '1:command:->command' '*::argument:->argument'
  case $state in
  command) _describe command commands ;;
  argument)
    case $words[1] in
${cases.join('\n')}
    esac ;;
  esac
}
if [ "$funcstack[1]" = _coracle ]; then _coracle "$@"; else compdef _coracle coracle; fi
`
}

export function fishScript(words: readonly CompletionWord[], globals: Options): string {
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const optionLine = (condition: string) => (option: Options[number]) =>
    `complete -c coracle -n ${quote(condition)} -l ${option.name}${option.short ? ` -s ${option.short}` : ''}${option.takesValue ? ' -r' : ''} -d ${quote(option.help)}`
  const lines = ['# fish completion for coracle', 'complete -c coracle -f']
  lines.push(...globals.map(optionLine('__fish_use_subcommand')))
  for (const { name, summary, options, completes } of words) {
    const used = `__fish_seen_subcommand_from ${name}`
    lines.push(`complete -c coracle -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`)
    lines.push(...options.map(optionLine(used)))
    if (completes === 'files') lines.push(`complete -c coracle -n ${quote(used)} -F`)
    else if (completes) lines.push(`complete -c coracle -n ${quote(used)} -a ${quote(`(${LISTERS[completes]})`)}`)
  }
  return `${lines.join('\n')}\n`
}
