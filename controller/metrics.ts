// Every metric, declared once: name, help, labels. Names that the original has are the same.
// docs/monitoring.md lists them.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import { HYBRID } from "../shared/envelopes/hybrid.ts";
import { RSA } from "../shared/envelopes/rsa.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { conditionInfo } from "./conditioninfo.ts";
import { CHANGE_REASONS } from "./keychanges.ts";
import { keyUse } from "./keyreport.ts";
import type { Summary } from "./summary.ts";

const PREFIX = "sealed_secrets_controller_";

/** What the metrics read at each scrape. */
export interface Facts {
  readonly queueDepth: () => number;
  readonly contested: () => number;
  /** Deliveries to other namespaces, by what became of them. */
  readonly deliveries: () => Readonly<Record<"delivered" | "failed" | "waiting", number>>;
  readonly leads: () => boolean;
  /** How many shards of namespaces this replica works on: 1 for a leader that does all the work. */
  readonly shards: () => number;
  readonly sealedSecrets: () => Iterable<Summary>;
  /** Whether condition_info may name SealedSecrets. */
  readonly nameThem: boolean;
  readonly keyring: Keyring;
  /** When a replica first led; undefined if unknown. */
  readonly firstLedAt: () => Date | undefined;
  readonly malformedKeys: () => number;
  /** Wrapped keys that are not open yet. */
  readonly waitingKeys: () => number;
  /** By the names of their Secrets. */
  readonly wrappedKeys: () => ReadonlyMap<string, unknown>;
  /** Whether the controller can wrap keys. */
  readonly hasKeyService: boolean;
  /** Null if keys are never renewed. */
  readonly renewalAt: () => Date | null;
  /** Sealing keys that are not encrypted for all of their recovery recipients. */
  readonly unrecoverable: () => number;
  /** Workloads that wait for their turn to be restarted; undefined if none are restarted. */
  readonly waitingRestarts?: () => number;
  readonly now: () => Date;
}

/**
 * Creates the controller's metrics in their own registry. A scrape lists them in the order in which
 * they are created, and the series of SealedSecrets last.
 */
export function createMetrics(version: string, facts: Facts) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const metrics = {
    contentType: registry.contentType,
    /** What a scrape gets, in pieces. */
    scrape: async (): Promise<Buffer[]> => [
      Buffer.from(await registry.metrics()),
      ...conditionInfo(facts.nameThem ? facts.sealedSecrets() : []),
    ],
    buildInfo: new Gauge({
      name: `${PREFIX}build_info`,
      help: "Build information; the value is always 0.",
      labelNames: ["revision"],
      registers,
    }),
    ...reconcileMetrics(registers, facts),
    ...deliveryMetrics(registers, facts),
    ...sealedSecretMetrics(registers, facts),
    ...sealingKeyMetrics(registers, facts),
    ...keyUseMetrics(registers, facts),
    ...wrappedKeyMetrics(registers, facts),
    ...restartMetrics(registers, facts),
    decryptions: new Counter({
      name: `${PREFIX}unsealed_objects_total`,
      help: "Number of times the values of a SealedSecret were opened; not counted for one in sync.",
      registers,
    }),
    ...httpMetrics(registers),
  };
  metrics.buildInfo.set({ revision: version }, 0);
  // To an alert, a series that starts at 1 has not increased.
  for (const reason of CHANGE_REASONS) metrics.sealingKeyChanges.inc({ reason }, 0);
  for (const operation of facts.hasKeyService ? ["wrap", "unwrap"] : []) {
    for (const outcome of ["ok", "failed", "refused"]) {
      metrics.kmsRequests.inc({ operation, outcome }, 0);
    }
  }
  return metrics;
}

export type Metrics = ReturnType<typeof createMetrics>;

function reconcileMetrics(registers: Registry[], facts: Facts) {
  return {
    unsealRequests: new Counter({
      name: `${PREFIX}unseal_requests_total`,
      help: "Reconciles started.",
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
      help: "Duration of reconciles by outcome (done, terminal, retry).",
      labelNames: ["outcome"],
      registers,
    }),
    queueDepth: new Gauge({
      name: `${PREFIX}queue_depth`,
      help: "SealedSecrets that are waiting for a reconcile or being reconciled.",
      registers,
      collect() {
        this.set(facts.queueDepth());
      },
    }),
    driftCorrected: new Counter({
      name: `${PREFIX}drift_corrected_total`,
      help: "Secrets restored after others changed or deleted them.",
      labelNames: ["namespace", "change"],
      registers,
    }),
    contested: new Gauge({
      name: `${PREFIX}contested`,
      help: "Secrets that someone else keeps changing, and that are reverted with increasing delay.",
      registers,
      collect() {
        this.set(facts.contested());
      },
    }),
    leader: new Gauge({
      name: `${PREFIX}leader`,
      help: "1 for the replica that leads, 0 for the others. It reconciles, unless they share the work.",
      registers,
      collect() {
        this.set(facts.leads() ? 1 : 0);
      },
    }),
    shards: new Gauge({
      name: `${PREFIX}shards`,
      help: "Shards of namespaces that this replica reconciles; without --shards, 1 for the leader.",
      registers,
      collect() {
        this.set(facts.shards());
      },
    }),
  };
}

