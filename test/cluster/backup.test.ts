// Backups of sealing keys and their way back, and what a kill at any moment leaves of a restore and
// of a re-sealing by the controller.
import { spawn } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lockBackup } from "../../cli/recovery/lock.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { formatKeySecret } from "../../shared/keys/keyfile.ts";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { formatManifests, parseManifests } from "../../shared/manifest/manifest.ts";
import type { ControlPlane, KubeObject } from "./controlplane.ts";
import { makeRepository, type Repository } from "./gitops.ts";
import { cleanEnvironment, type Finished } from "./program.ts";
import { addAccount, type RunningController, startCluster } from "./signet.ts";

const KEYS = "/api/v1/namespaces/kube-system/secrets";
const KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key";
const OLD_KEYS = 5;
const PASSPHRASE = "a passphrase of some length";

let plane: ControlPlane;
let controller: RunningController;
let repository: Repository;

beforeAll(async () => {
  const cluster = await startCluster({ namespaces: ["shop"] });
  ({ plane, controller } = cluster);
  repository = await makeRepository({ KUBECONFIG: cluster.kubeconfig });
  await repository.sh("signet init --cluster prod=test && cat > passphrase", PASSPHRASE);
  for (let made = 0; made < OLD_KEYS; made++) {
    await repository.sh("signet keys rotate && signet cert refresh");
  }
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
  await repository.remove();
});

const attempt = (line: string): Promise<Finished> => repository.attempt(line);

/** Names of the key Secrets by what is in them. */
async function keySecrets(): Promise<Map<string, string>> {
  const { body } = await plane.request("GET", `${KEYS}?labelSelector=${KEY_LABEL}`);
  return new Map(
    (body.items ?? []).map(({ data, metadata }) => [data?.["tls.key"] ?? "", metadata?.name ?? ""]),
  );
}

/** All but the one that seals: without any, the controller would make one of its own. */
async function loseOldKeys(): Promise<void> {
  const { keys } = JSON.parse(await repository.sh("signet keys --json")) as {
    keys: { state: string; secret: string }[];
  };
  const sealing = keys.find(({ state }) => state === "sealing")?.secret;
  for (const name of (await keySecrets()).values()) {
    if (name !== sealing) await plane.request("DELETE", `${KEYS}/${name}`);
  }
}

describe("a backup", () => {
  it("is one file for its owner alone, which opens with the passphrase, and is not overwritten", async () => {
    await repository.sh("signet keys backup -w p.age --passphrase-file passphrase");
    const path = join(repository.folder, "p.age");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const before = await readFile(path);
    const again = await attempt("signet keys backup -w p.age --passphrase-file passphrase");
    expect([again.status, again.stderr]).toEqual([
      1,
      expect.stringContaining("p.age: already exists"),
    ]);
    expect(await readFile(path)).toEqual(before);
    const checked = await repository.sh(
      "signet keys restore p.age --dry-run --json --passphrase-file passphrase",
    );
    expect(checked.match(/"already exists"/g)).toHaveLength(OLD_KEYS + 1);
  });

  it.each([
    [
      "a passphrase that is too short",
      "printf short > s; signet keys backup -w x.age --passphrase-file s",
      2,
    ],
    ["a recipient that is none", "signet keys backup -w x.age --recipient age1nothing", 2],
    ["nowhere to go", "signet keys backup", 2],
    [
      "a namespace without keys",
      "signet keys backup -w x.age --controller-namespace shop --passphrase-file passphrase",
      1,
    ],
    [
      "a folder that is full of nothing",
      "signet keys backup -w /proc/x.age --passphrase-file passphrase",
      1,
    ],
  ])("is refused for %s, and leaves no file", async (_, line, status) => {
    const refused = await attempt(line);
    expect([refused.status, refused.stderr]).toEqual([status, expect.stringContaining("error:")]);
    expect(refused.stderr).not.toContain("unexpected");
    expect((await readdir(repository.folder)).filter((name) => name.startsWith("x."))).toEqual([]);
  });

  it("is refused to an account without the right to read keys, in words", async () => {
    await addAccount(plane, { namespace: "shop", name: "nobody", role: "view" });
    const token = await plane.serviceAccountToken("shop", "nobody");
    const poor = await plane.kubeconfig({ token });
    const line = "signet keys backup -w x.age --passphrase-file passphrase";
    const { status, stderr } = await attempt(`${line} --kubeconfig ${poor}`);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /error: cannot list the sealing keys in kube-system: .*403[\s\S]*hint: the kubeconfig's user has no permission/,
    );
  });

  it("opens for the age identity that it was made for, and for no other", async () => {
    const mine = await generateX25519Identity();
    const other = await generateX25519Identity();
    await repository.sh("cat > mine.txt", `# a comment\n${mine}\n`);
    await repository.sh("cat > other.txt", `${other}\n`);
    const recipient = await identityToRecipient(mine);
    await repository.sh(`signet keys backup -w r.age --recipient ${recipient}`);
    const restore = "signet keys restore r.age --dry-run";
    await repository.sh(`${restore} --identity mine.txt`);
    await repository.sh(`SIGNET_AGE_IDENTITY=mine.txt ${restore}`);
    const wrong = await attempt(`${restore} --identity other.txt`);
    expect([wrong.status, wrong.stderr]).toEqual([
      1,
      "signet: error: r.age: cannot be opened: wrong passphrase or identity, or damaged\n",
    ]);
    const none = await attempt(restore);
    expect([none.status, none.stderr]).toEqual([
      2,
      expect.stringContaining("this backup is encrypted for age recipients"),
    ]);
  });

  it("is refused where it is damaged, or holds something else, before anything is created", async () => {
    const before = await keySecrets();
    const text = await repository.sh("cat p.age");
    await repository.sh("cat > d.age", text.replace(/[A-Za-z0-9](?=[^\n]*\n-----END)/, "!"));
    const encrypter = new Encrypter();
    encrypter.setPassphrase(PASSPHRASE);
    encrypter.setScryptWorkFactor(10);
    const other = await encrypter.encrypt(
      "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {a: hunter2}\n",
    );
    await repository.sh("base64 -d > o.age", Buffer.from(other).toString("base64"));
    for (const file of ["d.age", "o.age", "signet.yaml", "gone.age"]) {
      const { status, stderr } = await attempt(
        `signet keys restore ${file} --passphrase-file passphrase`,
      );
      expect([file, status, stderr]).toEqual([file, 1, expect.stringContaining(`error: ${file}`)]);
      expect(stderr).not.toMatch(/hunter2|unexpected/);
    }
    expect(await keySecrets()).toEqual(before);
  });
});

