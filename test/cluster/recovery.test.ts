// Keys that cannot be lost, on a real control plane: what is published for the recovery of each key,
// what a kill at any moment leaves, and the whole way back from Git and an identity, or two of three.
// SPEC.md, "Recovery".
import { setTimeout as sleep } from "node:timers/promises";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { loadAll } from "js-yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import { makeRepository, type Repository } from "./gitops.ts";
import { eventsOf, metricOf, readSecret, untilData } from "./objects.ts";
import {
  chartObjects,
  ensureNamespace,
  exposeController,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const NAMESPACE = "/api/v1/namespaces/kube-system";
const KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key";
const CERTIFICATES_ROLE = "sealed-secrets-controller-certificates";

let plane: ControlPlane;
let controller: RunningController;
let repository: Repository;
const holders: { identity: string; recipient: string }[] = [];

async function startController(flags: string[]): Promise<void> {
  controller = await startSignet(plane, { flags: ["--key-size=2048", ...flags] });
  const service = { service: "sealed-secrets-controller", namespace: "kube-system" };
  await exposeController(plane, { ...service, port: controller.port });
}

/** A cluster with nothing in it but what the chart installs. */
async function freshCluster(flags: string[]): Promise<void> {
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "shop");
  const values = [`recovery.recipients={${holders.map(({ recipient }) => recipient).join()}}`];
  for (const role of chartObjects("rbac-recovery.yaml", ...values)) await plane.apply(role);
  await startController(flags);
  await repository.sh(`cp ${await plane.kubeconfig()} kubeconfig`);
}

async function loseCluster(): Promise<void> {
  await controller.stop();
  await plane.stop();
}

const recipients = (...of: typeof holders): string =>
  `--recovery-recipients=${of.map(({ recipient }) => recipient).join(",")}`;

beforeAll(async () => {
  repository = await makeRepository({ KUBECONFIG: "kubeconfig" });
  for (const name of ["anna", "ben", "carl"]) {
    const identity = await generateX25519Identity();
    holders.push({ identity, recipient: await identityToRecipient(identity) });
    await repository.sh(`cat > ../${name}.key`, `# ${name}\n${identity}\n`);
  }
  await repository.sh("printf 'kubeconfig\\n' > .gitignore");
  await freshCluster([recipients(...holders)]);
});

afterAll(async () => {
  await loseCluster();
  await repository.remove();
});

async function list(path: string): Promise<KubeObject[]> {
  return (await plane.request("GET", `${NAMESPACE}/${path}`)).body.items ?? [];
}

const keySecrets = (): Promise<KubeObject[]> => list(`secrets?labelSelector=${KEY_LABEL}`);
const published = (): Promise<KubeObject[]> =>
  list("configmaps?labelSelector=kube-signet/recovery");

/** The fingerprints of the keys in all published files, as `age` itself opens them. */
async function recoverable(): Promise<Set<string>> {
  const found = new Set<string>();
  for (const { data } of await published()) {
    const line = `"${partPath("age")}" --decrypt --identity ../anna.key`;
    const text = await repository.sh(line, data?.["key.age"] ?? "");
    for (const key of readKeyFile(text, "key.age")) found.add(key.fingerprint);
  }
  return found;
}

const sealing = (keys: readonly KubeObject[]): string[] =>
  keys.map(({ metadata }) => String(metadata?.annotations?.["kube-signet/confirmed"]));

/** Seals a Secret, and applies it as an agent would. */
async function seal(name: string, password: string): Promise<void> {
  await repository.sh(`signet new ${name} -n shop --from-literal password`, password);
  await applyAll();
}

async function applyAll(): Promise<void> {
  const text = await repository.sh("cat prod/shop/*.yaml");
  for (const object of loadAll(text)) if (object !== null) await plane.apply(object as KubeObject);
}

