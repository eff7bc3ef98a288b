// Where the tests find the real programs (kube-apiserver, etcd, the Go original, a browser,
// oracles).

export type PartName =
  | "kube-apiserver"
  | "kube-controller-manager"
  | "kube-scheduler"
  | "kube-proxy"
  | "kubelet"
  | "node-runtime"
  | "pause"
  | "etcd"
  | "kubeseal"
  | "sealed-secrets-controller"
  | "original-crd"
  | "original-chart"
  | "yaml-oracle"
  | "template-oracle"
  | "hybrid-oracle"
  | "argo-oracle"
  | "argo-health"
  | "kstatus-oracle"
  | "promtool"
  | "gitops-agent"
  | "gitops-drift"
  | "age"
  | "node20"
  | "node22"
  | "node24"
  | "node26"
  | "bun"
  | "buildah"
  | "base-images"
  | "chromium"
  | "firefox"
  | "kubectl"
  | "kubeseal-auto"
  | "helm"
  | "gator"
  | "kyverno-review"
  | "actionlint"
  | "krew"
  | "validate-krew-manifest"
  | "openbao"
  | "kms-plugin"
  | "local-kms"
  | "gitleaks"
  | "trufflehog";

/** The environment variable in which the test runner hands the paths over, as JSON. */
export const PARTS_VARIABLE = "KUBE_SIGNET_PARTS";

/**
 * Path of a real program; of `original-crd`, the YAML file of the Go original's CRD; of
 * `original-chart`, the folder of its Helm chart; of `argo-health`, the script by which Argo CD judges
 * a SealedSecret; of `kubeseal-auto`, the folder of Python packages that it is in; of `base-images`, the
 * storage of buildah that has what the Dockerfile's FROM names; of `node-runtime`, a folder with containerd,
 * runc and nft in `bin` and CNI's plugins in `cni`.
 * @throws Error where the runner gave none: a test never skips.
 */
export function partPath(name: PartName): string {
  const paths = JSON.parse(process.env[PARTS_VARIABLE] ?? "{}") as Partial<
    Record<PartName, string>
  >;
  const path = paths[name];
  if (path === undefined) throw new Error(`no ${name}: run the tests with \`npm test\``);
  return path;
}
