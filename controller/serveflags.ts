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
} from "./flagreaders.ts";
import { KMS_FLAGS, type KmsFlags } from "./kmsflags.ts";

export interface ServeFlags extends KeyFlags, KmsFlags, LogFlags {
  readonly kubeconfig?: string;
  readonly allNamespaces: boolean;
  readonly additionalNamespaces: string[];
  readonly labelSelector?: string;
  readonly namespaceSelector?: string;
  readonly selectorScope: boolean;
  readonly allowSecretTypes: string[];
  readonly repairDrift: boolean;
  readonly skipRecreate: boolean;
  readonly keyRenewPeriod: number;
  readonly rotatePeriod?: number;
  readonly keyCutoffTime?: Date;
  readonly leaderElect: boolean;
  readonly leaderElectLeaseName: string;
  readonly leaderElectLeaseDuration: number;
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
  readonly listenAddr: string;
  readonly listenMetricsAddr: string;
  readonly listenHealthAddr?: string;
}

/** Which SealedSecrets, and what becomes of their Secrets. */
const SCOPE_FLAGS: readonly FlagRow[] = [
  { flag: "--kubeconfig <file>", words: "how to reach the API server (default: in-cluster)" },
  {
    flag: "--all-namespaces [bool]",
    words: "look after SealedSecrets in all namespaces",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--additional-namespaces <list>",
    words: "look after these namespaces and our own, not all",
    read: readList,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--label-selector <selector>",
    words: "look after SealedSecrets with these labels only",
  },
  {
    flag: "--namespace-selector <selector>",
    words: "look after namespaces with these labels only",
  },
  {
    flag: "--selector-scope [bool]",
    words: "open values that are sealed for labels of namespaces",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--allow-secret-types <list>",
    words: "also create Secrets of these types, which give SealedSecrets' writers others' rights",
    read: readList,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--repair-drift [bool]",
    words: "put back what others change or delete of our Secrets",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--skip-recreate [bool]",
    words: "leave Secrets that others deleted away",
    read: readBoolean,
    byDefault: "false",
  },
];

const KEY_RENEWAL_FLAGS: readonly FlagRow[] = [
  {
    flag: "--key-renew-period <duration>",
    words: "age at which a new sealing key takes over; 0 for never",
    read: readDuration,
    byDefault: "720h",
  },
  {
    flag: "--rotate-period <duration>",
    words: "former name of --key-renew-period",
    read: readDuration,
    isHidden: true,
  },
  {
    flag: "--key-cutoff-time <moment>",
    words: "a key older than this seals no more, such as 2026-01-31T12:00:00Z",
    read: readMoment,
  },
  {
    flag: "--privatekey-labels <pairs>",
    words: "labels of a new key Secret",
    read: readPairs,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--privatekey-annotations <pairs>",
    words: "annotations of a new key Secret",
    read: readPairs,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--recovery-recipients <list>",
    words: "age recipients, any of whom can recover every sealing key",
    read: readList,
    byDefault: "",
    shownDefault: "none",
  },
  {
    flag: "--recovery-recipients-file <file>",
    words: "more such recipients, one a line",
  },
  {
    flag: "--recovery-quorum <number>",
    words: "how many of the recovery recipients it takes together; any one if not given",
    read: readInteger,
  },
  {
    flag: "--accept-deprecated-v1-data [bool]",
    words: "open the sealed form before 2019 as well",
    read: readBoolean,
    byDefault: "true",
  },
];

const PROCESS_FLAGS: readonly FlagRow[] = [
  {
    flag: "--leader-elect [bool]",
    words: "of several replicas one reconciles, by a Lease",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--leader-elect-lease-name <name>",
    words: "the Lease's name",
    byDefault: "signet-controller",
  },
  {
    flag: "--leader-elect-lease-duration <duration>",
    words: "how long a leader that is gone is waited for",
    read: readLeaseDuration,
    byDefault: "6s",
  },
  {
    flag: "--update-status [bool]",
    words: "tell the outcome in the SealedSecret's status",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--metrics-omit-secret-labels [bool]",
    words: "no metric names a SealedSecret (condition_info)",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--log-info-stdout [bool]",
    words: "INFO to stdout, WARN and ERROR to stderr",
    read: readBoolean,
    byDefault: "true",
  },
  {
    flag: "--kubeclient-qps <number>",
    words: "API calls a second; negative for no bound",
    read: readNumber,
    byDefault: "1000",
  },
  {
    flag: "--kubeclient-burst <number>",
    words: "API calls at once above that",
    read: readInteger,
    byDefault: "600",
  },
  {
    flag: "--concurrency <number>",
    words: "SealedSecrets reconciled side by side",
    read: readInteger,
    byDefault: String(Math.max(32, 4 * cpus().length)),
  },
];

const HTTP_FLAGS: readonly FlagRow[] = [
  {
    flag: "--listen-addr <address>",
    words: "where certificate and health are served",
    read: readListenAddress,
    byDefault: ":8080",
  },
  {
    flag: "--listen-metrics-addr <address>",
    words: "where metrics are served",
    read: readListenAddress,
    byDefault: ":8081",
  },
  {
    flag: "--listen-health-addr <address>",
    words: "where health is served as well, apart from all else",
    read: readListenAddress,
  },
  {
    flag: "--rate-limit <number>",
    words: "verify and rotate requests a second, for each client",
    read: readPositiveNumber,
    byDefault: "20",
  },
  {
    flag: "--rate-limit-burst <number>",
    words: "such requests at once",
    read: readPositiveNumber,
    byDefault: "40",
  },
  {
    flag: "--read-timeout <duration>",
    words: "time for a request to arrive",
    read: readDuration,
    byDefault: "15s",
  },
  {
    flag: "--write-timeout <duration>",
    words: "time for an answer to be taken",
    read: readDuration,
    byDefault: "2m",
  },
  {
    flag: "--shutdown-delay <duration>",
    words: "time to go on answering once told to stop, until clients are sent elsewhere",
    read: readDuration,
    byDefault: "0s",
  },
  {
    flag: "--tls-cert-file <file>",
    words: "serve HTTPS on --listen-addr, with this PEM certificate",
  },
  { flag: "--tls-private-key-file <file>", words: "its private key, PEM" },
  {
    flag: "--require-token [bool]",
    words: "verify and rotate want a bearer token with leave to post to them",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--certificates-configmap <name>",
    words: "publish the certificates in this ConfigMap; empty: publish none",
    byDefault: publishedName("sealed-secrets-controller"),
  },
  {
    flag: "--certificates-namespace <namespace>",
    words: "its namespace (default: the controller's own)",
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
  words: "of the original; has no effect here",
  isHidden: true,
}));

/** Adds the flags of the cluster mode to `command`, which then parses to `ServeFlags`. */
export function addServeOptions(command: Command): Command {
  return addFlagsWithEnvironment(command, [
    ...SCOPE_FLAGS,
    ...KEY_RENEWAL_FLAGS,
    ...PROCESS_FLAGS,
    ...HTTP_FLAGS,
    ...IGNORED_FLAGS,
    ...KEY_FLAGS,
    ...KMS_FLAGS,
    ...LOG_FLAGS,
  ]);
}
