// The flags of `kubeseal`: their table, Go's syntax for them (pflag), their environment, the help.
// docs/kubeseal.md.

import { SignetError } from "../../shared/errors.ts";
import { type Scope, SCOPES } from "../../shared/sealing/scope.ts";

/** `list`: comma-separated or repeated; `array`: repeated; `ignored`: taken, whatever it says. */
type Kind =
  "boolean" | "text" | "list" | "array" | "scope" | "number" | "ignored" | "ignored-switch";

interface Flag {
  readonly kind: Kind;
  readonly short?: string;
  /** Shown in the help; flags without are accepted and left out of it. */
  readonly usage?: string;
  readonly byDefault?: string;
  readonly section?: keyof typeof SECTIONS;
}

const SECTIONS = {
  seal: "Sealing a Secret that standard input or --secret-file holds:",
  modes: "Doing something else:",
  files: "Files and formats:",
  cluster: "Reaching the cluster, as kubectl does:",
  other: "Other:",
} as const;

const FLAGS: Readonly<Record<string, Flag>> = {
  cert: {
    kind: "text",
    section: "seal",
    usage: "certificate to seal with: file or URL; else the cluster is asked",
  },
  "cert-fingerprint": {
    kind: "text",
    section: "seal",
    usage: "refuse any certificate but the one with this fingerprint (SHA256:...)",
  },
  scope: {
    kind: "scope",
    section: "seal",
    usage: "strict, namespace-wide or cluster-wide; else what the Secret's annotations say",
  },
  name: {
    kind: "text",
    section: "seal",
    usage: "name of the SealedSecret, whatever the input says",
  },
  "allow-empty-data": {
    kind: "boolean",
    section: "seal",
    usage: "seal a Secret that holds no value",
  },
  "merge-into": {
    kind: "text",
    section: "modes",
    usage: "add the values to the SealedSecrets in this file, or replace them there",
  },
  raw: {
    kind: "boolean",
    section: "modes",
    usage: "seal one value, from standard input or --from-file, and print it alone",
  },
  "from-file": { kind: "list", section: "modes", usage: "with --raw: file to read the value from" },
  "fetch-cert": { kind: "boolean", section: "modes", usage: "print the certificate" },
  validate: {
    kind: "boolean",
    section: "modes",
    usage: "ask the controller whether it can open the SealedSecrets",
  },
  "re-encrypt": {
    kind: "boolean",
    section: "modes",
    usage: "have the controller seal the values with its newest key",
  },
  rotate: { kind: "boolean" },
  "recovery-unseal": {
    kind: "boolean",
    section: "modes",
    usage: "open SealedSecrets with private keys from a backup; prints plain text",
  },
  "recovery-private-key": {
    kind: "list",
    section: "modes",
    usage: "file of private keys: PEM, or key Secrets as YAML or JSON",
  },
  "secret-file": {
    kind: "text",
    short: "f",
    section: "files",
    usage: "read this file instead of standard input",
  },
  "sealed-secret-file": {
    kind: "text",
    short: "w",
    section: "files",
    usage: "write this file instead of standard output",
  },
  format: {
    kind: "text",
    short: "o",
    byDefault: "json",
    section: "files",
    usage: "json or yaml; a file named .yaml or .yml is YAML",
  },
  "controller-name": {
    kind: "text",
    byDefault: "sealed-secrets-controller",
    section: "cluster",
    usage: "name of the controller's service",
  },
  "controller-namespace": {
    kind: "text",
    byDefault: "kube-system",
    section: "cluster",
    usage: "namespace of the controller",
  },
  namespace: {
    kind: "text",
    short: "n",
    section: "cluster",
    usage: "namespace of Secrets that declare none",
  },
  kubeconfig: { kind: "text", section: "cluster", usage: "kubeconfig file" },
  context: { kind: "text", section: "cluster", usage: "context of the kubeconfig to use" },
  cluster: { kind: "text", section: "cluster", usage: "cluster of the kubeconfig to use" },
  user: { kind: "text", section: "cluster", usage: "user of the kubeconfig to be" },
  server: { kind: "text", section: "cluster", usage: "address of the API server" },
  "certificate-authority": {
    kind: "text",
    section: "cluster",
    usage: "file of the authority that signed the API server's certificate",
  },
  "insecure-skip-tls-verify": {
    kind: "boolean",
    section: "cluster",
    usage: "do not check the API server's certificate: who is in between reads all",
  },
  "tls-server-name": {
    kind: "text",
    section: "cluster",
    usage: "name that the API server's certificate must have",
  },
  "proxy-url": { kind: "text", section: "cluster", usage: "proxy to reach the API server through" },
  "request-timeout": {
    kind: "text",
    byDefault: "30s",
    section: "cluster",
    usage: "time for each request, such as 10s or 1m; 0: any",
  },
  token: {
    kind: "text",
    section: "cluster",
    usage: "bearer token; better in SEALED_SECRETS_TOKEN, where no list of processes shows it",
  },
  username: { kind: "text", section: "cluster", usage: "user for basic authentication" },
  password: {
    kind: "text",
    section: "cluster",
    usage: "its password; better in SEALED_SECRETS_PASSWORD",
  },
  "client-certificate": { kind: "text", section: "cluster", usage: "file of a client certificate" },
  "client-key": { kind: "text", section: "cluster", usage: "file of its key" },
  as: { kind: "text", section: "cluster", usage: "user to impersonate" },
  "as-group": { kind: "array", section: "cluster", usage: "group to impersonate; may be repeated" },
  "as-uid": { kind: "text", section: "cluster", usage: "UID to impersonate" },
  "disable-compression": { kind: "ignored-switch" },
  v: {
    kind: "number",
    short: "v",
    section: "other",
    usage: "1 tells what is done, on standard error",
  },
  version: {
    kind: "boolean",
    section: "other",
    usage: "print the version of kubeseal that this one behaves as",
  },
  help: { kind: "boolean", short: "h", section: "other", usage: "print this help" },
  // Of Go's logging library.
  add_dir_header: { kind: "ignored-switch" },
  alsologtostderr: { kind: "ignored-switch" },
  alsologtostderrthreshold: { kind: "ignored" },
  legacy_stderr_threshold_behavior: { kind: "ignored-switch" },
  log_backtrace_at: { kind: "ignored" },
  log_dir: { kind: "ignored" },
  log_file: { kind: "ignored" },
  log_file_max_size: { kind: "ignored" },
  logtostderr: { kind: "ignored-switch" },
  one_output: { kind: "ignored-switch" },
  skip_headers: { kind: "ignored-switch" },
  skip_log_headers: { kind: "ignored-switch" },
  stderrthreshold: { kind: "ignored" },
  vmodule: { kind: "ignored" },
};

