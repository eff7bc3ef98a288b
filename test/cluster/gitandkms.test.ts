// A cluster that is lost and comes back from Git and the key service alone: the wrapped keys are committed, and
// the drill says before what will come back. With a real OpenBao.
// SPEC.md, "Wrapped keys", "Recovery".
import { loadAll } from "js-yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WRAPPED_KEY_LABEL } from "../../shared/keys/wrappedkey.ts";
import { formatManifests } from "../../shared/manifest/manifest.ts";
import { type ControlPlane, type KubeObject, startControlPlane } from "./controlplane.ts";
import { makeRepository, type Repository } from "./gitops.ts";
import { type OpenBao, startOpenBao } from "./keyservices.ts";
import { readSecret, untilData } from "./objects.ts";
import {
  ensureNamespace,
  exposeController,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const FILE = "keys/prod/wrapped.yaml";

let plane: ControlPlane;
let controller: RunningController;
let repository: Repository;
let bao: OpenBao;

async function freshCluster(): Promise<void> {
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "shop");
  const flags = ["--key-size=2048", "--kms-backup-verified", ...bao.flags];
  controller = await startSignet(plane, { flags });
  const service = { service: "sealed-secrets-controller", namespace: "kube-system" };
  await exposeController(plane, { ...service, port: controller.port });
  await repository.sh(`cp ${await plane.kubeconfig()} kubeconfig`);
}

async function loseCluster(): Promise<void> {
  await controller.stop();
  await plane.stop();
}

beforeAll(async () => {
  bao = await startOpenBao({ tls: true });
  repository = await makeRepository({ KUBECONFIG: "kubeconfig" });
  await repository.sh("printf 'kubeconfig\\n' > .gitignore");
  await freshCluster();
});

afterAll(async () => {
  await loseCluster();
  await repository.remove();
  await bao.stop();
});

async function applyAll(): Promise<void> {
  const text = await repository.sh("cat prod/shop/*.yaml");
  for (const object of loadAll(text)) if (object !== null) await plane.apply(object as KubeObject);
}

/** What `kubectl get --output yaml` writes. */
async function saveWrappedKeys(): Promise<void> {
  const { body } = await plane.request("GET", `${SECRETS}?labelSelector=${WRAPPED_KEY_LABEL}`);
  const items = (body.items ?? []).map((each) => ({ ...each, apiVersion: "v1", kind: "Secret" }));
  const list = { apiVersion: "v1", kind: "List", items };
  const text = formatManifests([JSON.parse(JSON.stringify(list)) as never], "yaml");
  await repository.sh(`mkdir -p keys/prod && cat > ${FILE}`, text);
}

const drill = (token = bao.tokenFile): string =>
  `signet keys drill --cluster prod --wrapped-key keys/prod ${bao.place.join(" ")} --kms-transit-login-file ${token}`;

describe("a cluster whose keys OpenBao wraps", () => {
  it("comes back from Git and the service, as the drill said before", async () => {
    await repository.sh("signet init --cluster prod=test");
    const passwords = { db: "hunter2", cache: "correct-horse" };
    for (const [name, password] of Object.entries(passwords)) {
      await repository.sh(`signet new ${name} -n shop --from-literal password`, password);
      await repository.sh("signet keys rotate --cluster prod --context test");
      await repository.sh("signet cert refresh");
    }
    await applyAll();
    await untilData(plane, "shop", "db", { password: "hunter2" });
    await saveWrappedKeys();
    await repository.commit("prod");
    const told = JSON.parse(await repository.sh(`${drill()} --json`)) as object;
    expect(told).toMatchObject({ safe: true, clusters: [{ opened: 2, lost: [] }] });

    await loseCluster();
    await freshCluster();
    const startedMs = performance.now();
    await applyAll();
    expect(await readSecret(plane, "shop", "db")).toBeUndefined();
    await repository.sh(`signet keys restore ${FILE} --cluster prod --context test --yes`);
    for (const [name, password] of Object.entries(passwords)) {
      await untilData(plane, "shop", name, { password });
    }
    const seconds = (performance.now() - startedMs) / 1000;
    console.log(`every Secret is back after ${seconds.toFixed(1)} s, from Git and OpenBao`);
    const all = await repository.sh("git log --all -p --no-textconv");
    expect(all).toContain("tls.key.wrapped");
    expect(all).not.toMatch(/hunter2|correct-horse|PRIVATE KEY/);
  });

  it("is not said to come back where the service would not open a key, or cannot be asked", async () => {
    await repository.sh("cat > ../wrong", "s.wrong");
    const away = await repository.attempt(drill("../wrong"));
    expect([away.status, away.stderr]).toEqual([1, expect.stringContaining("permission denied")]);
    await repository.sh("signet cert refresh");
    await repository.sh("signet reseal --context test");
    const late = await repository.attempt(drill());
    expect([late.status, late.stdout]).toEqual([
      3,
      expect.stringMatching(
        /, the current one: its key is not in the given files\n.*lost: prod\/shop\/cache.yaml: /,
      ),
    ]);
    await saveWrappedKeys();
    await repository.sh(drill());
    // The key of the service is gone with all its versions.
    await bao.administer("POST", "transit/keys/signet/config", { deletion_allowed: true });
    await bao.administer("DELETE", "transit/keys/signet");
    const gone = await repository.attempt(drill());
    expect([gone.status, gone.stdout]).toEqual([
      3,
      expect.stringMatching(
        /, the current one: transit at \S+ \(transit\/signet\): encryption key not found \(status 400\)\n/,
      ),
    ]);
  });
});