describe("a forged backup", () => {
  interface Reported {
    state: string;
    secret: string;
    fingerprint: string;
  }
  const reported = async (): Promise<Reported[]> =>
    (JSON.parse(await repository.sh("signet keys --json")) as { keys: Reported[] }).keys;
  const sealing = async (): Promise<string | undefined> =>
    (await reported()).find(({ state }) => state === "sealing")?.fingerprint;
  const stateOf = async (wanted: string): Promise<string | undefined> =>
    (await reported()).find(({ fingerprint }) => fingerprint === wanted)?.state;

  it("gives a key that opens and never seals, until a person adopts it; and that is taken back", async () => {
    const identity = await generateX25519Identity();
    await repository.sh("cat > forged.txt", `${identity}\n`);
    // Newer than any key that the controller makes, and confirmed as far as the backup says.
    const validForMs = 3650 * 86_400_000;
    const notBefore = new Date("2999-01-01T00:00:00Z");
    const pair = await createSealingKey({ bits: 2048, notBefore, validForMs });
    const { fingerprint } = parseCertificate(pair.certificatePem);
    const marks = { "kube-signet/confirmed": fingerprint, "kube-signet/renew": "now" };
    const secret = formatKeySecret(pair, { name: "forged" }, {}, marks);
    const recipients = [await identityToRecipient(identity)];
    await repository.sh(
      "cat > f.age",
      await lockBackup(formatManifests([secret], "yaml"), { recipients }),
    );
    const before = await sealing();
    const restore = "signet keys restore f.age --identity forged.txt --context test";

    const unasked = await attempt(restore);
    expect([unasked.status, unasked.stderr]).toEqual([
      2,
      expect.stringContaining("these keys must be confirmed with --yes"),
    ]);
    const { stderr } = await repository.attempt(`${restore} --yes`);
    expect(stderr).toMatch(/forged +active +can only open/);
    expect(stderr).toContain(`seals now: ${before ?? ""}\nsignet: will seal: the same key\n`);
    expect([await sealing(), await stateOf(fingerprint)]).toEqual([before, "unconfirmed"]);

    // Its certificate in place of the cluster's.
    await repository.sh("cp certificates/prod.pem old.pem");
    await repository.sh("cat - old.pem > certificates/prod.pem", pair.certificatePem);
    const swapped = await attempt("signet verify --live");
    expect([swapped.status, swapped.stdout]).toEqual([
      3,
      expect.stringContaining(`the key ${fingerprint} of prod is unconfirmed`),
    ]);
    await repository.sh("mv old.pem certificates/prod.pem && signet verify --live");

    const byName = await attempt("signet keys adopt forged --yes --context test");
    expect([byName.status, await stateOf(fingerprint)]).toEqual([2, "unconfirmed"]);
    const adopted = await repository.attempt(
      `signet keys adopt ${fingerprint} --yes --context test`,
    );
    expect([adopted.status, adopted.stderr]).toEqual([
      0,
      expect.stringContaining(`seals now: ${before ?? ""}\nsignet: will seal: ${fingerprint}\n`),
    ]);
    expect(await sealing()).toBe(fingerprint);
    await repository.sh(`signet keys adopt --undo ${fingerprint} --yes --context test`);
    expect([await sealing(), await stateOf(fingerprint)]).toEqual([before, "unconfirmed"]);
    await plane.request("DELETE", `${KEYS}/forged`);
  });
});

