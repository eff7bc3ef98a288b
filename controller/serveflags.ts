// The flags of the controller in a cluster.

import { cpus } from "node:os";
import type { Command } from "commander";
import { publishedName } from "../shared/keys/publishedcertificates.ts";
import {
  addFlagsWithEnvironment,
  type FlagRow,
  KEY_FLAGS,
  type KeyFlags,
  LOG_FLAGS,
  type LogFlags,
} from "./flags.ts";
import {
  readBoolean,
  readDuration,
  readInteger,
  readLeaseDuration,
  readList,
  readListenAddress,
  readMoment,
  readNumber,
  readPairs,
  readPositiveNumber,
  readShards,
} from "./flagreaders.ts";
import { KMS_FLAGS, type KmsFlags } from "./kmsflags.ts";

export interface ServeFlags extends KeyFlags, KmsFlags, LogFlags {
  readonly kubeconfig?: string;
  readonly allNamespaces: boolean;
  readonly additionalNamespaces: string[];
  readonly labelSelector?: string;
  readonly namespaceSelector?: string;
  readonly selectorScope: boolean;
  readonly deliverFrom: string[];
  readonly allowSecretTypes: string[];
  readonly repairDrift: boolean;
  readonly skipRecreate: boolean;
  readonly restartWorkloads: boolean;
  readonly restartHoldOff: number;
  readonly keyRenewPeriod: number;
  readonly rotatePeriod?: number;
  readonly keyCutoffTime?: Date;
  readonly leaderElect: boolean;
  readonly leaderElectLeaseName: string;
  readonly leaderElectLeaseDuration: number;
  readonly shards: number;
  readonly privatekeyLabels: Record<string, string>;
  readonly privatekeyAnnotations: Record<string, string>;
  readonly recoveryRecipients: string[];
  readonly recoveryRecipientsFile?: string;
  readonly recoveryQuorum?: number;
  readonly acceptDeprecatedV1Data: boolean;
  readonly updateStatus: boolean;
  readonly metricsOmitSecretLabels: boolean;
  readonly logInfoStdout: boolean;
  readonly kubeclientQps: number;
  readonly kubeclientBurst: number;
  readonly concurrency: number;
  readonly rateLimit: number;
  readonly rateLimitBurst: number;
  readonly readTimeout: number;
  readonly writeTimeout: number;
  readonly shutdownDelay: number;
  readonly tlsCertFile?: string;
  readonly tlsPrivateKeyFile?: string;
  readonly requireToken: boolean;
  readonly certificatesConfigmap: string;
  readonly certificatesNamespace?: string;
  readonly page: boolean;
  readonly pageCluster: string;
  readonly listenAddr: string;
  readonly listenMetricsAddr: string;
  readonly listenHealthAddr?: string;
}

/** Flags for which SealedSecrets to reconcile, and how to treat their Secrets. */
const SCOPE_FLAGS: readonly FlagRow[] = [
  { flag: "--kubeconfig <file>", words: "kubeconfig file (default: in-cluster configuration)" },
  {
    flag: "--all-namespaces [bool]",
    words: "watch SealedSecrets in all namespaces",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--additional-namespaces <list>",
    words: "watch only these namespaces and the controller's own",
    read: readList,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--label-selector <selector>",
    words: "watch only SealedSecrets with these labels",
  },
  {
    flag: "--namespace-selector <selector>",
    words: "watch only namespaces with these labels",
  },
  {
    flag: "--selector-scope [bool]",
    words: "open values that are sealed for labels of namespaces",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--deliver-from <list>",
    words: "deliver Secrets of these namespaces to others, where their SealedSecrets ask for it",
    read: readList,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--allow-secret-types <list>",
    words: "also create Secrets of these types, which give authors of SealedSecrets more rights",
    read: readList,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--repair-drift [bool]",
    words: "revert changes that others make to Secrets, and restore deleted Secrets",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--skip-recreate [bool]",
    words: "do not restore Secrets that others deleted",
    read: readBoolean,
    byDefault: "false",
  },
];

/** Flags for restarts of workloads whose values changed. */
const RESTART_FLAGS: readonly FlagRow[] = [
  {
    flag: "--restart-workloads [bool]",
    words: "restart workloads annotated kube-signet/restart-on when a value changed",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--restart-hold-off <duration>",
    words: "shortest time between two restarts of one workload",
    read: readDuration,
    byDefault: "1m",
  },
];

const KEY_RENEWAL_FLAGS: readonly FlagRow[] = [
  {
    flag: "--key-renew-period <duration>",
    words: "create a new sealing key when the newest one reaches this age; 0: never",
    read: readDuration,
    byDefault: "720h",
  },
  {
    flag: "--rotate-period <duration>",
    words: "old name of --key-renew-period",
    read: readDuration,
    isHidden: true,
  },
  {
    flag: "--key-cutoff-time <moment>",
    words: "replace a sealing key created before this time, such as 2026-01-31T12:00:00Z",
    read: readMoment,
  },
  {
    flag: "--privatekey-labels <pairs>",
    words: "labels of new key Secrets",
    read: readPairs,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--privatekey-annotations <pairs>",
    words: "annotations of new key Secrets",
    read: readPairs,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--recovery-recipients <list>",
    words: "age recipients; any one of them can recover every sealing key",
    read: readList,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--recovery-recipients-file <file>",
    words: "file with more recipients, one per line",
  },
  {
    flag: "--recovery-quorum <number>",
    words: "number of recovery recipients needed to recover a key; any one if not set",
    read: readInteger,
  },
  {
    flag: "--accept-deprecated-v1-data [bool]",
    words: "also open the format used before 2019",
    read: readBoolean,
    byDefault: "true",
  },
];

