// `npm run cluster`: a real cluster with our controller, to try things by hand until Ctrl-C. Where this
// user is root it has a node, and the controller runs in pods.
import { networkInterfaces } from "node:os";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { obtainParts, onPath, PartsUnavailable } from "../parts/build.ts";
import { type PartName, partPath, PARTS_VARIABLE } from "../parts/parts.ts";
import { type ControlPlane, startControlPlane } from "./controlplane.ts";
import { playInNamespaces, startPlayground, whyNoNode } from "../node/playground.ts";
import { insideBed, listenHost } from "./program.ts";
import {
  exposeController,
  installSignet,
  MANIFEST_NAMESPACE,
  type RunningController,
  startSignet,
} from "./signet.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const SERVICE = { service: "sealed-secrets-controller", namespace: MANIFEST_NAMESPACE };

/** An address of this machine that the service proxy of the API server reaches. */
function reachableHost(): string {
  if (insideBed()) return listenHost();
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const found = addresses.find(
    ({ family, internal, address }) =>
      family === "IPv4" && !internal && !address.startsWith("169.254."),
  );
  if (found !== undefined) return found.address;
  throw new Error(
    "this machine has no address but loopback, which the API server does not proxy to",
  );
}

/** What to try; `more`: additional suggestions. */
function guide(kubeconfig: string, kubectl: string, more: string): string {
  const programs = resolve(process.cwd(), "dist");
  return `
The cluster is ready. In another terminal, in an empty folder:

  export KUBECONFIG=${kubeconfig}
  signet() { node ${programs}/signet.cjs "$@"; }
  kubectl() { command ${kubectl} "$@"; }

  # seal a Secret, commit it in real life, apply it, and see the Secret that comes of it
  signet init --cluster play=$(kubectl config current-context)
  signet new db --namespace default --cluster play --generate password=24
  kubectl apply -f play/default/db.yaml
  kubectl wait --for=condition=Ready sealedsecret/db
  kubectl get secret db --output jsonpath='{.data.password}' | base64 -d

  # change one value, and apply it again
  signet set play/default/db.yaml --generate token=24
  kubectl apply -f play/default/db.yaml

  # a new sealing key: re-seal what is under the old one, and see which key is no longer needed
  signet keys rotate --cluster play
  signet reseal
  kubectl apply -f play/default/db.yaml
  signet status --live

  # change the Secret by hand: the controller reverts it
  kubectl patch secret db --patch '{"stringData":{"password":"changed"}}'

${more}
The controller's log follows. Press Ctrl-C to stop everything and remove its files.
`;
}

/** Prints what is new in the controller's log, a few times a second. */
function follow(controller: RunningController): NodeJS.Timeout {
  let shown = 0;
  return setInterval(() => {
    const logs = controller.logs();
    process.stdout.write(logs.slice(shown));
    shown = logs.length;
  }, 250);
}

const WITHOUT_NODE: readonly PartName[] = ["etcd", "kube-apiserver", "kube-controller-manager"];
const WITH_NODE: readonly PartName[] = [
  ...WITHOUT_NODE,
  ...(["kube-scheduler", "kube-proxy", "kubelet", "node-runtime", "pause"] as const),
  ...(["buildah", "base-images", "kubectl", "helm"] as const),
];

/** A cluster of one node, with pods. */
async function playOnNode(kubectl: string): Promise<void> {
  const playground = await startPlayground(say);
  try {
    const more =
      "The controller runs in pods: `kubectl get pods --namespace kube-system`. Pods of yours run as well,\n" +
      "with the image that is on the node (`kubectl get nodes --output yaml` names it): nothing is pulled.";
    say(guide(playground.kubeconfig, kubectl, more));
    const over = ended.then(() => true);
    while (!(await Promise.race([over, sleep(1_000, false)]))) {
      process.stdout.write(await playground.news().catch(() => ""));
    }
    say(`\n${await ended}: cleaning up`);
  } finally {
    await playground.stop();
  }
}

/** Starts an API server and the controller. */
async function playWithoutNode(kubectl: string): Promise<void> {
  let plane: ControlPlane | undefined;
  try {
    say("starting etcd, kube-apiserver and kube-controller-manager, 10 seconds");
    plane = await startControlPlane();
    say("installing the CRD and the controller's rights from deploy/signet.yaml");
    await installSignet(plane);
    say("starting signet-controller, which makes its first sealing key");
    const host = reachableHost();
    const controller = await startSignet(plane, { host });
    await exposeController(plane, { ...SERVICE, port: controller.port, host });
    const more = `There are no nodes, so Pods stay Pending. The controller runs beside the cluster, at ${controller.url}.`;
    say(guide(await plane.kubeconfig(), kubectl, more));
    const timer = follow(controller);
    const gone = controller.exited.then((status) => `the controller ended with ${status}`);
    const why = await Promise.race([ended, gone]);
    clearInterval(timer);
    say(`\n${why}: cleaning up`);
    await controller.stop();
  } finally {
    await plane?.stop();
  }
}

async function play(): Promise<void> {
  const whyNot = whyNoNode();
  if (whyNot !== undefined) say(`no node, and so no pods: ${whyNot}`);
  const installed = onPath("kubectl");
  if (process.env[PARTS_VARIABLE] === undefined) {
    const wanted = [...(whyNot === undefined ? WITH_NODE : WITHOUT_NODE)];
    if (installed === undefined) wanted.push("kubectl");
    process.env[PARTS_VARIABLE] = JSON.stringify(await obtainParts(say, wanted));
  }
  const kubectl = installed === undefined ? partPath("kubectl") : "kubectl";
  if (whyNot !== undefined) await playWithoutNode(kubectl);
  else if (insideBed()) await playOnNode(kubectl);
  else process.exitCode = await playInNamespaces(ended);
}

// The programs die with this one, however it ends; after a signal, the folder is also removed.
const ended = new Promise<string>((done) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, done);
});
void ended.then(() => process.once("SIGINT", () => process.exit(1)));
try {
  await play();
} catch (error) {
  say(`failed: ${error instanceof Error ? error.message : String(error)}`);
  if (error instanceof PartsUnavailable) say(`  remedy: ${error.remedy}`);
  process.exitCode = 1;
}
