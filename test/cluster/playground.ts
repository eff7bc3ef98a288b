// `npm run cluster`: a real API server with our controller, to try things by hand until Ctrl-C.
import { resolve } from "node:path";
import { obtainParts, onPath, PartsUnavailable } from "../parts/build.ts";
import { type PartName, PARTS_VARIABLE } from "../parts/parts.ts";
import { type ControlPlane, startControlPlane } from "./controlplane.ts";
import { installSignet, type RunningController, startSignet } from "./signet.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function guide(kubeconfig: string, controller: RunningController, kubectl: string): string {
  const signet = `node ${resolve(process.cwd(), "dist/signet.cjs")}`;
  return `
The cluster is ready. In another terminal:

  export KUBECONFIG=${kubeconfig}
  export SIGNET_CERT=${controller.url}/v1/cert.pem

  # seal a Secret, commit it in real life, apply it, and see the Secret that comes of it
  ${kubectl} create secret generic db --from-literal=password=hunter2 \\
      --dry-run=client --output yaml | ${signet} seal > db.yaml
  ${kubectl} apply -f db.yaml
  ${kubectl} get sealedsecret,secret db
  ${kubectl} get secret db --output jsonpath='{.data.password}' | base64 -d

  # change the Secret by hand: the controller puts it back
  ${kubectl} patch secret db --patch '{"stringData":{"password":"changed"}}'

There are no nodes: Pods stay Pending, and \`signet cert fetch\` finds no controller in the cluster,
as it runs beside it. SIGNET_CERT is its address: ${controller.url}
What the controller says follows. Ctrl-C ends it all and leaves nothing.
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
    const controller = await startSignet(plane);
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