const PROCESS_FLAGS: readonly FlagRow[] = [
  {
    flag: "--leader-elect [bool]",
    words: "elect one replica to reconcile, using a Lease",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--leader-elect-lease-name <name>",
    words: "name of the Lease",
    byDefault: "signet-controller",
  },
  {
    flag: "--leader-elect-lease-duration <duration>",
    words: "how long to wait before taking over from a lost leader",
    read: readLeaseDuration,
    byDefault: "6s",
  },
  {
    flag: "--shards <number>",
    words: "divide the namespaces into so many parts, and let all replicas reconcile",
    read: readShards,
    byDefault: "1",
  },
  {
    flag: "--update-status [bool]",
    words: "record the outcome in the SealedSecret's status",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--metrics-omit-secret-labels [bool]",
    words: "omit the metric that names SealedSecrets (condition_info)",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--log-info-stdout [bool]",
    words: "log INFO to stdout, WARN and ERROR to stderr",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--kubeclient-qps <number>",
    words: "API calls per second; negative: unlimited",
    read: readNumber,
    byDefault: "1000",
  },
  {
    flag: "--kubeclient-burst <number>",
    words: "burst of API calls above that rate",
    read: readInteger,
    byDefault: "600",
  },
  {
    flag: "--concurrency <number>",
    words: "SealedSecrets to reconcile concurrently",
    read: readInteger,
    byDefault: String(Math.max(32, 4 * cpus().length)),
  },
];

const HTTP_FLAGS: readonly FlagRow[] = [
  {
    flag: "--listen-addr <address>",
    words: "address of the HTTP API: certificate, verify, rotate, health",
    read: readListenAddress,
    byDefault: ":8080",
  },
  {
    flag: "--listen-metrics-addr <address>",
    words: "address of the metrics",
    read: readListenAddress,
    byDefault: ":8081",
  },
  {
    flag: "--listen-health-addr <address>",
    words: "additional address for health, separate from everything else",
    read: readListenAddress,
  },
  {
    flag: "--rate-limit <number>",
    words: "verify and rotate requests per second, for each client",
    read: readPositiveNumber,
    byDefault: "20",
  },
  {
    flag: "--rate-limit-burst <number>",
    words: "burst of such requests",
    read: readPositiveNumber,
    byDefault: "40",
  },
  {
    flag: "--read-timeout <duration>",
    words: "time limit for receiving a request",
    read: readDuration,
    byDefault: "15s",
  },
  {
    flag: "--write-timeout <duration>",
    words: "time limit for sending a response",
    read: readDuration,
    byDefault: "2m",
  },
  {
    flag: "--shutdown-delay <duration>",
    words: "how long to keep answering after SIGTERM, until clients are routed elsewhere",
    read: readDuration,
    byDefault: "0s",
  },
  {
    flag: "--tls-cert-file <file>",
    words: "serve HTTPS on --listen-addr, with this PEM certificate",
  },
  { flag: "--tls-private-key-file <file>", words: "PEM private key of that certificate" },
  {
    flag: "--require-token [bool]",
    words: "verify and rotate require a bearer token authorized to POST to them",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--certificates-configmap <name>",
    words: "publish the certificates in this ConfigMap; empty: do not publish",
    byDefault: publishedName("sealed-secrets-controller"),
  },
  {
    flag: "--certificates-namespace <namespace>",
    words: "namespace of that ConfigMap (default: the controller's own)",
  },
  {
    flag: "--page [bool]",
    words: "serve a page at / on which people seal in their browser, without a login",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--page-cluster <name>",
    words: "how that page names this cluster",
    byDefault: "cluster",
  },
];

/**
 * Flags that existing manifests for the original may set. They have no effect: the controller
 * always retries and always watches key Secrets, and never deletes a Secret that has no SealedSecret.
 */
const IGNORED_FLAGS: readonly FlagRow[] = [
  "--max-unseal-retries",
  "--watch-for-secrets",
  "--old-gc-behavior",
].map((name) => ({
  flag: `${name} [value]`,
  words: "accepted for compatibility; has no effect",
  isHidden: true,
}));

/** Adds the flags of the cluster mode to `command`, which then parses to `ServeFlags`. */
export function addServeOptions(command: Command): Command {
  return addFlagsWithEnvironment(command, [
    ...SCOPE_FLAGS,
    ...RESTART_FLAGS,
    ...KEY_RENEWAL_FLAGS,
    ...PROCESS_FLAGS,
    ...HTTP_FLAGS,
    ...IGNORED_FLAGS,
    ...KEY_FLAGS,
    ...KMS_FLAGS,
    ...LOG_FLAGS,
  ]);
}
