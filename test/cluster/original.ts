// The Go original in the test bed: its CRD, its controller with the in-cluster files that it
// insists on, and its kubeseal.
import { randomBytes } from "node:crypto";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "js-yaml";
import { partPath } from "../parts/parts.ts";
import type { ControlPlane, KubeObject } from "./controlplane.ts";
import {
  cleanEnvironment,
  type Finished,
  freePort,
  requireBed,
  runToEnd,
  startProgram,
  untilReady,
} from "./program.ts";
import {
  addAccount,
  ensureNamespace,
  type RunningController,
  type StartOptions,
} from "./signet.ts";

const ACCOUNT = "sealed-secrets-controller";
const ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Installs the SealedSecret definition that the original ships. */
export async function installOriginalCrd(plane: ControlPlane): Promise<void> {
  await plane.apply(load(await readFile(partPath("original-crd"), "utf8")) as KubeObject);
}

/** Its service account; with every right, as what it may do is not what the tests are about. */
async function installAccount(plane: ControlPlane, namespace: string): Promise<void> {
  await ensureNamespace(plane, namespace);
  await addAccount(plane, { namespace, name: ACCOUNT, role: "cluster-admin" });
}

const WITH_ACCOUNT_FOLDER = `mkdir -p ${ACCOUNT_FOLDER} && mount --bind "$0" ${ACCOUNT_FOLDER} && exec "$@"`;

/**
 * What stands before a command that finds the files of a service account where a pod has them. A mount
 * namespace for each process gives each its own, so that tests may run several against several API
 * servers.
 */
async function withAccount(
  plane: ControlPlane,
  namespace: string,
  name: string,
): Promise<string[]> {
  const folder = join(plane.directory, `account-${randomBytes(4).toString("hex")}`);
  await mkdir(folder);
  await writeFile(join(folder, "token"), await plane.serviceAccountToken(namespace, name));
  await writeFile(join(folder, "ca.crt"), plane.certificateAuthority);
  await writeFile(join(folder, "namespace"), namespace);
  return ["unshare", "-m", "sh", "-c", WITH_ACCOUNT_FOLDER, folder];
}

/** Runs the original's controller; resolves when it serves its certificate. */
export async function startOriginal(
  plane: ControlPlane,
  options: Omit<StartOptions, "waitFor"> = {},
): Promise<RunningController> {
  const host = requireBed("the Go original's controller");
  const { namespace = "kube-system" } = options;
  await installAccount(plane, namespace);
  const account = await withAccount(plane, namespace, ACCOUNT);
  // The name that its image gives it, by which the API server books what it writes.
  const image = join(plane.directory, `image-${randomBytes(4).toString("hex")}`);
  await mkdir(image);
  const named = join(image, "controller");
  await symlink(partPath("sealed-secrets-controller"), named);

  const port = options.port ?? (await freePort(host));
  const metricsPort = await freePort(host);
  const url = `http://${host}:${port}`;
  const program = startProgram(
    [
      ...account,
      named,
      ...[`--listen-addr=${host}:${port}`, `--listen-metrics-addr=${host}:${metricsPort}`],
      ...(options.flags ?? []),
    ],
    {
      env: cleanEnvironment({
        KUBERNETES_SERVICE_HOST: plane.host,
        KUBERNETES_SERVICE_PORT: String(plane.port),
        POD_NAMESPACE: namespace,
        ...options.env,
      }),
    },
  );
  const probe = async (): Promise<boolean> => {
    const response = await fetch(`${url}/v1/cert.pem`, { signal: AbortSignal.timeout(10_000) });
    return (await response.text()).includes("BEGIN CERTIFICATE");
  };
  await untilReady("the Go original's controller", program, probe);
  const { pid, logs, kill, exited, stop } = program;
  const metricsUrl = `http://${host}:${metricsPort}`;
  return { url, metricsUrl, host, port, pid, logs, kill, exited, stop: () => stop() };
}

/** Runs the original's `kubeseal`; with a kubeconfig it may ask the cluster. */
export function kubeseal(
  args: string[],
  options: { stdin?: string; kubeconfig?: string; cwd?: string } = {},
): Promise<Finished> {
  const { kubeconfig, ...rest } = options;
  const flags = kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`];
  return runToEnd([partPath("kubeseal"), ...flags, ...args], rest);
}

/** Runs the real kubectl. */
export function kubectl(
  args: string[],
  options: { stdin?: string; kubeconfig: string },
): Promise<Finished> {
  const { kubeconfig, ...rest } = options;
  return runToEnd([partPath("kubectl"), `--kubeconfig=${kubeconfig}`, ...args], rest);
}
