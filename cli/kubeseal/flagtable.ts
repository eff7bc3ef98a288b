// The table of `kubeseal`'s flags, and its help. docs/kubeseal.md.

/** `list`: comma-separated or repeated; `array`: repeated; `ignored`: accepted with any value. */
type Kind =
  "boolean" | "text" | "list" | "array" | "scope" | "number" | "ignored" | "ignored-switch";

interface Flag {
  readonly kind: Kind;
  readonly short?: string;
  /** The help leaves out flags without it. */
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

export const FLAGS: Readonly<Record<string, Flag>> = {
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
  algorithm: {
    kind: "text",
    section: "seal",
    usage: "rsa, which any controller opens (the default), or hybrid, post-quantum",
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
  completion: {
    kind: "text",
    section: "other",
    usage: "print a script that completes flags in bash, zsh or fish",
  },
  help: { kind: "boolean", short: "h", section: "other", usage: "print this help" },
  // From Go's logging library.
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
