// The flags of both modes with their environment variables, checked and turned into options.

import { cpus } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { KEY_ORDERS, type KeyOrder } from "../shared/keys/keyfile.ts";
import type { LogFormat, LogLevel } from "./log.ts";
import { parseAddress } from "./httpserver.ts";

/** Go's duration units, in milliseconds. */
const UNIT_MS = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 0.001, ns: 0.000_001 } as const;

/**
 * Milliseconds of a Go duration such as `720h`, `1h30m` or `0`.
 * @internal for its test
 */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) {
    throw new InvalidArgumentError("must be a duration such as 720h, 90m or 30s.");
  }
  return parts.reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS],
    0,
  );
}

function parseLeaseDuration(text: string): number {
  const durationMs = parseDuration(text);
  if (durationMs < UNIT_MS.s) throw new InvalidArgumentError("must be at least 1s.");
  return durationMs;
}

/** RFC 3339, or Go's RFC 1123 with a numeric zone, as the original reads it. */
function parseMoment(text: string): Date {
  const known =
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) ||
    /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$/.test(text);
  const moment = new Date(text);
  if (!known || Number.isNaN(moment.getTime())) {
    throw new InvalidArgumentError("must be a moment such as 2026-01-31T12:00:00Z.");
  }
  return moment;
}

function parseBoolean(text: string): boolean {
  if (/^(true|t|1)$/i.test(text)) return true;
  if (/^(false|f|0)$/i.test(text)) return false;
  throw new InvalidArgumentError("must be true or false.");
}

function parseWhole(text: string): number {
  if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError("must be a whole number.");
  return Number(text);
}

function parseNumber(text: string): number {
  if (text === "" || !Number.isFinite(Number(text))) {
    throw new InvalidArgumentError("must be a number.");
  }
  return Number(text);
}

function parsePositive(text: string): number {
  const number = parseNumber(text);
  if (number <= 0) throw new InvalidArgumentError("must be more than 0.");
  return number;
}

function parseKeyPrefix(text: string): string {
  if (!/^[a-z0-9]([-a-z0-9]{0,243}[a-z0-9])?-?$/.test(text)) {
    throw new InvalidArgumentError("must be at most 245 of a-z, 0-9 and '-'.");
  }
  return text;
}

/** `k=v,k2=v2`; a value may contain `=`. */
function parsePairs(text: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const item of text.split(",").filter((part) => part.trim() !== "")) {
    const separator = item.indexOf("=");
    if (separator < 1) throw new InvalidArgumentError("must be a list such as team=a,env=prod.");
    pairs[item.slice(0, separator).trim()] = item.slice(separator + 1).trim();
  }
  return pairs;
}