/** How long a whole run takes, so that kills can be spread over one. */
async function durationOf(line: string): Promise<number> {
  const started = performance.now();
  await repository.sh(line);
  return performance.now() - started;
}

/** Starts `signet` in the repository and kills it, whatever it is at, after some time. */
async function killed(args: string[], afterMs: number): Promise<boolean> {
  const child = spawn(process.execPath, [resolve("dist/signet.cjs"), ...args], {
    cwd: repository.folder,
    env: cleanEnvironment({ KUBECONFIG: await plane.kubeconfig(), HOME: repository.folder }),
    stdio: "ignore",
  });
  const ended = new Promise<boolean>((done) => {
    child.once("close", (_, signal) => {
      done(signal === "SIGKILL");
    });
  });
  await sleep(afterMs);
  child.kill("SIGKILL");
  return ended;
}

describe("killed at any moment", () => {
  it("a restore leaves whole keys, and is finished by another run", async () => {
    const identity = await generateX25519Identity();
    await repository.sh("cat > id.txt", `${identity}\n`);
    const recipient = await identityToRecipient(identity);
    await repository.sh(`signet keys backup -w k.age --recipient ${recipient}`);
    const whole = [...(await keySecrets()).keys()].sort();
    expect(whole).toHaveLength(OLD_KEYS + 1);
    const restore = ["keys", "restore", "k.age", "--identity", "id.txt", "--yes"];
    await loseOldKeys();
    const whileMs = await durationOf(`signet ${restore.join(" ")}`);
    let kills = 0;
    for (let run = 1; run <= 16; run++) {
      await loseOldKeys();
      if (await killed(restore, (whileMs * run) / 17)) kills++;
      for (const key of (await keySecrets()).keys()) expect(whole).toContain(key);
    }
    expect(kills).toBeGreaterThan(3);
    await repository.sh("signet keys restore k.age --identity id.txt --yes");
    expect([...(await keySecrets()).keys()].filter((key) => whole.includes(key)).sort()).toEqual(
      whole,
    );
    await repository.sh("signet keys restore k.age --identity id.txt --yes");
    const plain = await repository.attempt(
      "grep -rlE 'PRIVATE KEY|UFJJVkFURSBLRV' . ../*/ 2>/dev/null",
    );
    expect(plain.stdout).toBe("");
  });

  it("a re-sealing leaves each file old or new, and is finished by another run", async () => {
    await repository.sh("signet cert refresh");
    const files = 48;
    for (let n = 0; n < files; n++) {
      await repository.sh(`printf hunter2 | signet new s${n} -n shop --from-literal a`);
    }
    await repository.commit("many");
    const texts = async (): Promise<Map<string, string>> => {
      const folder = join(repository.folder, "prod/shop");
      const names = (await readdir(folder)).filter((name) => name.endsWith(".yaml")).sort();
      expect(names).toHaveLength(files);
      return new Map(
        await Promise.all(
          names.map(async (name) => [name, await readFile(join(folder, name), "utf8")] as const),
        ),
      );
    };
    await repository.sh("signet keys rotate");
    const whileMs = await durationOf("signet reseal");
    let kills = 0;
    for (let run = 1; run <= 8; run++) {
      await repository.sh("signet keys rotate");
      const before = await texts();
      if (await killed(["reseal"], (whileMs * run) / 9)) kills++;
      for (const [name, text] of await texts()) {
        if (text === before.get(name)) continue;
        const [document] = parseManifests(text);
        const { spec } = document?.value as KubeObject & { spec: { encryptedData: object } };
        expect(Object.keys(spec.encryptedData)).toEqual(["a"]);
      }
      await repository.sh("signet verify --live");
    }
    expect(kills).toBeGreaterThan(2);
    await repository.sh("signet reseal && signet status && signet verify --live");
    expect(await repository.sh("signet reseal")).toContain("Every value is sealed with");
    const left = await repository.attempt("grep -rl hunter2 . 2>/dev/null");
    expect(left.stdout).toBe("");
  });
});
