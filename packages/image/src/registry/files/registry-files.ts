// All files that say something about registries, in one place: read when first asked for, and again when they changed.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { explain } from '@coracle/base/errors'
import { type AuthFile, parseAuthFile } from './auth-file.ts'
import { type HostCertificates, hostOfDirectory, readCertificates } from './certs.ts'
import { type HostsToml, hostDirectories, hostsFile, parseHostsToml, readHostsFile } from './hosts-toml.ts'
import { LastGood, type Loaded, listFiles, readText } from './last-good.ts'
import { emptyRegistriesConf, parseRegistriesConf, type RegistriesConf } from './registries-conf.ts'

/** Absent ones are fine, everywhere. */
export interface RegistryFilePaths {
  readonly registriesConf?: string
  /** Drop-ins: `*.conf`. */
  readonly registriesConfDirectory?: string
  /** Trees of `HOST/hosts.toml`; the first that knows the host counts. */
  readonly hostsDirectories?: readonly string[]
  /** Trees of `HOST/*.crt`, `*.cert`, `*.key`; all of them count. */
  readonly certificateDirectories?: readonly string[]
  /** auth.json or docker's config.json; the first that knows the host counts. */
  readonly authFiles?: readonly string[]
}

/** Where the files are when nobody says otherwise. Credentials of the node are not among them. */
export const usualRegistryFiles: RegistryFilePaths = {
  registriesConf: '/etc/containers/registries.conf',
  registriesConfDirectory: '/etc/containers/registries.conf.d',
  hostsDirectories: ['/etc/containerd/certs.d'],
  certificateDirectories: ['/etc/containers/certs.d', '/etc/docker/certs.d'],
}

/** What is wrong with the files now; empty: nothing. */
export const checkRegistryFiles = (paths: RegistryFilePaths): readonly string[] => new RegistryFiles(() => paths).check()

export class RegistryFiles {
  readonly #paths: () => RegistryFilePaths
  readonly #conf = new LastGood<RegistriesConf>()
  readonly #hosts = new LastGood<HostsToml | undefined>()
  readonly #certificates = new LastGood<HostCertificates | undefined>()
  readonly #auth = new LastGood<AuthFile | undefined>()

  constructor(paths: () => RegistryFilePaths) {
    this.#paths = paths
  }

  /** Throws `failed_precondition` naming file, line and key when it was never readable. So do all others. */
  registriesConf(): Loaded<RegistriesConf> {
    const { registriesConf, registriesConfDirectory } = this.#paths()
    const dropIns = registriesConfDirectory === undefined ? [] : listFiles(registriesConfDirectory, '.conf')
    const files = [...(registriesConf === undefined ? [] : [registriesConf]), ...dropIns]
    if (files.length === 0) return { value: emptyRegistriesConf, problem: undefined }
    return this.#conf.get(`registries.conf ${files[0]}`, files, () =>
      parseRegistriesConf(
        files.flatMap((file) => {
          const text = readText(file)
          return text === undefined ? [] : [{ file, text }]
        }),
      ),
    )
  }

  /** hosts.toml of a registry; undefined: none. The first directory of the registry counts, also where it has only certificates. */
  hostsToml(registry: string, upstream: string): Loaded<HostsToml | undefined> {
    const directories = (this.#paths().hostsDirectories ?? []).flatMap((tree) =>
      hostDirectories(registry).map((name) => join(tree, name)),
    )
    const paths = directories.flatMap((directory) => [directory, hostsFile(directory)])
    return this.#hosts.get(registry, paths, () => {
      const directory = directories.find((path) => existsSync(path))
      const text = directory === undefined ? undefined : readHostsFile(directory)
      return directory === undefined || text === undefined ? undefined : parseHostsToml(hostsFile(directory), text, upstream)
    })
  }

  /** Of all hosts. Does not throw for files that never were right: the host's entry tells. */
  certificates(): Loaded<readonly HostCertificates[]> {
    const { certificateDirectories = [], hostsDirectories = [] } = this.#paths()
    const loaded = [...certificateDirectories, ...hostsDirectories]
      .flatMap((tree) => listFiles(tree))
      .map((path) => this.#ofHost(path))
    const problems = loaded.flatMap(({ problem }) => problem ?? [])
    return {
      value: loaded.flatMap(({ value }) => value ?? []),
      problem: problems.length === 0 ? undefined : problems.join('; '),
    }
  }

  #ofHost(path: string): Loaded<HostCertificates | undefined> {
    try {
      return this.#certificates.get(path, [path, ...listFiles(path)], () => readCertificates(path))
    } catch (err) {
      return { value: { host: hostOfDirectory(path), tls: {}, files: [], problem: explain(err) }, problem: undefined }
    }
  }

  authFiles(): readonly Loaded<AuthFile | undefined>[] {
    return (this.#paths().authFiles ?? []).map((file) =>
      this.#auth.get(file, [file], () => {
        const text = readText(file)
        return text === undefined ? undefined : parseAuthFile(file, text)
      }),
    )
  }

  /** Reads all that can be read without a name, so that a start and a reload tell at once what is wrong. Returns it. */
  check(): readonly string[] {
    const problems: string[] = []
    for (const read of [
      () => this.registriesConf(),
      () => this.#checkCertificates(),
      () => this.#checkHosts(),
      () => this.authFiles(),
    ]) {
      try {
        const loaded = [read() ?? []].flat()
        problems.push(...loaded.flatMap(({ problem }) => (problem === undefined ? [] : [problem])))
      } catch (err) {
        problems.push(err instanceof Error ? err.message : String(err))
      }
    }
    return problems
  }

  #checkCertificates(): Loaded<unknown>[] {
    const { value, problem } = this.certificates()
    return [{ value, problem }, ...value.map((host) => ({ value: host, problem: host.problem }))]
  }

  #checkHosts(): Loaded<unknown>[] {
    return (this.#paths().hostsDirectories ?? []).flatMap((tree) =>
      listFiles(tree).map((directory) => {
        const name = (directory.split('/').at(-1) ?? '').replace(/_(\d+)_$/, ':$1')
        return this.hostsToml(name, `https://${name === '_default' ? 'default.invalid' : name}`)
      }),
    )
  }
}