function deliveryMetrics(registers: Registry[], facts: Facts) {
  return {
    deliveries: new Gauge({
      name: `${PREFIX}deliveries`,
      help: "Deliveries of Secrets to other namespaces, by state (delivered, failed, waiting).",
      labelNames: ["state"],
      registers,
      collect() {
        for (const [state, count] of Object.entries(facts.deliveries())) this.set({ state }, count);
      },
    }),
    deliveriesRemoved: new Counter({
      name: `${PREFIX}deliveries_removed_total`,
      help: "Delivered Secrets that were deleted because they are no longer wanted.",
      registers,
    }),
  };
}

function sealedSecretMetrics(registers: Registry[], facts: Facts) {
  return {
    sealedSecrets: new Gauge({
      name: `${PREFIX}sealedsecrets`,
      help: "Watched SealedSecrets, by what their status says.",
      labelNames: ["synced"],
      registers,
      collect() {
        const counts = { True: 0, False: 0, Unknown: 0 };
        for (const { synced } of facts.sealedSecrets()) {
          counts[synced === undefined ? "Unknown" : synced ? "True" : "False"]++;
        }
        for (const [synced, count] of Object.entries(counts)) this.set({ synced }, count);
      },
    }),
  };
}

function sealingKeyMetrics(registers: Registry[], facts: Facts) {
  return {
    sealingKeys: new Gauge({
      name: `${PREFIX}sealing_keys`,
      help: "Sealing keys: the one that seals, those that only open, compromised, unconfirmed and malformed ones.",
      labelNames: ["state"],
      registers,
      collect() {
        const { keyring, malformedKeys } = facts;
        const counts = {
          sealing: 0,
          former: 0,
          compromised: 0,
          unconfirmed: 0,
          malformed: malformedKeys(),
        };
        for (const key of keyring.keys) counts[keyring.stateOf(key)]++;
        for (const [state, count] of Object.entries(counts)) this.set({ state }, count);
      },
    }),
    sealingKeysAppeared: new Gauge({
      name: `${PREFIX}sealing_keys_appeared`,
      help: "Unconfirmed keys whose Secret was created after the controller first led here.",
      registers,
      collect() {
        this.set(appearedKeys(facts));
      },
    }),
    sealingKeyChanges: new Counter({
      name: `${PREFIX}sealing_key_changes_total`,
      help: "Changes of the key that seals, by reason (first, created, removed, compromised, unconfirmed, confirmed).",
      labelNames: ["reason"],
      registers,
    }),
  };
}

