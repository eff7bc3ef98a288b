// `npm run cluster`: a real API server with our controller, to try things by hand until Ctrl-C.
import { networkInterfaces } from "node:os";
import { resolve } from "node:path";
import { obtainParts, onPath, PartsUnavailable } from "../parts/build.ts";
import { type PartName, PARTS_VARIABLE } from "../parts/parts.ts";
import { type ControlPlane, startControlPlane } from "./controlplane.ts";
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

function guide(kubeconfig: string, controller: RunningController, kubectl: string): string {
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

There are no nodes, so Pods stay Pending. The controller runs beside the cluster, at ${controller.url}.
Its log follows. Press Ctrl-C to stop everything and remove its files.
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

async function play(): Promise<void> {
  const installed = onPath("kubectl");
  const wanted: PartName[] = ["etcd", "kube-apiserver", "kube-controller-manager"];
  if (installed === undefined) wanted.push("kubectl");
  const parts = await obtainParts(say, wanted);
  process.env[PARTS_VARIABLE] = JSON.stringify(parts);

  let plane: ControlPlane | undefined;
  // The programs die with this one, whatever ends it; asked nicely, the folder goes as well.
  const ended = new Promise<string>((done) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, done);
  });
  const abandon = (): never => process.exit(1);
  void ended.then(() => process.once("SIGINT", abandon));
  try {
    say("starting etcd, kube-apiserver and kube-controller-manager, 10 seconds");
    plane = await startControlPlane();
    say("installing the CRD and the controller's rights from deploy/signet.yaml");
    await installSignet(plane);
    say("starting signet-controller, which makes its first sealing key");
    const host = reachableHost();
    const controller = await startSignet(plane, { host });
    await exposeController(plane, { ...SERVICE, port: controller.port, host });
    const kubectl = installed === undefined ? (parts.kubectl ?? "kubectl") : "kubectl";
    say(guide(await plane.kubeconfig(), controller, kubectl));
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

try {
  await play();
} catch (error) {
  say(`failed: ${error instanceof Error ? error.message : String(error)}`);
  if (error instanceof PartsUnavailable) say(`  remedy: ${error.remedy}`);
  process.exitCode = 1;
}
