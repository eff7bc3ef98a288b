// The life of a repository of sealed files on a real control plane: from `signet init` to the loss
// of the cluster, with Argo CD's engine as the agent.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ControlPlane } from "./controlplane.ts";
import { type Agent, makeRepository, type Repository, startAgent } from "./gitops.ts";
import { readSecret, statusOf, untilData } from "./objects.ts";
import { type RunningController, startCluster } from "./signet.ts";

const PASSPHRASE = "a passphrase of some length";

let plane: ControlPlane;
let controller: RunningController;
let repository: Repository;
let agent: Agent;

/** Starts a cluster with nothing in it; the text of its kubeconfig. */
async function freshCluster(): Promise<string> {
  const cluster = await startCluster({ namespaces: ["shop"] });
  ({ plane, controller } = cluster);
  return readFile(cluster.kubeconfig, "utf8");
}

async function stopCluster(): Promise<void> {
  await agent.stop();
  await controller.stop();
  await plane.stop();
}

beforeAll(async () => {
  const kubeconfig = await freshCluster();
  repository = await makeRepository({ KUBECONFIG: "kubeconfig" });
  await repository.sh("cat > kubeconfig", kubeconfig);
  // Whoever has it can open everything: not for Git.
  await repository.sh("printf 'kubeconfig\\n*.age\\npassphrase\\n' > .gitignore");
  await repository.sh("cat > passphrase", PASSPHRASE);
});

afterAll(async () => {
  await stopCluster();
  await repository.remove();
});

const shop = (values: Record<string, string>): ReturnType<typeof untilData> =>
  untilData(plane, "shop", "db", values);

interface KeyFact {
  fingerprint: string;
  state: string;
  values: number;
  safe: boolean;
  blockedBy: string[];
}

/** What `signet status --live` tells, and how it ends. */
async function liveStatus(): Promise<{
  exit: number;
  states: string[];
  inCluster: string[];
  keys: KeyFact[];
}> {
  const { status, stdout, stderr } = await repository.attempt("signet status --live --json");
  if (stdout === "") throw new Error(stderr);
  const { sealedSecrets, clusters } = JSON.parse(stdout) as {
    sealedSecrets: { state: string; inCluster: string }[];
    clusters: { keys: KeyFact[] }[];
  };
  return {
    exit: status,
    states: sealedSecrets.map(({ state }) => state),
    inCluster: sealedSecrets.map(({ inCluster }) => inCluster),
    keys: clusters.flatMap(({ keys }) => keys),
  };
}

/** The same, once the controller has seen all that was applied. */
const settledStatus = (): ReturnType<typeof liveStatus> =>
  plane.waitFor("everything to be synced", async () => {
    const status = await liveStatus();
    return status.inCluster.every((state) => state === "synced") ? status : undefined;
  });

