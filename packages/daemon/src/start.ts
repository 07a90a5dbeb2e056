// The composition root: the only place that makes the graph of rooms. Top to bottom is the order of a start.
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { explain, precondition } from '@coracle/base/errors'
import { KeyedLock } from '@coracle/base/keyed-lock'
import { logger } from '@coracle/base/log'
import { makeDirectories } from '@coracle/base/make-directories'
import { SingleFlight } from '@coracle/base/single-flight'
import { StageHistory } from '@coracle/base/stage-history'
import { type Cni, createCni } from '@coracle/cni'
import { containerConfigCodec, createProgress, listen, podConfigCodec, type RouteDeps } from '@coracle/cri-server'
import { createHost, devicesAt, favourThisThread, type Host, hostDevices, readHostFacts } from '@coracle/host'
import { createImages, loadPolicies, type RegistriesConfig, type ReloadableImages } from '@coracle/image'
import {
  type Containers,
  createEvents,
  createStatsReader,
  openDatabase,
  type Pods,
  Records,
  recover,
  type Services,
  streamTarget,
} from '@coracle/lifecycle'
import { createStreaming } from '@coracle/streaming'
import { openCdi } from './cdi/cdi-directories.ts'
import type { Config } from './config/config.ts'
import { examine, programFindings } from './doctor.ts'
import { lockDirectory } from './instance-lock.ts'
import { openSecurityModules } from './lsm/security-modules.ts'
import { observe } from './observe.ts'
import { chooseDefault, createRuntimeTable, fillRuntimeTable, type RuntimeTable, rememberedHandlers } from './runtimes.ts'
import { probeUserNamespaces } from './userns-probe.ts'

const log = logger('daemon')

export interface Daemon {
  /** Applies what can change without a restart. */
  reload(config: Config): Promise<void>
  /** Throws when something that every call needs does not work. */
  selfCheck(): void
  /** Stops serving and leaves all containers alone. */
  stop(): Promise<void>
}

export interface StartOptions {
  readonly config: Config
  readonly version: string
  /** Of this process: credential helpers get it, without what is the daemon's own. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The effective configuration as text, for verbose status. */
  readonly describe: () => string
}

