// Owns: every metric, declared once: name, help, labels. The original's names stay.
// Does not own: when they change.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

const PREFIX = "sealed_secrets_controller_";

/** The controller's metrics in a registry of their own. `queueDepth` is asked at each scrape. */
export function createMetrics(version: string, queueDepth: () => number) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const metrics = {
    registry,
    buildInfo: new Gauge({
      name: `${PREFIX}build_info`,
      help: "Build information; the value is always 0.",
      labelNames: ["revision"],
      registers,
    }),
    unsealRequests: new Counter({
      name: `${PREFIX}unseal_requests_total`,
      help: "Reconciles begun.",
      registers,
    }),
    unsealErrors: new Counter({
      name: `${PREFIX}unseal_errors_total`,
      help: "Failed reconciles by reason (unseal, unmanaged, update) and namespace.",
      labelNames: ["reason", "namespace"],
      registers,
    }),
    reconcileSeconds: new Histogram({
      name: `${PREFIX}reconcile_duration_seconds`,
      help: "Time of a reconcile by outcome (done, terminal, retry).",
      labelNames: ["outcome"],
      registers,
    }),
    queueDepth: new Gauge({
      name: `${PREFIX}queue_depth`,
      help: "SealedSecrets that wait for a reconcile or are in one.",
      registers,
      collect() {
        this.set(queueDepth());
      },
    }),
    decryptions: new Counter({
      name: `${PREFIX}unsealed_objects_total`,
      help: "SealedSecrets whose values were opened; one in sync costs none.",
      registers,
    }),
    httpRequests: new Counter({
      name: `${PREFIX}http_requests_total`,
      help: "HTTP requests by path, status code and method.",
      labelNames: ["path", "code", "method"],
      registers,
    }),
  };
  metrics.buildInfo.set({ revision: version }, 0);
  return metrics;
}

export type Metrics = ReturnType<typeof createMetrics>;
