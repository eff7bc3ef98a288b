// The controller in a cluster: the order in which its parts start and stop.

import { setMaxListeners } from "node:events";
import type { Server } from "node:http";
import v8 from "node:v8";
import { VERSION } from "../shared/version.ts";
import { ownNamespace } from "../host/pod.ts";
import { metricsRoutes, probeRoutes } from "./api.ts";
import { ClusterParts } from "./clusterparts.ts";
import { keyServiceOf } from "./kmsflags.ts";
import { addressOf, closeServer, listen } from "./httpserver.ts";
import { createLog, type Log } from "./log.ts";
import { recoveryPolicy } from "./recoverypolicy.ts";
import type { ServeFlags } from "./serveflags.ts";
import { checkHybridKeys } from "./usablehalves.ts";

// A reconcile's garbage dies young. At its default size, the heap's young generation would grow to a
// third of this process's memory.
v8.setFlagsFromString("--max-semi-space-size=4");
v8.setFlagsFromString("--semi-space-growth-factor=1");
// With a heap as small as this process's, all of it would be collected each time that it has grown by
// 30 %, and what arrives in requests counts as growth: several times a second in a flood of them.
v8.setFlagsFromString("--heap-growing-percent=50");

const STOP_GRACE_MS = 10_000;
/** A probe is one small request. */
const HEALTH_LIMITS = {
  readTimeoutMs: 2_000,
  writeTimeoutMs: 2_000,
  connections: { perAddress: 32, total: 64 },
};

/** Runs until SIGTERM or SIGINT. @throws Error if it cannot start */
export async function serve(flags: ServeFlags): Promise<void> {
  checkHybridKeys(flags.hybridKeys);
  const log = processLog(flags);
  const namespace = ownNamespace(process.env);
  const stopping = new AbortController();
  // Each watch listens, and each pause.
  setMaxListeners(0, stopping.signal);
  const recovery = await recoveryPolicy(flags);
  const keyService = await keyServiceOf(flags, recovery !== null);
  const surroundings = { namespace, log, recovery, keyService, stopping: stopping.signal };
  const parts = new ClusterParts(flags, surroundings);

  const servers = await startServers(flags, parts, log);
  const [api, metrics, health] = servers.map(addressOf);
  log.info("controller starting", { version: VERSION, listen: api, metrics, health, namespace });
  if (keyService !== null) {
    log.info("sealing keys use a key service", {
      service: keyService.describe(),
      mode: flags.kmsMode,
    });
  }
  const stopped = stopOnSignal(stopping, log);
  process.on("SIGUSR1", () => {
    parts.keys.request();
  });

  await Promise.race([stopped, parts.keys.start(stopping.signal)]);
  const lastWrite = new AbortController();
  const election = stopping.signal.aborted ? Promise.resolve() : parts.elect(lastWrite.signal);
  await Promise.race([stopped, parts.world.start(stopping.signal)]);
  if (!stopping.signal.aborted) parts.startQueue();
  void parts.publisher?.run(stopping.signal);
  parts.runRestarts(stopping.signal);

  await stopped;
  const sentElsewhere = delay(flags.shutdownDelay);
  parts.keys.follow();
  parts.publisher?.follow();
  await Promise.race([parts.queue.stop(), delay(STOP_GRACE_MS)]);
  await parts.renderers.close();
  // The Leases are released last: no other replica writes before that.
  lastWrite.abort();
  await Promise.race([election, delay(STOP_GRACE_MS)]);
  await sentElsewhere;
  // Responses in progress may still need the API server.
  await Promise.all(servers.map((server) => closeServer(server, STOP_GRACE_MS)));
  await parts.parsers.close();
  parts.client.close();
}

function processLog(flags: ServeFlags): Log {
  return createLog(flags.logLevel, flags.logFormat, (line, level) => {
    const isInfo = level === "DEBUG" || level === "INFO";
    (flags.logInfoStdout && isInfo ? process.stdout : process.stderr).write(`${line}\n`);
  });
}

/** The servers of the API and of metrics, then that of health, if it has an address of its own. */
async function startServers(flags: ServeFlags, parts: ClusterParts, log: Log): Promise<Server[]> {
  const options = { readTimeoutMs: flags.readTimeout, writeTimeoutMs: flags.writeTimeout, log };
  const clock = (): number => performance.now();
  const page = flags.page ? await import("../shared/sealingpage.ts") : undefined;
  const routes = parts.apiRoutes(page);
  const servers = [
    await listen(flags.listenAddr, routes, { ...options, tls: tlsFiles(flags) }),
    await listen(flags.listenMetricsAddr, metricsRoutes(parts.metrics, clock), options),
  ];
  if (flags.listenHealthAddr === undefined) return servers;
  const health = probeRoutes(() => parts.isReady);
  return [...servers, await listen(flags.listenHealthAddr, health, { ...HEALTH_LIMITS, log })];
}

/** @throws Error if only one of the two files is given */
function tlsFiles({ tlsCertFile: certFile, tlsPrivateKeyFile: keyFile }: ServeFlags) {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    throw new Error("--tls-cert-file and --tls-private-key-file must be set together");
  }
  return { certFile, keyFile };
}

/** Aborts `stopping`, and resolves, at the first SIGTERM or SIGINT. */
function stopOnSignal(stopping: AbortController, log: Log): Promise<void> {
  return new Promise((resolve) => {
    const stop = (signal: string): void => {
      log.info("controller stopping", { signal });
      stopping.abort();
      resolve();
    };
    process.once("SIGTERM", stop);
    process.once("SIGINT", stop);
  });
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