function parseList(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function parseListenAddress(text: string): string {
  try {
    parseAddress(text);
  } catch {
    throw new InvalidArgumentError("must be an address such as :8080 or 127.0.0.1:8080.");
  }
  return text;
}

/** An option that the environment can set as well, under the original's naming rule. */
function option<T>(
  flag: string,
  description: string,
  parse?: (text: string) => T,
  value?: T,
): Option {
  const made = new Option(flag, description);
  const name = made.long?.slice(2).toUpperCase().replaceAll("-", "_") ?? "";
  made.env(`SEALED_SECRETS_${name}`);
  if (parse !== undefined) made.argParser(parse);
  if (value !== undefined) made.default(value, describeDefault(value));
  return made;
}

function describeDefault(value: unknown): string | undefined {
  if (typeof value === "object") return Object.keys(value ?? {}).length === 0 ? "none" : undefined;
  return undefined;
}

/** `--flag`, `--flag=true` and `--flag=false`, as Go's flags read them. */
function toggle(flag: string, description: string, value: boolean): Option {
  return option(`${flag} [bool]`, description, parseBoolean, value).preset("true");
}

const DAY_MS = 24 * UNIT_MS.h;

interface KeyFlags {
  readonly keyPrefix: string;
  readonly keySize: number;
  readonly keyTtl: number;
  readonly myCn: string;
  readonly keyOrderPriority: KeyOrder;
}

interface LogFlags {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

export interface ServeFlags extends KeyFlags, LogFlags {
  readonly kubeconfig?: string;
  readonly allNamespaces: boolean;
  readonly additionalNamespaces: string[];
  readonly labelSelector?: string;
  readonly namespaceSelector?: string;
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
  readonly tlsCertFile?: string;
  readonly tlsPrivateKeyFile?: string;
  readonly requireToken: boolean;
  readonly listenAddr: string;
  readonly listenMetricsAddr: string;
}

export interface StandaloneFlags extends KeyFlags, LogFlags {
  readonly from: string[];
  readonly to: string;
  readonly keys: string;
  readonly namespace: string;
  readonly envFiles?: true;
  readonly writeCert?: string;
  readonly newKey?: true;
  readonly watch?: true;
  readonly interval: number;
}

function addKeyOptions(command: Command): Command {
  return command
    .addOption(
      option(
        "--key-prefix <text>",
        "start of a new sealing key's name",
        parseKeyPrefix,
        "sealed-secrets-key",
      ),
    )
    .addOption(option("--key-size <bits>", "RSA bits of a new sealing key", parseWhole, 4096))
    .addOption(
      option(
        "--key-ttl <duration>",
        "validity of a new certificate",
        parseDuration,
        3650 * DAY_MS,
      ).default(3650 * DAY_MS, "87600h"),
    )
    .addOption(
      option("--my-cn <text>", "common name of a new certificate", String, "").default("", "empty"),
    )
    .addOption(
      option("--key-order-priority <moment>", "which moment makes a sealing key the newest")
        .choices(KEY_ORDERS)
        .default("CertNotBefore"),
    );
}

function addLogOptions(command: Command): Command {
  return command
    .addOption(
      option("--log-level <level>", "least level that is logged")
        .choices(["DEBUG", "INFO", "WARN", "ERROR"])
        .default("INFO"),
    )
    .addOption(
      option("--log-format <format>", "form of log lines")
        .choices(["text", "json"])
        .default("text"),
    );
}

/** Gives `command` the flags of the cluster mode. */
export function addServeOptions(command: Command): Command {
  command
    .addOption(option("--kubeconfig <file>", "how to reach the API server (default: in-cluster)"))
    .addOption(toggle("--all-namespaces", "look after SealedSecrets in all namespaces", true))
    .addOption(
      option(
        "--additional-namespaces <list>",
        "look after these namespaces and our own, not all",
        parseList,
        [],
      ),
    )
    .addOption(
      option("--label-selector <selector>", "look after SealedSecrets with these labels only"),
    )
    .addOption(
      option("--namespace-selector <selector>", "look after namespaces with these labels only"),
    )
    .addOption(
      toggle("--repair-drift", "put back what others change or delete of our Secrets", true),
    )
    .addOption(toggle("--skip-recreate", "leave Secrets that others deleted away", false))
    .addOption(
      option(
        "--key-renew-period <duration>",
        "age at which a new sealing key takes over; 0 for never",
        parseDuration,
        30 * DAY_MS,
      ).default(30 * DAY_MS, "720h"),
    )
    .addOption(
      option(
        "--rotate-period <duration>",
        "former name of --key-renew-period",
        parseDuration,
      ).hideHelp(),
    )
    .addOption(
      option(
        "--key-cutoff-time <moment>",
        "a key older than this seals no more, such as 2026-01-31T12:00:00Z",
        parseMoment,
      ),
    )
    .addOption(option("--privatekey-labels <pairs>", "labels of a new key Secret", parsePairs, {}))
    .addOption(
      option("--privatekey-annotations <pairs>", "annotations of a new key Secret", parsePairs, {}),
    )
    .addOption(
      toggle("--accept-deprecated-v1-data", "open the sealed form before 2019 as well", true),
    )
    .addOption(toggle("--leader-elect", "of several replicas one reconciles, by a Lease", true))
    .addOption(
      option("--leader-elect-lease-name <name>", "the Lease's name", String, "signet-controller"),
    )
    .addOption(
      option(
        "--leader-elect-lease-duration <duration>",
        "how long a leader that is gone is waited for",
        parseLeaseDuration,
        6 * UNIT_MS.s,
      ).default(6 * UNIT_MS.s, "6s"),
    )
    .addOption(toggle("--update-status", "tell the outcome in the SealedSecret's status", true))
    .addOption(
      toggle(
        "--metrics-omit-secret-labels",
        "no metric names a SealedSecret (condition_info)",
        false,
      ),
    )
    .addOption(toggle("--log-info-stdout", "INFO to stdout, WARN and ERROR to stderr", true))
    .addOption(
      option(
        "--kubeclient-qps <number>",
        "API calls a second; negative for no bound",
        parseNumber,
        1000,
      ),
    )
    .addOption(
      option("--kubeclient-burst <number>", "API calls at once above that", parseWhole, 600),
    )
    .addOption(
      option(
        "--concurrency <number>",
        "SealedSecrets reconciled side by side",
        parseWhole,
        4 * cpus().length,
      ),
    )
    .addOption(
      option(
        "--listen-addr <address>",
        "where certificate and health are served",
        parseListenAddress,
        ":8080",
      ),
    )
    .addOption(
      option(
        "--listen-metrics-addr <address>",
        "where metrics are served",
        parseListenAddress,
        ":8081",
      ),
    );
  command
    .addOption(
      option(
        "--rate-limit <number>",
        "verify and rotate requests a second, for each client",
        parsePositive,
        20,
      ),
    )
    .addOption(option("--rate-limit-burst <number>", "such requests at once", parsePositive, 40))
    .addOption(
      option(
        "--read-timeout <duration>",
        "time for a request to arrive",
        parseDuration,
        2 * UNIT_MS.m,
      ).default(2 * UNIT_MS.m, "2m"),
    )
    .addOption(
      option(
        "--write-timeout <duration>",
        "time for an answer to be taken",
        parseDuration,
        2 * UNIT_MS.m,
      ).default(2 * UNIT_MS.m, "2m"),
    )
    .addOption(
      option("--tls-cert-file <file>", "serve HTTPS on --listen-addr, with this PEM certificate"),
    )
    .addOption(option("--tls-private-key-file <file>", "its private key, PEM"))
    .addOption(
      toggle(
        "--require-token",
        "verify and rotate want a bearer token with leave to post to them",
        false,
      ),
    );
  for (const name of MEANINGLESS) {
    command.addOption(option(`${name} [value]`, "of the original; has no effect here").hideHelp());
  }
  return addLogOptions(addKeyOptions(command));
}

/**
 * Flags of the original that its users' manifests carry: retries never end, key Secrets are always
 * watched, and no Secret is deleted for being without a SealedSecret.
 */
const MEANINGLESS = ["--max-unseal-retries", "--watch-for-secrets", "--old-gc-behavior"];

/** Gives `command` the flags of the standalone mode. */
export function addStandaloneOptions(command: Command): Command {
  command
    .requiredOption(
      "--from <path...>",
      "sealed manifests: files and folders, such as a Git checkout",
    )
    .requiredOption("--to <folder>", "gets the Secrets: NAMESPACE/NAME/ITEM, a file an item")
    .requiredOption("--keys <folder>", "the sealing keys; a first one is made where there is none")
    .option("--namespace <name>", "of SealedSecrets that name none", "default")
    .option("--env-files", "also write NAMESPACE/NAME.env")
    .option("--write-cert <file>", "write the certificate to seal with")
    .option("--new-key", "make a new sealing key first; older ones still open what they sealed")
    .option("--watch", "stay, and follow changes on both sides")
    .addOption(
      new Option("--interval <duration>", "how often --watch looks")
        .argParser(parseDuration)
        .default(1000, "1s"),
    );
  return addLogOptions(addKeyOptions(command));
}