describe("each key", () => {
  it("can be opened by age alone, and its file comes into the repository", async () => {
    await repository.sh("signet init --cluster prod=test");
    expect(await repository.sh("cat signet.yaml")).toContain(
      "recovery: certificates/prod/recovery",
    );
    await seal("db", "hunter2");
    await untilData(plane, "shop", "db", { password: "hunter2" });
    await repository.sh("signet keys rotate --cluster prod --context test && signet cert refresh");
    await seal("cache", "correct-horse");
    const keys = await keySecrets();
    expect(keys).toHaveLength(2);
    expect([...(await recoverable())].sort()).toEqual(sealing(keys).sort());
    const files = await repository.sh("ls certificates/prod/recovery");
    expect(files.trim().split("\n")).toHaveLength(2);
    await repository.sh("signet verify --strict");
    await repository.commit("prod");
  });

  it("is encrypted again after somebody edited its file, which is told", async () => {
    const [{ metadata } = {}] = await published();
    const name = metadata?.name ?? "";
    const path = `${NAMESPACE}/configmaps/${name}`;
    const patch = { data: { "key.age": "for someone else" } };
    await plane.request("PATCH", path, patch, MERGE);
    await plane.waitFor("the file to be put right", async () => {
      const { body } = await plane.request("GET", path);
      return body.data?.["key.age"]?.startsWith("-----BEGIN AGE") === true;
    });
    await plane.waitFor("an Event of it", async () =>
      (await eventsOf(plane, "kube-system", name)).some((event) =>
        event.startsWith("Warning RecoveryFilesChanged"),
      ),
    );
  });

  it("is recoverable, whenever the controller is killed while it makes one", async () => {
    for (let run = 0; run < 6; run++) {
      const before = (await keySecrets()).length;
      controller.kill("SIGUSR1");
      await sleep(run * 60);
      controller.kill("SIGKILL");
      await controller.exited;
      const open = await recoverable();
      for (const fingerprint of sealing(await keySecrets())) expect(open).toContain(fingerprint);
      expect((await keySecrets()).length - before).toBeLessThanOrEqual(1);
      await startController([recipients(...holders)]);
    }
  });

  it("is not made where its file cannot be published: the one before seals on", async () => {
    await repository.sh("signet cert refresh");
    const before = await keySecrets();
    const roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles";
    // The other one grants to create ConfigMaps for the certificates.
    const granted: KubeObject[] = [];
    for (const name of ["signet-recovery", CERTIFICATES_ROLE]) {
      granted.push((await plane.request("GET", `${roles}/${name}`)).body);
      expect((await plane.request("DELETE", `${roles}/${name}`)).status).toBe(200);
    }
    controller.kill("SIGUSR1");
    await plane.waitFor(
      "the failure to be counted",
      async () => (await metricOf(controller, "recovery_missing")) === 1,
    );
    expect(await keySecrets()).toHaveLength(before.length);
    await repository.sh("signet verify --live");
    for (const { metadata, ...role } of granted) {
      const { name, namespace } = metadata ?? {};
      await plane.apply({
        ...role,
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "Role",
        metadata: { name, namespace },
      } as KubeObject);
    }
    await plane.waitFor("the key to be made", async () => {
      return (await keySecrets()).length > before.length;
    });
    await repository.sh("signet cert refresh");
    await repository.commit("prod: the newest key");
  });
});

/** Everything back on a fresh cluster from the repository and what `restore` is given; the seconds. */
async function comeBack(flags: string[], ...identities: string[]): Promise<number> {
  const given = identities.map((each) => `--recovery-identity ../${each}`).join(" ");
  const drill = await repository.sh(`signet keys drill --cluster prod ${given} --record --json`);
  expect(JSON.parse(drill)).toMatchObject({ safe: true, clusters: [{ opened: 2, lost: [] }] });
  await repository.commit("prod: a drill");
  await loseCluster();
  await freshCluster(flags);
  const startedMs = performance.now();
  await applyAll();
  expect(await readSecret(plane, "shop", "db")).toBeUndefined();
  await repository.sh(`signet keys restore --cluster prod --context test ${given} --yes`);
  await untilData(plane, "shop", "db", { password: "hunter2" });
  await untilData(plane, "shop", "cache", { password: "correct-horse" });
  return (performance.now() - startedMs) / 1000;
}

describe("a cluster that is lost", () => {
  it("comes back from Git and one recovery identity, as the drill said before", async () => {
    const seconds = await comeBack([recipients(...holders), "--recovery-quorum=2"], "ben.key");
    console.log(`every Secret is back after ${seconds.toFixed(1)} s, with one identity`);
    await repository.sh("signet cert refresh && signet verify --live");
    await repository.commit("prod: the key of the fresh cluster");
  });

  it("comes back from Git and two of three, and not from one of them", async () => {
    // The fresh cluster holds the restored keys too, and publishes all of them for the quorum.
    await plane.waitFor("shares of every key", async () => {
      const all = await published();
      return all.length > 1 && all.every(({ data }) => data?.["share-3.age"] !== undefined);
    });
    await repository.sh("signet cert refresh");
    const drill = "signet keys drill --cluster prod --recovery-identity";
    const alone = await repository.attempt(`${drill} ../carl.key`);
    expect(alone.status).toBe(3);
    expect(alone.stdout).toContain("2 shares are required, but there are only 1");
    await repository.sh(
      "signet keys shares --cluster prod --recovery-identity ../anna.key -w ../anna.shares",
    );
    const seconds = await comeBack([recipients(...holders)], "carl.key", "anna.shares");
    console.log(`every Secret is back after ${seconds.toFixed(1)} s, with two of three`);
  });

  it("leaves nothing plain in Git", async () => {
    const all = await repository.sh("git log --all -p --no-textconv");
    expect(all).not.toMatch(/hunter2|correct-horse|PRIVATE KEY|AGE-SECRET-KEY|signet-share-1/);
  });
});