// One story: each part goes on where the one before it ended.
describe("a repository of sealed files", { concurrent: false }, () => {
  it("is made for a cluster, with its certificate in it", async () => {
    await repository.sh("signet init --cluster prod=test && signet git install");
    expect(await repository.sh("cat signet.yaml")).toContain("context: test");
    const { stdout } = await repository.attempt("signet cert --json");
    const [cluster] = (JSON.parse(stdout) as { clusters: { fingerprint: string }[] }).clusters;
    const served = await repository.sh("signet cert fetch | signet cert show /dev/stdin");
    expect(served).toContain(cluster?.fingerprint);
    await repository.commit("the cluster prod");
  });

  it("gets a Secret, which the agent brings to the cluster", async () => {
    await repository.sh("signet new db -n shop --from-literal password", "hunter2");
    await repository.sh("printf 'admin\\n' | signet set prod/shop/db.yaml username");
    await repository.sh("signet set prod/shop/db.yaml --generate token=24");
    await repository.sh("signet unset prod/shop/db.yaml token");
    await repository.commit("shop: a database");
    agent = await startAgent(plane, repository, "prod");
    await shop({ password: "hunter2", username: "admin" });
    const verified = await repository.attempt("signet verify --live");
    expect([verified.status, verified.stderr]).toEqual([
      0,
      "signet: 1 SealedSecret in 1 file checked: no problems found\n",
    ]);
  });

  it("has one changed line where one value was edited", async () => {
    await repository.sh("printf correct-horse | signet set prod/shop/db.yaml password");
    expect(await repository.sh("git diff --numstat")).toBe("1\t1\tprod/shop/db.yaml\n");
    const shown = await repository.sh("git diff -U0");
    expect(shown).toMatch(/\n-( {4}password: )<sealed \w+>\n\+\1<sealed \w+>\n$/);
    await repository.commit("shop: another password");
    await agent.sync();
    await shop({ password: "correct-horse", username: "admin" });
  });

  it("refuses a commit with a Secret in plain text", async () => {
    const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {a: hunter2}\n";
    await repository.sh("cat > prod/plain.yaml", secret);
    const { status, stderr, stdout } = await repository.attempt("git add -A && git commit -m no");
    expect(status).toBe(1);
    expect(stderr + stdout).toContain("prod/plain.yaml");
    expect(stderr + stdout).not.toContain("hunter2");
    await repository.sh("git rm -q --cached prod/plain.yaml && rm prod/plain.yaml");
  });

  it("is told what is stale after a rotation", async () => {
    const before = (await settledStatus()).keys;
    expect(before.map(({ state, values }) => [state, values])).toEqual([["sealing", 2]]);
    await repository.sh("signet keys rotate --cluster prod && signet cert refresh prod");
    const { exit, states, keys } = await liveStatus();
    expect(exit).toBe(3);
    expect(states).toEqual(["stale"]);
    expect(keys.map(({ state, values, safe }) => [state, values, safe])).toEqual([
      ["sealing", 0, false],
      ["former", 2, false],
    ]);
    expect(keys[1]?.fingerprint).toBe(before[0]?.fingerprint);
    expect(keys[1]?.blockedBy).toEqual([
      "prod/shop/db.yaml: 2 values sealed with it",
      "2 values in 1 SealedSecret in the cluster need it",
    ]);
    await repository.commit("prod: the new certificate");
  });

  it("refuses to retire a key that is needed", async () => {
    const [, old] = (await liveStatus()).keys;
    const retire = `signet keys retire ${old?.fingerprint ?? ""} --cluster prod`;
    const { status, stderr } = await repository.attempt(retire);
    expect(status).toBe(3);
    expect(stderr).toContain("prod/shop/db.yaml: 2 values sealed with it");
  });

  it("is re-sealed by the controller, line by line, and says then that the old key is safe", async () => {
    const summary = await repository.sh("signet reseal");
    expect(summary).toContain("## Re-sealed: 2 values in 1 file");
    expect(await repository.sh("git diff --numstat")).toBe("3\t3\tprod/shop/db.yaml\n");
    expect(await repository.sh("signet reseal")).toMatch(
      /^Every value is sealed with its cluster's newest key\. Files: \d+ read\.\n$/,
    );
    // Not yet: the cluster itself has the old version until the agent syncs.
    expect((await liveStatus()).keys[1]?.safe).toBe(false);
    await repository.commit("prod: re-sealed");
    await agent.sync();
    const settled = await plane.waitFor("the old key to be safe", async () => {
      const status = await liveStatus();
      return status.keys[1]?.safe === true ? status : undefined;
    });
    expect([settled.exit, settled.states]).toEqual([0, ["current"]]);
    await shop({ password: "correct-horse", username: "admin" });
  });

  it("works on when the old key is retired", async () => {
    const [, old] = (await liveStatus()).keys;
    await repository.sh(`signet keys retire ${old?.fingerprint ?? ""} --cluster prod`);
    await plane.waitFor("the key to be gone", async () => {
      const report = await repository.sh("signet keys --cluster prod --json");
      return (JSON.parse(report) as { keys: unknown[] }).keys.length === 1;
    });
    await repository.sh("printf battery-staple | signet set prod/shop/db.yaml password");
    await repository.commit("shop: yet another password");
    await agent.sync();
    await shop({ password: "battery-staple", username: "admin" });
    expect((await settledStatus()).exit).toBe(0);
  });

  it("is compared with the cluster, without a value being shown", async () => {
    expect(await repository.sh("signet diff")).toBe("");
    await repository.sh("printf hunter2 | signet set prod/shop/db.yaml password");
    const { status, stdout } = await repository.attempt("signet diff --exit-code");
    expect(status).toBe(3);
    expect(stdout).toMatch(
      /^prod shop\/db \(prod\/shop\/db.yaml\)\n {2}~ password {2}re-sealed, key SHA256:\S+\n$/,
    );
    // The values themselves are told apart with a key, by a keyed hash.
    const compare = "signet diff --recovery-key keys.age";
    await repository.sh(
      "signet keys backup --cluster prod --output keys.age --passphrase-file passphrase",
    );
    const asked = await repository.attempt(compare);
    expect([asked.status, asked.stderr]).toEqual([
      2,
      expect.stringContaining("cannot prompt for the passphrase: standard input is not a terminal"),
    ]);
    const told = await repository.sh(`SIGNET_PASSPHRASE_FILE=passphrase ${compare}`);
    expect(told).toContain("  ~ password  differs from the Secret\n");
    await repository.sh("git checkout -q prod");
    expect(await repository.sh(`SIGNET_PASSPHRASE_FILE=passphrase ${compare}`)).toBe("");
    await repository.sh("rm keys.age");
  });

  it("tells who changed what under which key, and rolls back by git revert", async () => {
    const log = await repository.sh("signet log prod/shop/db.yaml");
    expect(log.match(/^ {2}[-+~] .*$/gm)?.map((line) => line.replace(/, key .*/, ""))).toEqual([
      "  ~ password  re-sealed",
      "  ~ password  re-sealed",
      "  ~ username  re-sealed",
      "  ~ password  re-sealed",
      "  + password  new",
      "  + username  new",
    ]);
    await repository.sh("git revert --no-edit HEAD && git push -q origin main");
    await agent.sync();
    await shop({ password: "correct-horse", username: "admin" });
  });

  it("comes back on a fresh cluster from the backup and Git alone", async () => {
    await repository.sh(
      "signet keys backup --cluster prod --output prod.age --passphrase-file passphrase",
    );
    const backup = await repository.sh("cat prod.age");
    expect(backup).toMatch(/^-----BEGIN AGE ENCRYPTED FILE-----\n[A-Za-z0-9+/=\n]*-----END AGE/);
    await stopCluster();

    await repository.sh("cat > kubeconfig", await freshCluster());
    agent = await startAgent(plane, repository, "prod");
    await plane.waitFor("the fresh cluster to refuse", async () => {
      const { synced } = await statusOf(plane, "shop", "db");
      return synced?.reason === "DecryptFailed";
    });
    expect(await readSecret(plane, "shop", "db")).toBeUndefined();

    const restored = await repository.attempt(
      "signet keys restore prod.age --cluster prod --passphrase-file passphrase --yes",
    );
    expect([restored.status, restored.stderr]).toEqual([
      0,
      expect.stringMatching(
        /: created [\s\S]*2 keys from prod\.age; the controller has loaded 1 of them\n$/,
      ),
    ]);
    await shop({ password: "correct-horse", username: "admin" });
    // The fresh cluster made a key of its own before, which is the newest: everything else is stale.
    await repository.sh("signet reseal && signet verify --live");
    await repository.commit("prod: re-sealed for the new cluster");
    await agent.sync();
    await plane.waitFor("nothing to be stale", async () => (await liveStatus()).exit === 0);
  });

  it("has nothing plain in its history, and nothing of ours in the folder", async () => {
    const objects = await repository.sh("git log --all -p --no-textconv");
    expect(objects).not.toMatch(/hunter2|correct-horse|battery-staple|aHVudGVyM|PRIVATE KEY/);
    const files = await readdir(join(repository.folder), { recursive: true });
    expect(files.filter((file) => file.endsWith(".tmp"))).toEqual([]);
  });

  it("is told which SealedSecrets the cluster cannot sync, and why", async () => {
    const broken = {
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: { name: "broken", namespace: "shop" },
      spec: { encryptedData: { password: "AgA=" } },
    };
    await plane.apply(broken);
    const told = await plane.waitFor("the failure to be told", async () => {
      const { stdout } = await repository.attempt("signet status --live");
      return stdout.includes("not synced") ? stdout : undefined;
    });
    expect(told).toMatch(
      /\n {2}1 SealedSecret in the cluster not synced:\n {4}shop\/broken: \w+: .+\n/,
    );
  });
});