function keyUseMetrics(registers: Registry[], facts: Facts) {
  return {
    sealingKeyValues: new Gauge({
      name: `${PREFIX}sealing_key_values`,
      help: "Values in the cluster sealed with each key; unknown: not opened yet in their present form.",
      labelNames: ["fingerprint", "state"],
      registers,
      collect() {
        this.reset();
        const { keyring, sealedSecrets } = facts;
        const { byKey, unknown } = keyUse(keyring, sealedSecrets());
        for (const key of keyring.keys) {
          const { fingerprint } = key;
          const state = keyring.stateOf(key);
          this.set({ fingerprint, state }, byKey.get(fingerprint)?.values ?? 0);
        }
        this.set({ fingerprint: "", state: "unknown" }, unknown.values);
      },
    }),
    values: new Gauge({
      name: `${PREFIX}values`,
      help: "Values in the cluster by algorithm (rsa, hybrid), judged by their first bytes, whether they open or not.",
      labelNames: ["algorithm"],
      registers,
      collect() {
        let [all, hybrid] = [0, 0];
        for (const { values, hybridValues } of facts.sealedSecrets()) {
          all += values;
          hybrid += hybridValues;
        }
        this.set({ algorithm: HYBRID }, hybrid);
        this.set({ algorithm: RSA }, all - hybrid);
      },
    }),
    sealingKeyExpiry: new Gauge({
      name: `${PREFIX}sealing_key_certificate_expiry_timestamp_seconds`,
      help: "When the certificate of each key expires.",
      labelNames: ["fingerprint", "state"],
      registers,
      collect() {
        this.reset();
        const { keyring } = facts;
        for (const key of keyring.keys) {
          if (key.certificate === null) continue;
          const { fingerprint } = key;
          const state = keyring.stateOf(key);
          this.set({ fingerprint, state }, key.certificate.notAfter.getTime() / 1000);
        }
      },
    }),
    sealingKeyAge: new Gauge({
      name: `${PREFIX}sealing_key_age_seconds`,
      help: "Age of the key that seals.",
      registers,
      collect() {
        const { keyring, now } = facts;
        const since = keyring.newest?.orderedAt.getTime() ?? now().getTime();
        this.set((now().getTime() - since) / 1000);
      },
    }),
    recoveryMissing: new Gauge({
      name: `${PREFIX}recovery_missing`,
      help: "Sealing keys, existing or about to be created, that the recovery recipients could not recover.",
      registers,
      collect() {
        this.set(facts.unrecoverable());
      },
    }),
    sealingKeyRenewal: new Gauge({
      name: `${PREFIX}sealing_key_renewal_timestamp_seconds`,
      help: "When the next sealing key is due; 0 for never.",
      registers,
      collect() {
        this.set((facts.renewalAt()?.getTime() ?? 0) / 1000);
      },
    }),
  };
}

function wrappedKeyMetrics(registers: Registry[], facts: Facts) {
  return {
    sealingKeysStored: new Gauge({
      name: `${PREFIX}sealing_keys_stored`,
      help: "Sealing keys by how they are stored: plain or wrapped.",
      labelNames: ["form"],
      registers,
      collect() {
        const wrapped = facts.wrappedKeys();
        const { keys } = facts.keyring;
        const count = keys.filter(({ name }) => wrapped.has(name)).length;
        this.set({ form: "wrapped" }, count);
        this.set({ form: "plain" }, keys.length - count);
      },
    }),
    sealingKeysWaiting: new Gauge({
      name: `${PREFIX}sealing_keys_waiting`,
      help: "Wrapped sealing keys that wait for the key service.",
      registers,
      collect() {
        this.set(facts.waitingKeys());
      },
    }),
    kmsRequests: new Counter({
      name: `${PREFIX}kms_requests_total`,
      help: "Calls to the key service by operation (wrap, unwrap) and outcome (ok, failed, refused).",
      labelNames: ["operation", "outcome"],
      registers,
    }),
  };
}

function restartMetrics(registers: Registry[], facts: Facts) {
  return {
    restarts: new Counter({
      name: `${PREFIX}workload_restarts_total`,
      help: "Workloads restarted because a value changed, by namespace and kind.",
      labelNames: ["namespace", "kind"],
      registers,
    }),
    restartsUnfinished: new Counter({
      name: `${PREFIX}workload_restarts_unfinished_total`,
      help: "Restarted workloads that did not replace their pods, or not within 10 minutes.",
      labelNames: ["namespace", "kind"],
      registers,
    }),
    restartsWaiting: new Gauge({
      name: `${PREFIX}workload_restarts_waiting`,
      help: "Workloads that wait until another one has been restarted.",
      registers,
      collect() {
        this.set(facts.waitingRestarts?.() ?? 0);
      },
    }),
  };
}

/**
 * Keys that existed before the controller may stay unconfirmed forever without raising an alert.
 */
function appearedKeys({ keyring, firstLedAt }: Facts): number {
  const ours = keyring.keys.filter(({ confirmed }) => confirmed);
  const oldestMs = Math.min(...ours.map(({ createdAt }) => createdAt.getTime()));
  const sinceMs = firstLedAt()?.getTime() ?? oldestMs;
  return keyring.keys.filter(
    (key) => keyring.stateOf(key) === "unconfirmed" && key.createdAt.getTime() > sinceMs,
  ).length;
}

function httpMetrics(registers: Registry[]) {
  return {
    httpSeconds: new Histogram({
      name: `${PREFIX}http_request_duration_seconds`,
      help: "Duration of HTTP requests by path and method.",
      labelNames: ["path", "method"],
      registers,
    }),
    httpRequests: new Counter({
      name: `${PREFIX}http_requests_total`,
      help: "HTTP requests by path, status code and method.",
      labelNames: ["path", "code", "method"],
      registers,
    }),
  };
}