/** What the command line and the environment say. */
export class Flags {
  readonly #texts = new Map<string, string>();
  readonly #lists = new Map<string, string[]>();

  /** Whether it was given, by command line or environment. */
  has(name: string): boolean {
    return this.#texts.has(name) || this.#lists.has(name);
  }

  /** The text given, else the default; undefined for an empty one. */
  text(name: string): string | undefined {
    return (this.#texts.get(name) ?? FLAGS[name]?.byDefault) || undefined;
  }

  /** The texts of several flags by the names that options give them; empty ones left out. */
  texts<Key extends string>(names: Readonly<Record<Key, string>>): Partial<Record<Key, string>> {
    const found: Partial<Record<Key, string>> = {};
    for (const [key, name] of Object.entries(names) as [Key, string][]) {
      const text = this.text(name);
      if (text !== undefined) found[key] = text;
    }
    return found;
  }

  on(name: string): boolean {
    return this.#texts.get(name) === "true";
  }

  list(name: string): readonly string[] {
    return this.#lists.get(name) ?? [];
  }

  get scope(): Scope | undefined {
    return SCOPES.find((scope) => scope === this.#texts.get("scope"));
  }

  get verbosity(): number {
    return Number(this.#texts.get("v") ?? 0);
  }

  /** @throws a reason, as Go's libraries say it, where the flag takes no such value */
  set(name: string, value: string): void {
    switch (FLAGS[name]?.kind) {
      case "boolean":
        this.#texts.set(name, String(parseBoolean(value)));
        return;
      case "scope":
        if (!SCOPES.some((scope) => scope === value)) {
          throw new Refused(`must be one of: ${SCOPES.join(", ")}`);
        }
        this.#texts.set(name, value);
        return;
      case "number":
        if (!/^[-+]?[0-9]{1,9}$/.test(value)) {
          throw new Refused(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
        }
        this.#texts.set(name, value);
        return;
      case "list":
        this.#lists.set(name, [...this.list(name), ...parseList(value)]);
        return;
      case "array":
        this.#lists.set(name, [...this.list(name), value]);
        return;
      case "ignored":
      case "ignored-switch":
        return;
      case "text":
      case undefined:
        this.#texts.set(name, value);
    }
  }
}

/** A value that a flag does not take. */
class Refused extends Error {}

function parseBoolean(value: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new Refused(`strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
}

/** One line of CSV (RFC 4180), as pflag reads lists. */
function parseList(line: string): string[] {
  if (line === "") return [];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|$)/y;
  const fields: string[] = [];
  for (;;) {
    const match = field.exec(line);
    if (match === null) throw new Refused("quotes in a list must enclose a whole item");
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    if (match[3] === "") return fields;
  }
}

const SHORT = new Map(
  Object.entries(FLAGS).flatMap(([name, { short }]) =>
    short === undefined ? [] : [[short, name]],
  ),
);

const isSwitch = (name: string): boolean =>
  FLAGS[name]?.kind === "boolean" || FLAGS[name]?.kind === "ignored-switch";

/**
 * Reads a command line in Go's syntax, over what the environment says. What is no flag is ignored.
 * `warn` gets what is to be said of a deprecated flag.
 * @throws SignetError usage
 */
export function parseFlags(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  warn: (text: string) => void,
): Flags {
  const flags = new Flags();
  readEnvironment(flags, environment);
  const waiting = args.values();
  for (const arg of waiting) {
    if (arg === "--") break;
    if (!arg.startsWith("-") || arg === "-") continue;
    if (arg.startsWith("--")) readLong(flags, arg, waiting);
    else readShort(flags, arg, waiting);
  }
  if (args.some((arg) => /^--rotate(=|$)/.test(arg))) {
    warn("Flag --rotate has been deprecated, please use --re-encrypt instead");
  }
  return flags;
}

function readEnvironment(
  flags: Flags,
  environment: Readonly<Record<string, string | undefined>>,
): void {
  for (const [name, { kind }] of Object.entries(FLAGS)) {
    if (kind === "ignored" || kind === "ignored-switch" || kind === "number") continue;
    const value = environment[`SEALED_SECRETS_${name.toUpperCase().replaceAll("-", "_")}`] ?? "";
    if (value === "") continue;
    try {
      flags.set(name, value);
    } catch (error) {
      // As the original does: what a variable says wrongly, it does not say.
      if (!(error instanceof Refused)) throw error;
    }
  }
}

function usageError(message: string): SignetError {
  return new SignetError("usage", message, { hint: "see `kubeseal --help`" });
}

function readLong(flags: Flags, arg: string, waiting: Iterator<string>): void {
  const [, name = "", given] = /^--([^=]*)(?:=([\s\S]*))?$/.exec(arg) ?? [];
  if (name === "" || name.startsWith("-")) throw usageError("bad flag syntax: " + arg.slice(0, 3));
  if (FLAGS[name] === undefined) throw usageError(`unknown flag: --${name}`);
  const value = given ?? (isSwitch(name) ? "true" : following(waiting));
  if (value === undefined) throw usageError(`flag needs an argument: --${name}`);
  assign(flags, name, value);
}

function readShort(flags: Flags, arg: string, waiting: Iterator<string>): void {
  for (let at = 1; at < arg.length; at++) {
    const letter = arg.charAt(at);
    const name = SHORT.get(letter);
    if (name === undefined) throw usageError(`unknown shorthand flag: '${letter}' in -${letter}`);
    const rest = arg.slice(at + 1);
    if (rest.startsWith("=")) {
      assign(flags, name, rest.slice(1));
      return;
    }
    if (!isSwitch(name)) {
      const value = rest === "" ? following(waiting) : rest;
      if (value === undefined)
        throw usageError(`flag needs an argument: '${letter}' in -${letter}`);
      assign(flags, name, value);
      return;
    }
    assign(flags, name, "true");
  }
}

function following(waiting: Iterator<string>): string | undefined {
  const next = waiting.next();
  return next.done === true ? undefined : next.value;
}

function assign(flags: Flags, name: string, value: string): void {
  try {
    flags.set(name, value);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const short = FLAGS[name]?.short;
    const shown = short === undefined ? `--${name}` : `-${short}, --${name}`;
    throw usageError(
      `invalid argument ${JSON.stringify(value)} for "${shown}" flag: ${error.message}`,
    );
  }
}

export function formatHelp(): string {
  const head = `Usage of kubeseal:
  kubeseal --cert cert.pem --format yaml < secret.yaml > sealedsecret.yaml
  kubeseal --raw --cert cert.pem --namespace demo --name db --from-file password.txt
`;
  const sections = Object.entries(SECTIONS).map(([section, title]) => {
    const rows = Object.entries(FLAGS)
      .filter(([, flag]) => flag.section === section)
      .map(([name, { kind, short, usage = "", byDefault }]) => {
        const shown = `${short === undefined ? "    " : `-${short}, `}--${name}`;
        const value = kind === "boolean" ? "" : kind === "number" ? " NUMBER" : " VALUE";
        const end = byDefault === undefined ? "" : ` (default ${byDefault})`;
        return `  ${`${shown}${value}`.padEnd(34)} ${usage}${end}\n`;
      });
    return `\n${title}\n${rows.join("")}`;
  });
  return `${head}${sections.join("")}
Each may be said by the environment as well: SEALED_SECRETS_ and its name, as SEALED_SECRETS_CERT.
The flags of Go's logging (--logtostderr and its like) are accepted and do nothing.
docs/kubeseal.md tells where this differs from the original. \`signet --help\` can do more.
`;
}
