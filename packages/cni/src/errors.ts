import { CodedError, type ErrorCode } from '@coracle/base/errors'

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION'

/** What a plugin said in its error result (CNI spec, section 5, "Error"). */
export interface PluginError {
  readonly code: number
  readonly msg: string
  readonly details: string
}

export interface CniFailure {
  /** The `type` of the plugin. */
  readonly plugin: string
  readonly command: CniCommand
  /** Whom the call was for: `pod default/web`, `network coracle`. */
  readonly subject: string
  readonly reason: string
  readonly code: ErrorCode
  readonly pluginError?: PluginError
}

/** A plugin did not do what it was asked: names plugin, command and pod; the plugin's own words are bounded and on one line. */
export class CniError extends CodedError {
  override readonly name = 'CniError'
  readonly plugin: string
  readonly command: CniCommand
  readonly pluginError: PluginError | undefined

  constructor(failure: CniFailure, options?: ErrorOptions) {
    super(failure.code, `cni plugin ${failure.plugin}: ${failure.command} for ${failure.subject}: ${failure.reason}`, options)
    this.plugin = failure.plugin
    this.command = failure.command
    this.pluginError = failure.pluginError
  }
}

/** Foreign text for an error message: control characters become spaces, at most `max` characters. */
export function oneLine(text: string, max = 512): string {
  // A flood is cut before the regular expressions see it.
  const flat = text
    .slice(0, max * 4)
    .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, ' ')
    .trim()
  return flat.length > max ? `${flat.slice(0, max)}…` : flat
}

/** Codes 11, 50 and 51 ask to try again later, 1 to 7 say that the request or the configuration cannot work (CNI spec, section 5). */
export function codeOfPluginError(error: PluginError): ErrorCode {
  if (error.code === 11 || error.code === 50 || error.code === 51) return 'unavailable'
  if (error.code === 1 || error.code === 2 || error.code === 4 || error.code === 7) return 'failed_precondition'
  return 'internal'
}
