// The parts of the controller in a cluster, and how they are connected.

import type { RequestListener } from "node:http";
import { SignetError } from "../shared/errors.ts";
import { KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { loadOwnConfig } from "../host/kubernetes/kubeconfig.ts";
import { replicaIdentity } from "../host/pod.ts";
import { Keyring } from "../shared/keys/keyring.ts";
import type { KeyService } from "../shared/keys/keyservice.ts";
import type { RecoveryPolicy } from "../shared/keys/recoverynames.ts";
import type { PageSettings } from "../shared/sealingpage.ts";
import { VERSION } from "../shared/version.ts";
import { reviewAccess } from "./access.ts";
import { apiRoutes, type Page } from "./api.ts";
import { ClusterKeys } from "./clusterkeys.ts";
import { ClusterWorkloads } from "./clusterworkloads.ts";
import { ClusterWorld } from "./clusterworld.ts";
import { Deliveries } from "./deliveries.ts";
import { deliveryIn, DeliveryPlan, homeOf, secretOf } from "./deliveryplan.ts";
import { deliveryCondition } from "./deliveryreport.ts";
import { Gate } from "./gate.ts";
import { keyReport, type WrappingReport } from "./keyreport.ts";
import { Lease } from "./lease.ts";
import type { Log } from "./log.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { certificatesOf, Publisher } from "./publisher.ts";
import { Queue } from "./queue.ts";
import type { OpenerOptions } from "./opener.ts";
import { Reconciler } from "./reconcile.ts";
import { RecoveryConfigMaps } from "./recoveryconfigmaps.ts";
import { Restarts } from "./restarts.ts";
import { Sandbox } from "./sandbox.ts";
import { SecretDigests } from "./secretdigests.ts";
import type { ServeFlags } from "./serveflags.ts";
import { shardOf, Shards, sharingIdentity } from "./shards.ts";
import type { UpkeepOptions } from "./upkeep.ts";
import type { Drift, Verdict } from "./verdict.ts";
import { WorldError } from "./world.ts";

/** shared/sealingpage.ts, which is loaded only where the page is served. */
interface PageMaker {
  readonly PAGE_POLICY: string;
  readonly sealingPage: (settings: PageSettings) => string;
}

interface Surroundings {
  /** The controller's own namespace, where the Lease and the key Secrets are. */
  readonly namespace: string;
  readonly log: Log;
  /** Who may recover the sealing keys; null: nobody. */
  readonly recovery: RecoveryPolicy | null;
  /** Where sealing keys are wrapped; null if nowhere. */
  readonly keyService: KeyService | null;
  /** Aborts when the controller stops. */
  readonly stopping: AbortSignal;
}

/** The API server accepts no larger Secret. */
const MAX_SECRET_BYTES = 1024 * 1024;
/**
 * Values to open at once: as many as there are threads for RSA. The queue is bounded by the number
 * of reconciles.
 */
const MAX_OPENED = 4;
/**
 * The share of the time for busy namespaces, to open or to render: both keep a processor busy, which
 * more would take from everything else.
 */
const BUSY_SHARE = 1 / 8;
/** How long the status of a SealedSecret waits for more of its deliveries before it is written. */
const REPORT_AFTER_MS = 1_000;

const now = (): Date => new Date();
const clock = (): number => performance.now();

/** Every part, connected but not started. The parts call each other only after the start. */
export class ClusterParts {
  readonly client: KubernetesClient;
  readonly metrics: Metrics;
  readonly queue: Queue;
  readonly lease: Election;
  /** Undefined if the leader does all the work. */
  readonly #shards: Shards | undefined;
  readonly world: ClusterWorld;
  readonly keys: ClusterKeys;
  /** Undefined if certificates are not published. */
  readonly publisher: Publisher | undefined;
  /** Undefined if workloads are not restarted. */
  readonly #restarts: Restarts | undefined;
  /** Where templates are rendered. */
  readonly renderers = new Sandbox({ busyShare: BUSY_SHARE });
  /**
   * Where bodies of requests are parsed, so that bodies and templates never wait for each other.
   */
  readonly parsers = new Sandbox();
  /** Where values are opened for the reconciler, taking turns between namespaces. */
  readonly #openers = new Gate(MAX_OPENED, Infinity, clock, { busyShare: BUSY_SHARE });
  readonly #keyring = new Keyring();
  readonly #recovery: RecoveryConfigMaps | undefined;
  readonly #plan: DeliveryPlan;
  readonly #reconciler: Reconciler;
  readonly #deliveries: Deliveries;
  /** SealedSecrets whose status must soon report their deliveries again. */
  readonly #reports = new Set<string>();
  readonly #flags: ServeFlags;
  readonly #surroundings: Surroundings;
  /** All collections have been listed once. */
  #isSynced = false;
  #toldReady = false;

  /** @throws Error if there is no usable configuration for the API server */
  constructor(flags: ServeFlags, surroundings: Surroundings) {
    this.#flags = flags;
    this.#surroundings = surroundings;
    if (flags.deliverFrom.length > 0 && watchedNamespaces(flags, surroundings.namespace)) {
      throw new Error("--deliver-from requires --all-namespaces, without --additional-namespaces");
    }
    checkSharing(flags);
    const identity = replicaIdentity(process.env);
    const limits = { qps: flags.kubeclientQps, burst: flags.kubeclientBurst };
    this.client = new KubernetesClient(loadOwnConfig(flags.kubeconfig), limits, identity);
    this.metrics = this.#createMetrics();
    this.queue = this.#createQueue();
    this.client.onRecovered = () => {
      this.queue.retryNow();
    };
    this.lease = this.#createLease(identity);
    this.#shards = this.#createShards(identity);
    this.#plan = this.#createPlan();
    this.world = this.#createWorld();
    this.#recovery = this.#createRecovery();
    this.#deliveries = this.#createDeliveries();
    this.#reconciler = this.#createReconciler();
    this.keys = this.#createKeys();
    this.publisher = this.#createPublisher();
    this.#restarts = this.#createRestarts();
  }

  /** Call this when all collections have been listed once. */
  startQueue(): void {
    this.#isSynced = true;
    if (this.#shards !== undefined || this.lease.held) this.queue.start();
    this.#tellReady();
  }

  /** Takes part in the elections until `signal` aborts, then lets others take over. */
  async elect(signal: AbortSignal): Promise<void> {
    await Promise.all([this.lease.run(signal), this.#shards?.run(signal)]);
  }

  /** Restarts workloads until `signal` aborts, if the flags ask for it. */
  runRestarts(signal: AbortSignal): void {
    void this.#restarts?.run(signal);
  }

  /** Logs that the controller is ready, as soon as the probes report it. */
  #tellReady(): void {
    if (this.#toldReady || !this.isReady) return;
    this.#toldReady = true;
    this.#surroundings.log.info("controller ready", {
      sealingKeys: this.#keyring.keys.length,
      sealedSecrets: this.queue.depth,
    });
  }

  /** Sealing keys are held, everything has been listed once, and the controller does not stop. */
  get isReady(): boolean {
    return this.#isSynced && this.#keyring.newest !== null && !this.#surroundings.stopping.aborted;
  }

  /** `page`: what makes the page on which people seal; undefined if it is not to be served. */
  apiRoutes(page?: PageMaker): RequestListener {
    const { requireToken, rateLimit, rateLimitBurst } = this.#flags;
    const { log } = this.#surroundings;
    const keyring = this.#keyring;
    return apiRoutes({
      keyring,
      metrics: this.metrics,
      log,
      ready: () => this.isReady,
      keyReport: () => keyReport(keyring, this.world.sealedSecrets(), this.#wrappingReport()),
      recoveryReport: () => this.#recovery?.report(keyring.keys) ?? null,
      page: page === undefined ? undefined : this.#page(page),
      parse: (client, body) => this.parsers.parse(client, body),
      openers: this.#openers,
      rate: rateLimit,
      burst: rateLimitBurst,
      clock,
      review: requireToken
        ? (authorization, path) => reviewAccess(this.client, authorization, path)
        : undefined,
    });
  }

  /** The page, with the certificates that the controller has at that moment. */
  #page({ PAGE_POLICY: policy, sealingPage }: PageMaker): Page {
    return {
      policy,
      html: () => {
        const certificates = certificatesOf(this.#keyring);
        if (certificates === null) return null;
        const { current, former } = certificates;
        const name = this.#flags.pageCluster;
        return sealingPage({ clusters: [{ name, certificates: current + former }] });
      },
    };
  }

  #wrappingReport(): WrappingReport {
    const { keyService: service } = this.#surroundings;
    const { wrapped } = this.keys;
    if (service === null) return { service: null, wrapped };
    const { provider } = service;
    return { service: { provider, mode: this.#flags.kmsMode }, wrapped };
  }

  #createMetrics(): Metrics {
    return createMetrics(VERSION, {
      queueDepth: () => this.queue.depth,
      contested: () => this.#reconciler.contested + this.#deliveries.contested,
      deliveries: () => this.#deliveries.counts(),
      leads: () => this.lease.held,
      shards: () => this.#shards?.held ?? (this.lease.held ? 1 : 0),
      sealedSecrets: () => this.world.sealedSecrets(),
      nameThem: !this.#flags.metricsOmitSecretLabels,
      keyring: this.#keyring,
      firstLedAt: () => this.lease.createdAt,
      malformedKeys: () => this.keys.malformed,
      waitingKeys: () => this.keys.waiting,
      wrappedKeys: () => this.keys.wrapped,
      hasKeyService: this.#surroundings.keyService !== null,
      renewalAt: () => this.keys.renewalAt,
      unrecoverable: () => this.#recovery?.missing(this.#keyring.keys) ?? 0,
      waitingRestarts: () => this.#restarts?.waiting ?? 0,
      now,
    });
  }

  #createQueue(): Queue {
    return new Queue({
      workers: this.#flags.concurrency,
      reconcile: async (key) => {
        // Another replica may have taken over since it was queued.
        if (!this.#isOurs(key)) return { kind: "done" };
        this.metrics.unsealRequests.inc();
        if (deliveryIn(key) !== null) return this.#deliveries.reconcile(key);
        const swept = await this.#deliveries.sweep(key);
        if (!this.#holds(homeOf(key))) return swept ?? { kind: "done" };
        const outcome = await this.#reconciler.reconcile(key);
        const isOver = outcome.kind === "done" || outcome.kind === "terminal";
        return isOver ? (swept ?? outcome) : outcome;
      },
      onOutcome: (key, outcome, tookMs) => {
        this.metrics.reconcileSeconds.observe({ outcome }, tookMs / 1000);
        if (outcome !== "retry") this.#restarts?.reconciled(secretOf(key));
      },
      onError: (key, error) => {
        const { message } = error as Error;
        this.#surroundings.log.warn("reconcile failed, retrying", {
          object: key,
          error: message,
        });
      },
      retryAfterMs: (error) => (error instanceof WorldError ? (error.retryAfterMs ?? 0) : 0),
    });
  }

  #createLease(identity: string): Election {
    const { leaderElect, leaderElectLeaseName, leaderElectLeaseDuration, shards } = this.#flags;
    const { namespace, log } = this.#surroundings;
    const onLead = (): void => {
      this.#lead();
    };
    if (!leaderElect) return withoutElection(onLead);
    return new Lease(
      {
        namespace,
        name: leaderElectLeaseName,
        durationMs: leaderElectLeaseDuration,
        ...(shards === 1
          ? { identity }
          : {
              identity: sharingIdentity(identity, shards),
              successor: () => this.#shards?.peer(),
            }),
      },
      {
        client: this.client,
        log,
        now,
        clock,
        sealingKey: () => this.keys.sealingKey,
        onLead,
        onFollow: () => {
          this.keys.follow();
          this.publisher?.follow();
          this.#restarts?.follow();
          if (this.#shards === undefined) this.queue.pause();
        },
        onForbidden: () => {
          this.keys.createFirst();
        },
      },
    );
  }

  #createShards(identity: string): Shards | undefined {
    const { shards: count, leaderElectLeaseName, leaderElectLeaseDuration } = this.#flags;
    const { namespace, log } = this.#surroundings;
    const { lease } = this;
    if (count === 1) return undefined;
    const isIn = (shard: number) => (key: string) => shardOf(homeOf(key), count) === shard;
    const forget = (shard: number): void => {
      this.#reconciler.forgetAll(isIn(shard));
      this.#deliveries.forgetOf(isIn(shard));
    };
    return new Shards(
      {
        count,
        namespace,
        leaseName: leaderElectLeaseName,
        identity: sharingIdentity(identity, count),
        durationMs: leaderElectLeaseDuration,
      },
      {
        client: this.client,
        log,
        now,
        clock,
        main: lease,
        isReady: () => this.isReady,
        isBusy: (shard) => this.queue.isRunning((key) => this.#homesOf(key).some(isIn(shard))),
        onGain: (shard) => {
          forget(shard);
          this.#queueAll(isIn(shard));
        },
        onLose: forget,
      },
    );
  }

  /** Whether this replica works on the SealedSecrets of a namespace. */
  #holds(namespace: string): boolean {
    return this.#shards?.holds(namespace) ?? true;
  }

  /**
   * The SealedSecrets that a run under this name of the queue may be for, as far as their namespaces
   * tell: a delivered Secret is deleted for the one that it is from.
   */
  #homesOf(key: string): string[] {
    const from = this.world.delivered(key)?.from;
    return from === undefined ? [key] : [key, from];
  }

  #isOurs(key: string): boolean {
    if (this.#shards === undefined) return true;
    return this.#homesOf(key).some((each) => this.#holds(homeOf(each)));
  }

  /** Queues what this replica works on. A change by another replica may need a restart of workloads. */
  #add(key: string): void {
    if (this.#isOurs(key)) this.queue.add(key);
    else this.#restarts?.reconciled(secretOf(key));
  }

  #createWorld(): ClusterWorld {
    const { labelSelector, namespaceSelector, selectorScope } = this.#flags;
    const { namespace, log } = this.#surroundings;
    return new ClusterWorld({
      client: this.client,
      guard: (work) => {
        if (this.#shards === undefined) this.lease.guard();
        else this.#shards.guard(homeOf(work));
      },
      namespaces: watchedNamespaces(this.#flags, namespace),
      labelSelector,
      namespaceSelector,
      selectorScope,
      plan: this.#plan,
      onChange: (key) => {
        this.#add(key);
      },
      log,
      now,
    });
  }

  #createPlan(): DeliveryPlan {
    return new DeliveryPlan({
      from: new Set(this.#flags.deliverFrom),
      own: this.#surroundings.namespace,
      onWork: (name) => {
        this.#add(name);
      },
      clock,
    });
  }

  #createDeliveries(): Deliveries {
    return new Deliveries({
      ...this.#secretOptions(),
      world: this.world,
      plan: this.#plan,
      holds: (namespace) => this.#holds(namespace),
      onReport: (from) => {
        this.#reportSoon(from);
      },
      onVerdict: (name, verdict) => {
        this.#reportVerdict(name, verdict);
      },
      onRepair: (key, drift) => {
        this.#reportRepair(key, drift);
      },
      onRemoval: (key, from, why) => {
        this.metrics.deliveriesRemoved.inc();
        this.#surroundings.log.info("delivered Secret deleted", { object: key, from, reason: why });
      },
    });
  }

  /** One status for many deliveries. */
  #reportSoon(from: string): void {
    if (this.#reports.has(from)) return;
    this.#reports.add(from);
    setTimeout(() => {
      this.#reports.delete(from);
      this.#add(from);
    }, REPORT_AFTER_MS).unref();
  }

  #createReconciler(): Reconciler {
    return new Reconciler({
      isBusy: () => this.queue.isBusy,
      ...this.#secretOptions(),
      world: this.world,
      updateStatus: this.#flags.updateStatus,
      now,
      delivery: (key, object) => {
        const report = this.#deliveries.reportOf(key, object);
        return report === null ? null : deliveryCondition(report);
      },
      onVerdict: (key, verdict) => {
        this.#reportVerdict(key, verdict);
      },
      onRepair: (key, drift) => {
        this.#reportRepair(key, drift);
      },
    });
  }

  /** How Secrets are made and kept, those of SealedSecrets and those that are delivered. */
  #secretOptions(): OpenerOptions & Omit<UpkeepOptions, "world"> {
    const flags = this.#flags;
    const { repairDrift } = flags;
    return {
      keyring: this.#keyring,
      render: (templates, values, namespace) => this.renderers.render(namespace, templates, values),
      openIn: (namespace) => (operation) =>
        this.#openers.run({ address: namespace, client: "" }, operation),
      maxSecretBytes: MAX_SECRET_BYTES,
      acceptLegacy: flags.acceptDeprecatedV1Data,
      keyPlace: { namespace: this.#surroundings.namespace, prefix: flags.keyPrefix },
      allowedTypes: new Set(flags.allowSecretTypes),
      repair: { changed: repairDrift, deleted: repairDrift && !flags.skipRecreate },
      log: this.#surroundings.log,
      clock,
      onUnseal: () => {
        this.metrics.decryptions.inc();
      },
    };
  }

  #createKeys(): ClusterKeys {
    const flags = this.#flags;
    const { namespace, log } = this.#surroundings;
    return new ClusterKeys(
      {
        namespace,
        prefix: flags.keyPrefix,
        leaseName: flags.leaderElectLeaseName,
        bits: flags.keySize,
        hybrid: flags.hybridKeys,
        validForMs: flags.keyTtl,
        commonName: flags.myCn,
        order: flags.keyOrderPriority,
        labels: flags.privatekeyLabels,
        annotations: flags.privatekeyAnnotations,
        renewal: {
          renewAfterMs: flags.rotatePeriod ?? flags.keyRenewPeriod,
          cutoff: flags.keyCutoffTime ?? null,
        },
        wrapping: flags.kmsMode,
      },
      {
        client: this.client,
        keyring: this.#keyring,
        recovery: this.#recovery,
        keyService: this.#countedService(),
        log,
        now,
        clock,
        guard: this.lease.guard,
        leaseUid: () => this.lease.uid,
        ledBefore: () => this.lease.ledBefore,
        sealedBefore: () => this.lease.sealedBefore,
        onSealingKeyChange: (reason) => {
          this.metrics.sealingKeyChanges.inc({ reason });
        },
        onChange: () => {
          this.#reconciler.forgetFailures();
          this.#deliveries.forgetFailures();
          // Includes those in sync, for which it is cheap: a key may have been marked as
          // compromised, or the mark may have been removed.
          this.#queueAll();
          this.publisher?.look();
          this.#tellReady();
        },
      },
    );
  }

  #createPublisher(): Publisher | undefined {
    const { certificatesConfigmap: name, certificatesNamespace } = this.#flags;
    if (name === "") return undefined;
    const { namespace, log } = this.#surroundings;
    const place = { name, namespace: certificatesNamespace ?? namespace };
    const { client } = this;
    return new Publisher(place, {
      client,
      keyring: this.#keyring,
      log,
      clock,
      guard: this.lease.guard,
    });
  }

  #createRestarts(): Restarts | undefined {
    const { restartWorkloads, restartHoldOff: holdOffMs } = this.#flags;
    if (!restartWorkloads) return undefined;
    const { namespace, log } = this.#surroundings;
    const { world } = this;
    return new Restarts({
      world: new ClusterWorkloads({
        client: this.client,
        guard: this.lease.guard,
        namespaces: watchedNamespaces(this.#flags, namespace),
        recordEvent: (workload, event) => world.recordEvent(workload, event, this.lease.guard),
        log,
      }),
      digests: new SecretDigests({
        secretMark: (key) => world.secretMark(key),
        isSettled: async (key, mark) =>
          this.#deliveries.isSettled(key, mark) || (await this.#reconciler.isSettled(key, mark)),
        readSecret: (key) => world.readSecret(key),
      }),
      keyring: this.#keyring,
      holdOffMs,
      log,
      now,
      clock,
      onRestart: ({ namespace, kind }) => {
        this.metrics.restarts.inc({ namespace, kind });
      },
      onUnfinished: ({ namespace, kind }) => {
        this.metrics.restartsUnfinished.inc({ namespace, kind });
      },
    });
  }

  #createRecovery(): RecoveryConfigMaps | undefined {
    const { namespace, log, recovery } = this.#surroundings;
    if (recovery === null) return undefined;
    return new RecoveryConfigMaps(namespace, recovery, {
      client: this.client,
      log,
      now,
      clock: () => performance.now(),
      guard: this.lease.guard,
      readSecret: (name) => this.keys.plainSecretOf(name),
      onChange: () => {
        this.keys.recoveryChanged();
      },
    });
  }

  /** The key service, with its calls counted. */
  #countedService(): KeyService | null {
    const { keyService: service } = this.#surroundings;
    if (service === null) return null;
    const counted = async <T>(operation: string, call: Promise<T>): Promise<T> => {
      try {
        const answer = await call;
        this.metrics.kmsRequests.inc({ operation, outcome: "ok" });
        return answer;
      } catch (error) {
        const isRefused = error instanceof SignetError && error.code === "key-invalid";
        this.metrics.kmsRequests.inc({ operation, outcome: isRefused ? "refused" : "failed" });
        throw error;
      }
    };
    return {
      provider: service.provider,
      describe: () => service.describe(),
      wrap: (dataKey, context) => counted("wrap", service.wrap(dataKey, context)),
      unwrap: (wrapped, context) => counted("unwrap", service.unwrap(wrapped, context)),
    };
  }

  /** Another replica may have written before, so the reconciler checks everything again. */
  #lead(): void {
    this.keys.lead();
    this.publisher?.lead();
    this.#restarts?.lead();
    if (this.#shards !== undefined) return;
    this.#reconciler.forgetAll();
    this.#deliveries.forgetAll();
    this.#queueAll();
    if (this.#isSynced) this.queue.start();
  }

  /** Queues all that this replica works on, and that is for SealedSecrets that `isOne` accepts. */
  #queueAll(isOne: (key: string) => boolean = () => true): void {
    const add = (key: string): void => {
      if (this.#isOurs(key) && this.#homesOf(key).some(isOne)) this.queue.add(key);
    };
    for (const key of this.world.keys()) add(key);
    for (const key of this.#plan.secrets()) add(key);
    for (const name of this.#plan.names()) add(name);
  }

  #reportVerdict(key: string, { synced, event, message, metric }: Verdict): void {
    const { log } = this.#surroundings;
    if (synced) log.info(event.message, { object: key });
    else log.error(event.reason, { object: key, error: message });
    const labels = { namespace: key.split("/")[0] ?? "" };
    if (metric !== null) this.metrics.unsealErrors.inc({ reason: metric, ...labels });
  }

  #reportRepair(key: string, { change, fields, by }: Drift): void {
    const [namespace = ""] = key.split("/");
    this.metrics.driftCorrected.inc({ namespace, change });
    this.#surroundings.log.warn("drift reverted", {
      object: key,
      change,
      fields: fields.join(",") || undefined,
      by: by.join(",") || undefined,
    });
  }
}

/** @throws Error if replicas cannot share the work with these flags */
function checkSharing({ shards, leaderElect, restartWorkloads, updateStatus }: ServeFlags): void {
  if (shards === 1) return;
  if (!leaderElect) throw new Error("--shards requires --leader-elect");
  // The leader restarts workloads, and learns from the status what another replica wrote.
  if (restartWorkloads && !updateStatus) {
    throw new Error("--shards with --restart-workloads requires --update-status");
  }
}

/** Undefined for all namespaces. */
function watchedNamespaces(flags: ServeFlags, own: string): string[] | undefined {
  if (flags.additionalNamespaces.length > 0)
    return [...new Set([own, ...flags.additionalNamespaces])];
  return flags.allNamespaces ? undefined : [own];
}

type Election = Pick<
  Lease,
  "held" | "isHeldBy" | "uid" | "createdAt" | "ledBefore" | "sealedBefore" | "guard" | "run"
>;

/** A single replica, which always leads. */
function withoutElection(lead: () => void): Election {
  return {
    held: true,
    isHeldBy: () => true,
    ledBefore: false,
    createdAt: undefined,
    sealedBefore: undefined,
    uid: "",
    guard: () => undefined,
    run: () => {
      lead();
      return Promise.resolve();
    },
  };
}