/** Makes everything, recovers, then serves. What was made is given back when a later step fails. */
export async function startDaemon(options: StartOptions): Promise<Daemon> {
  const { config } = options
  await using made = new AsyncDisposableStack()
  const shutdown = new AbortController()
  const history = made.use(new StageHistory())
  makeOwnDirectories(config)
  const host = createHost()
  if (!favourThisThread()) log.warn('under load calls are answered later: the nice value cannot be lowered without CAP_SYS_NICE')
  for (const directory of [config.root, config.state, ...placesElsewhere(config)])
    made.use(lockDirectory(directory, host.processes))
  const db = made.use(openDatabase(join(config.root, 'records.db')))
  const pods: Pods = new Records(db, { table: 'pods', noun: 'pod sandbox', codec: podConfigCodec })
  const containers: Containers = new Records(db, { table: 'containers', noun: 'container', codec: containerConfigCodec })

  const { driver, scopePrefix } = config.cgroups
  const facts = readHostFacts({ cgroups: host.cgroups, scopePrefix, ...(driver === 'auto' ? {} : { cgroupDriver: driver }) })
  await checkMachine(config, shutdown.signal)
  const runtimes = createRuntimeTable()
  const fill = async (wanted: Config['runtimes']) => {
    const inUse = () => new Set([...pods.all(), ...containers.all()].map(({ runtime }) => runtime))
    // Only the handlers themselves can change without a restart: where they keep their containers stays.
    const current = { ...config, runtimes: wanted }
    const remembered = db.getMeta('handlers')
    await fillRuntimeTable(runtimes, { config: current, host, driver: facts.cgroupDriver, inUse, remembered }, shutdown.signal)
    const next = rememberedHandlers(runtimes)
    if (next !== remembered) db.setMeta('handlers', next)
  }
  await fill(config.runtimes)
  const probing = probeUserNamespaces(config, { host, runtimes, db, driver: facts.cgroupDriver }, shutdown.signal)
  const defaultRuntime = await chooseDefault(config, host, shutdown.signal)

  const images = await openImages(options, host)
  made.defer(() => images.close())
  const cni = openNetwork(config, host)
  made.defer(() => cni.close())
  // Disposed first: what waits in the background ends before what it uses.
  made.defer(() => shutdown.abort(new Error('the daemon stops')))

  const services: Services = {
    ...{ pods, containers, host, facts, devicesAt, hostDevices, images, cni },
    cdi: openCdi(config),
    ...(await openSecurityModules(config, host, shutdown.signal)),
    runtimes: runtimes.byHandler,
    retiredRuntimes: runtimes.retired,
    handlerSettings: (handler) => ({
      allowedAnnotations: runtimes.allowedAnnotations.get(handler) ?? [],
      privilegedWithoutHostDevices: runtimes.madeFrom.get(handler)?.privilegedWithoutHostDevices ?? false,
      recursiveReadOnly: runtimes.features.get(handler)?.recursiveReadOnlyMounts ?? false,
      mountOptions: new Set(runtimes.features.get(handler)?.mountOptions),
      userNamespaceProblem: runtimes.userNamespaceProblems.has(handler)
        ? runtimes.userNamespaceProblems.get(handler)
        : 'it has not been tried yet',
    }),
    settings: settingsOf(config, defaultRuntime),
    podLocks: new KeyedLock('pod'),
    containerLocks: new KeyedLock('container'),
    podFlights: new SingleFlight('run pod'),
    containerFlights: new SingleFlight('create container'),
    startFlights: new SingleFlight('start container'),
    stops: new Map(),
    exits: new Map(),
    afterExit: new Map(),
    afterCreate: new Map(),
    shutdown: shutdown.signal,
  }
  const events = createEvents(services)
  await images.recover(shutdown.signal)
  await recover(services)
  events.recovered()
  await probing

  const streaming = made.use(await createStreaming(config.streaming, streamTarget(services)))
  made.use(await observe(config, { services, images, processes: host.processes, events, version: options.version }))
  const parts = { services, transfers: images.transfers, runtimes, streaming, history, events }
  const server = await listen(socketOptions(config), routeDeps(options, parts))
  log.info('ready', {
    version: options.version,
    pods: pods.size,
    containers: containers.size,
    defaultRuntime,
    network: cni.status(),
  })
  const owned = made.move()
  return {
    reload: async (next) => {
      await reloadPolicies(images, next)
      images.setPinned(next.images.pinned)
      tellProblems(images.setRegistries(withEnvironment(next.images.registries, options.environment)))
      await fill(next.runtimes)
      await probeUserNamespaces(config, { host, runtimes, db, driver: facts.cgroupDriver }, shutdown.signal)
    },
    selfCheck: () => {
      db.getMeta('self-check')
    },
    stop: async () => {
      await server.stop(5000)
      if (facts.cgroupDriver === 'cgroupfs') host.cgroups.removeIfEmpty(config.cgroups.defaultParent)
      await owned.disposeAsync()
    },
  }
}

/** Tells what is not right with the machine; refuses to go on with programs known to be unsafe when the operator wants that. */
async function checkMachine(config: Config, signal: AbortSignal): Promise<void> {
  const examined = examine(config, signal).then((findings) => {
    const bad = findings.filter(({ state }) => state !== 'ok')
    for (const { check, state, detail, remedy } of bad) log.warn('preflight', { check, state, detail, remedy })
    return bad
  })
  if (!config.strictFloors) {
    // Programs are asked for their versions: the start does not wait for that.
    examined.catch((err: unknown) => log.warn('preflight failed', { error: err }))
    return
  }
  const bad = programFindings(await examined)
  if (bad.length > 0) throw precondition(`strict_floors: ${bad.map(({ check, detail }) => `${check}: ${detail}`).join('; ')}`)
}

