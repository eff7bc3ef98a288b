// The controller in a cluster: wiring, and the order in which things start and stop.

import v8 from "node:v8";
import { Keyring } from "../shared/keys/keyring.ts";
import { VERSION } from "../shared/version.ts";
import { renderTemplate } from "../shared/template/template.ts";
import { reviewAccess } from "./access.ts";
import { ClusterWorld } from "./clusterworld.ts";
import { loadOwnConfig } from "../host/kubernetes/kubeconfig.ts";
import { ownNamespace, replicaIdentity } from "../host/pod.ts";
import type { ServeFlags } from "./serveflags.ts";
import { apiRoutes, metricsRoutes } from "./api.ts";
import { addressOf, closeServer, listen } from "./httpserver.ts";
import { ClusterKeys } from "./clusterkeys.ts";
import { keyReport } from "./keyreport.ts";
import { KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { Lease } from "./lease.ts";
import { createLog } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { Queue } from "./queue.ts";
import { Reconciler } from "./reconcile.ts";
import type { Verdict } from "./verdict.ts";
import { WorldError } from "./world.ts";

// The nursery of the heap is kept small: what a reconcile allocates dies at once, and a nursery
// that grew to its default size would be a third of this process's memory.
v8.setFlagsFromString("--max-semi-space-size=4");
v8.setFlagsFromString("--semi-space-growth-factor=1");

const STOP_GRACE_MS = 10_000;

/** Runs until the process is told to stop. @throws Error where it cannot start */
export async function serve(flags: ServeFlags): Promise<void> {
  const log = createLog(flags.logLevel, flags.logFormat, (line, level) => {
    const calm = level === "DEBUG" || level === "INFO";
    (flags.logInfoStdout && calm ? process.stdout : process.stderr).write(`${line}\n`);
  });
  const now = (): Date => new Date();
  const clock = (): number => performance.now();
  const namespace = ownNamespace(process.env);
  const identity = replicaIdentity(process.env);
  const limits = { qps: flags.kubeclientQps, burst: flags.kubeclientBurst };
  const client = new KubernetesClient(loadOwnConfig(flags.kubeconfig), limits, identity);
  const keyring = new Keyring();
  const metrics = createMetrics(VERSION, {
    queueDepth: () => queue.depth,
    contested: () => reconciler.contested,
    leads: () => lease.held,
    sealedSecrets: () => world.sealedSecrets(),
    nameThem: !flags.metricsOmitSecretLabels,
    keyring,
    malformedKeys: () => keys.malformed,
    renewalAt: () => keys.renewalAt,
    now,
  });
  const stopping = new AbortController();
  /** All collections have been listed once. */
  let synced = false;
  const ready = (): boolean => synced && keyring.newest !== null && !stopping.signal.aborted;

  const queue = new Queue({
    workers: flags.concurrency,
    reconcile: (key) => {
      metrics.unsealRequests.inc();
      return reconciler.reconcile(key);
    },
    onOutcome: (_key, outcome, tookMs) => {
      metrics.reconcileSeconds.observe({ outcome }, tookMs / 1000);
    },
    onError: (key, error) => {
      log.warn("reconcile failed, trying again", { object: key, error: (error as Error).message });
    },
    retryAfterMs: (error) => (error instanceof WorldError ? (error.retryAfterMs ?? 0) : 0),
  });
  client.onBack = () => {
    queue.retryNow();
  };
  const lease = flags.leaderElect
    ? new Lease(
        {
          namespace,
          name: flags.leaderElectLeaseName,
          identity,
          durationMs: flags.leaderElectLeaseDuration,
        },
        { client, log, now, clock, onLead: lead, onFollow: follow },
      )
    : alone(lead);
  const world = new ClusterWorld({
    client,
    guard: lease.guard,
    namespaces: watchedNamespaces(flags, namespace),
    labelSelector: flags.labelSelector,
    namespaceSelector: flags.namespaceSelector,
    onChange: (key) => {
      queue.add(key);
    },
    log,
    now,
  });
  const reconciler = new Reconciler({
    world,
    keyring,
    render: (source, values, name) => renderTemplate(source, values, { name, clock }),
    acceptLegacy: flags.acceptDeprecatedV1Data,
    updateStatus: flags.updateStatus,
    repair: {
      changed: flags.repairDrift,
      deleted: flags.repairDrift && !flags.skipRecreate,
    },
    log,
    now,
    clock,
    onUnseal: () => {
      metrics.decryptions.inc();
    },
    onVerdict: (key, verdict) => {
      logVerdict(key, verdict);
      const labels = { namespace: key.split("/")[0] ?? "" };
      if (verdict.metric !== null) metrics.unsealErrors.inc({ reason: verdict.metric, ...labels });
    },
    onRepair: (key, { change, fields, by }) => {
      const [namespace = ""] = key.split("/");
      metrics.driftCorrected.inc({ namespace, change });
      log.warn("drift put back", {
        object: key,
        change,
        fields: fields.join(",") || undefined,
        by: by.join(",") || undefined,
      });
    },
  });
  const keys = new ClusterKeys(
    {
      namespace,
      prefix: flags.keyPrefix,
      bits: flags.keySize,
      validForMs: flags.keyTtl,
      commonName: flags.myCn,
      order: flags.keyOrderPriority,
      labels: flags.privatekeyLabels,
      annotations: flags.privatekeyAnnotations,
      renewal: {
        renewAfterMs: flags.rotatePeriod ?? flags.keyRenewPeriod,
        cutoff: flags.keyCutoffTime ?? null,
      },
    },
    {
      client,
      keyring,
      log,
      now,
      clock,
      guard: lease.guard,
      onChange: () => {
        reconciler.forgetFailures();
        // What is in sync costs a look: a key may be marked compromised, or not any more.
        for (const key of world.keys()) queue.add(key);
      },
    },
  );

  /** Someone else may have been at work before: everything is looked at anew. */
  function lead(): void {
    keys.lead();
    reconciler.forgetAll();
    for (const key of world.keys()) queue.add(key);
    if (synced) queue.start();
  }

  function follow(): void {
    keys.follow();
    queue.pause();
  }

  function logVerdict(key: string, { synced, event, message }: Verdict): void {
    if (synced) log.info(event.message, { object: key });
    else log.error(event.reason, { object: key, error: message });
  }

  const routes = apiRoutes({
    keyring,
    metrics,
    log,
    ready,
    keyReport: () => keyReport(keyring, world.sealedSecrets()),
    rate: flags.rateLimit,
    burst: flags.rateLimitBurst,
    clock,
    review: flags.requireToken
      ? (authorization, path) => reviewAccess(client, authorization, path)
      : undefined,
  });
  const server = {
    readTimeoutMs: flags.readTimeout,
    writeTimeoutMs: flags.writeTimeout,
    log,
  };
  const api = await listen(flags.listenAddr, routes, { ...server, tls: tlsFiles(flags) });
  const metricsServer = await listen(flags.listenMetricsAddr, metricsRoutes(metrics), server);
  log.info("controller starting", {
    version: VERSION,
    listen: addressOf(api),
    metrics: addressOf(metricsServer),
    namespace,
  });
  const stopped = new Promise<void>((resolve) => {
    const stop = (signal: string): void => {
      log.info("controller stopping", { signal });
      stopping.abort();
      resolve();
    };
    process.once("SIGTERM", stop);
    process.once("SIGINT", stop);
  });
  process.on("SIGUSR1", () => {
    keys.request();
  });

  await Promise.race([stopped, keys.start(stopping.signal)]);
  const done = new AbortController();
  const election = stopping.signal.aborted ? Promise.resolve() : lease.run(done.signal);
  await Promise.race([stopped, world.start(stopping.signal)]);
  if (!stopping.signal.aborted) {
    synced = true;
    if (lease.held) queue.start();
    log.info("controller ready", { sealingKeys: keyring.keys.length, sealedSecrets: queue.depth });
  }

  await stopped;
  keys.follow();
  await Promise.race([queue.stop(), delay(STOP_GRACE_MS)]);
  // The Lease goes last: until then nobody else writes.
  done.abort();
  await Promise.race([election, delay(STOP_GRACE_MS)]);
  client.close();
  await Promise.all([closeServer(api, STOP_GRACE_MS), closeServer(metricsServer, STOP_GRACE_MS)]);
}

/** @throws Error where one file is given without the other */
function tlsFiles({ tlsCertFile: certFile, tlsPrivateKeyFile: keyFile }: ServeFlags) {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    throw new Error("--tls-cert-file and --tls-private-key-file go together");
  }
  return { certFile, keyFile };
}

/** Undefined: all. */
function watchedNamespaces(flags: ServeFlags, own: string): string[] | undefined {
  if (flags.additionalNamespaces.length > 0)
    return [...new Set([own, ...flags.additionalNamespaces])];
  return flags.allNamespaces ? undefined : [own];
}

/** Without an election: the only one there is. */
function alone(lead: () => void): Pick<Lease, "held" | "guard" | "run"> {
  return {
    held: true,
    guard: () => undefined,
    run: () => {
      lead();
      return Promise.resolve();
    },
  };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
