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
  seal: "Sealing a Secret from standard input or --secret-file:",
  modes: "Other modes:",
  files: "Files and formats:",
  cluster: "Connecting to the cluster, as with kubectl:",
  other: "Other:",
} as const;

export const FLAGS: Readonly<Record<string, Flag>> = {
  cert: {
    kind: "text",
    section: "seal",
    usage: "certificate to seal with, a file or URL; by default that of the cluster's controller",
  },
  "cert-fingerprint": {
    kind: "text",
    section: "seal",
    usage: "accept only the certificate with this fingerprint (SHA256:...)",
  },
  algorithm: {
    kind: "text",
    section: "seal",
    usage: "rsa, which any controller can open (the default), or hybrid, which is post-quantum",
  },
  scope: {
    kind: "scope",
    section: "seal",
    usage: "strict, namespace-wide or cluster-wide; by default that of the Secret's annotations",
  },
  name: {
    kind: "text",
    section: "seal",
    usage: "name of the SealedSecret, instead of that in the input",
  },
  "allow-empty-data": {
    kind: "boolean",
    section: "seal",
    usage: "allow sealing a Secret without values",
  },
  "merge-into": {
    kind: "text",
    section: "modes",
    usage: "add or replace values in the SealedSecrets in this file",
  },
  raw: {
    kind: "boolean",
    section: "modes",
    usage: "seal one value from standard input or --from-file, and print only that",
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
    usage: "make the controller re-seal the values with its newest key",
  },
  rotate: { kind: "boolean" },
  "recovery-unseal": {
    kind: "boolean",
    section: "modes",
    usage: "open SealedSecrets with private keys from a backup, and print plain text",
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
    usage: "write to this file instead of standard output",
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
    usage: "namespace for Secrets that declare none",
  },
  kubeconfig: { kind: "text", section: "cluster", usage: "kubeconfig file" },
  context: { kind: "text", section: "cluster", usage: "context of the kubeconfig to use" },
  cluster: { kind: "text", section: "cluster", usage: "cluster of the kubeconfig to use" },
  user: { kind: "text", section: "cluster", usage: "user of the kubeconfig to use" },
  server: { kind: "text", section: "cluster", usage: "address of the API server" },
  "certificate-authority": {
    kind: "text",
    section: "cluster",
    usage: "file with the certificate authority of the API server",
  },
  "insecure-skip-tls-verify": {
    kind: "boolean",
    section: "cluster",
    usage:
      "do not check the API server's certificate: anyone on the network path can read the traffic",
  },
  "tls-server-name": {
    kind: "text",
    section: "cluster",
    usage: "name to expect in the API server's certificate",
  },
  "proxy-url": {
    kind: "text",
    section: "cluster",
    usage: "proxy for connections to the API server",
  },
  "request-timeout": {
    kind: "text",
    byDefault: "30s",
    section: "cluster",
    usage: "timeout of each request, such as 10s or 1m; 0 for none",
  },
  token: {
    kind: "text",
    section: "cluster",
    usage: "bearer token; prefer SEALED_SECRETS_TOKEN, as process lists show arguments",
  },
  username: { kind: "text", section: "cluster", usage: "user for basic authentication" },
  password: {
    kind: "text",
    section: "cluster",
    usage: "password for basic authentication; prefer SEALED_SECRETS_PASSWORD",
  },
  "client-certificate": {
    kind: "text",
    section: "cluster",
    usage: "file with a client certificate",
  },
  "client-key": {
    kind: "text",
    section: "cluster",
    usage: "file with the key of the client certificate",
  },
  as: { kind: "text", section: "cluster", usage: "user to impersonate" },
  "as-group": { kind: "array", section: "cluster", usage: "group to impersonate; may be repeated" },
  "as-uid": { kind: "text", section: "cluster", usage: "UID to impersonate" },
  "disable-compression": { kind: "ignored-switch" },
  v: {
    kind: "number",
    short: "v",
    section: "other",
    usage: "1 prints each step to standard error",
  },
  version: {
    kind: "boolean",
    section: "other",
    usage: "print the version of kubeseal that this one is compatible with",
  },
  completion: {
    kind: "text",
    section: "other",
    usage: "print a script that completes flags in bash, zsh, fish or powershell",
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
Each flag can also be set in the environment: SEALED_SECRETS_ and its name, such as SEALED_SECRETS_CERT.
The flags of Go's logging library (such as --logtostderr) are accepted and ignored.
See docs/kubeseal.md for differences from the original. For more features, see \`signet --help\`.
`;
}