/** Directories of the image store that are not below the root. */
const placesElsewhere = ({ root, images }: Config): readonly string[] =>
  [...new Set([images.root, images.containersRoot])].filter((directory) => directory !== join(root, 'images'))

function makeOwnDirectories(config: Config): void {
  const { root, state } = config
  makeDirectories(root, 0o700)
  chmodSync(root, 0o700)
  makeDirectories(state, 0o711)
  chmodSync(state, 0o711)
  for (const directory of placesElsewhere(config)) makeDirectories(directory, 0o711)
  for (const name of ['pods', 'containers']) makeDirectories(join(state, name), 0o711)
}

async function openImages({ config, environment }: StartOptions, host: Host): Promise<ReloadableImages> {
  const { state, images } = config
  const registries = withEnvironment(images.registries, environment)
  const signaturePolicies = await loadPolicies(images.policyFiles)
  const opened = await createImages({ ...images, state: join(state, 'images'), registries, signaturePolicies }, host)
  tellProblems(opened.setRegistries(registries))
  return opened
}

/** A policy that cannot be read whole changes nothing: the old one stays in force. */
async function reloadPolicies(images: ReloadableImages, { images: { policyFiles } }: Config): Promise<void> {
  try {
    images.setSignaturePolicies(await loadPolicies(policyFiles))
    log.info('signature policy reloaded')
  } catch (err) {
    log.error('signature policy not reloaded: the old one stays', { error: explain(err) })
  }
}

/** Credential helpers of clouds find region and token there. */
function withEnvironment(registries: RegistriesConfig, environment: StartOptions['environment']): RegistriesConfig {
  const kept = Object.entries(environment).flatMap(([name, value]) =>
    value === undefined || /^(NODE_|CORACLE_|NOTIFY_|WATCHDOG_|LISTEN_)/.test(name) ? [] : [[name, value]],
  )
  return registries.helpers === undefined
    ? registries
    : { ...registries, helpers: { ...registries.helpers, environment: Object.fromEntries(kept) } }
}

/** Containers run on and the node stays in service: only pulls that need the broken file fail, with the same words. */
function tellProblems(problems: readonly string[]): void {
  for (const problem of problems) log.error('registry configuration is broken', { error: problem })
}

function openNetwork({ root, cni }: Config, host: Host): Cni {
  const { configDir, pluginDirs, addTimeoutMs, delTimeoutMs } = cni
  return createCni({ configDir, pluginDirs, addTimeoutMs, delTimeoutMs, cacheDir: join(root, 'networks') }, host)
}

function settingsOf(config: Config, defaultRuntime: string): Services['settings'] {
  return {
    rootDirectory: config.root,
    stateDirectory: config.state,
    defaultRuntime,
    initProgram: config.programs.init,
    monitorCgroup: config.cgroups.monitor,
    defaultCgroupParent: config.cgroups.defaultParent,
    probeTimeoutMs: config.limits.probeTimeoutMs,
    ownDevices: config.ownDevices,
    absentSourcesToReject: config.absentSourcesToReject,
    unsetSeccomp: config.unsetSeccomp === 'runtime_default' ? 'runtimeDefault' : 'unconfined',
    unclaimedMs: config.limits.unclaimedMs,
  }
}

const socketOptions = ({ socket, servesCadvisor }: Config) => ({ path: socket, servesCadvisor })

function routeDeps(
  { config, version, describe }: StartOptions,
  parts: Pick<RouteDeps, 'services' | 'transfers' | 'streaming' | 'history' | 'events'> & { readonly runtimes: RuntimeTable },
): RouteDeps {
  const { runtimes, ...given } = parts
  const { services } = given
  return {
    ...given,
    stats: createStatsReader(services),
    images: services.images,
    host: services.host,
    name: config.name,
    version,
    cgroupDriver: services.facts.cgroupDriver,
    features: () => runtimes.features,
    config: describe,
    progress: createProgress(),
  }
}
