// Recovery files in a repository: who opens them, what strangers' files do, the drill, and shares.
// SPEC.md, "Recovery".

import { readFileSync } from "node:fs";
import {
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from "age-encryption";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockBackup } from "../../cli/recovery/lock.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { formatKeySecret } from "../../shared/keys/keyfile.ts";
import {
  checkRecoveryPolicy,
  formatShare,
  identitiesOf,
  parseShare,
  recoveryFilesOf,
} from "../../shared/keys/recoveryfiles.ts";
import { repositoryName } from "../../shared/keys/recoverynames.ts";
import { KEYS, Workplace } from "./workplace.ts";

const CERTIFICATE = readFileSync("test/fixtures/cert.pem", "utf8");
const { fingerprint } = parseCertificate(CERTIFICATE);
const FOLDER = "certificates/dev/recovery";
const KEY_FILE = `${FOLDER}/${repositoryName(fingerprint, "key.age")}`;

let place: Workplace;
let identity: string;
let recipient: string;

beforeEach(async () => {
  place = new Workplace();
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  place.write("../id.key", `# mine\n${identity}\n`);
});

afterEach(() => {
  place.remove();
});

const secretOf = (key: string, certificate: string): ReturnType<typeof formatKeySecret> =>
  formatKeySecret(
    {
      privateKeyPem: readFileSync(key, "utf8"),
      certificatePem: readFileSync(certificate, "utf8"),
    },
    { name: "key" },
  );

/** Puts the recovery files of the dev cluster's key into the repository. */
async function publish(recipients: string[], quorum: number | null = null): Promise<void> {
  const secret = secretOf(KEYS.dev, "test/fixtures/cert.pem");
  const files = await recoveryFilesOf(secret, fingerprint, { recipients, quorum });
  for (const [name, text] of Object.entries(files)) {
    place.write(`${FOLDER}/${repositoryName(fingerprint, name)}`, text);
  }
}

describe("the recovery file of a key", () => {
  it("opens values where an identity is given, also without a namespace of their own", async () => {
    const path = await place.seal("dev", "db", { password: "hunter2" });
    // The path's rule says the namespace.
    place.write(path, place.read(path).replaceAll(/^\s*namespace: shop\n/gm, ""));
    await publish([recipient]);
    const opened = await place.signet(["unseal", path, "--recovery-identity", "../id.key"]);
    expect([opened.status, opened.stdout]).toEqual([0, expect.stringContaining("aHVudGVyMg==")]);
    expect(opened.stdout).toContain("namespace: shop");
    const stale = place.read(path).replace(/^.*kube-signet\/sealed-under.*\n/m, "");
    place.write(path, stale);
    const resealed = await place.signet(["reseal", "--recovery-identity", "../id.key"]);
    expect([resealed.status, resealed.stdout]).toEqual([0, expect.stringContaining("shop/db")]);
    expect(place.read(path)).not.toBe(stale);
  });

  it("gives the values to get and exec, and not those of another cluster", async () => {
    const path = await place.seal("dev", "db", { password: "hunter2" });
    const foreign = await place.seal("prod", "db", { password: "other" });
    await publish([recipient]);
    const identities = ["--recovery-identity", "../id.key"];
    const one = await place.signet(["get", path, "password", ...identities]);
    expect([one.status, one.stdout]).toEqual([0, "hunter2"]);
    const command = ["--", "sh", "-c", 'test "$password" = hunter2'];
    expect((await place.signet(["exec", path, ...identities, ...command])).status).toBe(0);
    const none = await place.signet(["get", foreign, "password", ...identities]);
    expect([none.status, none.stdout]).toEqual([1, ""]);
  });

  it("of a stranger, with another key than its name says, opens nothing", async () => {
    const path = await place.seal("dev", "db", { password: "hunter2" });
    const foreign = secretOf(KEYS.prod, "test/fixtures/other-cert.pem");
    const policy = { recipients: [recipient], quorum: null };
    const files = await recoveryFilesOf(foreign, fingerprint, policy);
    place.write(KEY_FILE, files["key.age"] ?? "");
    const refused = await place.signet(["unseal", path, "--recovery-identity", "../id.key"]);
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringContaining("holds a different key than its name says"),
    ]);
  });

  it("is missed by verify: an error where signet.yaml says that there is one", async () => {
    await place.seal("dev", "db", { password: "hunter2" });
    expect((await place.signet(["verify"])).status).toBe(0);
    const said = place.read("signet.yaml").replace("dev: {}", `dev: {recovery: ${FOLDER}}`);
    place.write("signet.yaml", said);
    const missing = await place.signet(["verify"]);
    expect([missing.status, missing.stdout]).toEqual([
      3,
      expect.stringContaining(`${KEY_FILE}: error: the key ${fingerprint} of dev has no`),
    ]);
    await publish([recipient]);
    expect((await place.signet(["verify"])).status).toBe(0);
  });
});

describe("a drill", () => {
  const drill = (...more: string[]): ReturnType<Workplace["signet"]> =>
    place.signet(["keys", "drill", "--recovery-identity", "../id.key", ...more]);

  it("says that all comes back, and writes it down for verify", async () => {
    await place.seal("dev", "db", { password: "hunter2", user: "admin" });
    await publish([recipient]);
    place.write("signet.yaml", `${place.read("signet.yaml")}maxDrillAge: 30d\n`);
    const before = await place.signet(["verify", "--strict"]);
    expect([before.status, before.stdout]).toEqual([
      3,
      expect.stringContaining("recovery has not been tested yet for dev"),
    ]);
    const done = await drill("--cluster", "dev", "--record");
    expect([done.status, done.stdout]).toEqual([
      0,
      "dev: 2 of 2 values in 1 SealedSecret can be recovered, with 1 of 1 key\n",
    ]);
    expect((await place.signet(["verify", "--strict"])).status).toBe(0);
    const record = `${FOLDER}/last-drill.json`;
    const aged = { ...(JSON.parse(place.read(record)) as object), at: "2020-01-01T00:00:00Z" };
    place.write(record, JSON.stringify(aged));
    const late = await place.signet(["verify"]);
    expect([late.status, late.stdout]).toEqual([
      0,
      expect.stringMatching(/last-drill\.json: warning: the last drill was \d+ days ago/),
    ]);
  });

  it("writes figures for Prometheus, of a loss too", async () => {
    await place.seal("dev", "db", { password: "hunter2" });
    await place.seal("prod", "db", { password: "hunter2" });
    await publish([recipient]);
    expect((await drill("--metrics", "drill.prom")).status).toBe(3);
    const text = place.read("drill.prom");
    expect(text.match(/^signet_\S+ [01]$/gm)).toEqual([
      'signet_drill_safe{cluster="dev"} 1',
      'signet_drill_safe{cluster="prod"} 0',
      'signet_drill_values{cluster="dev",result="opened"} 1',
      'signet_drill_values{cluster="dev",result="lost"} 0',
      'signet_drill_values{cluster="prod",result="opened"} 0',
      'signet_drill_values{cluster="prod",result="lost"} 1',
    ]);
    const [, at] = /^signet_drill_timestamp_seconds\{cluster="dev"\} ([0-9.]+)$/m.exec(text) ?? [];
    expect(Math.abs(Number(at) - Date.now() / 1000)).toBeLessThan(600);
  });

  it("names what would be lost, and why", async () => {
    await place.seal("dev", "db", { password: "hunter2" });
    await place.seal("prod", "db", { password: "hunter2" });
    await publish([recipient]);
    const { status, stdout } = await drill("--json");
    const told = JSON.parse(stdout) as {
      safe: boolean;
      clusters: { cluster: string; opened: number; lost: object[] }[];
    };
    expect([status, told.safe]).toEqual([3, false]);
    expect(told.clusters).toMatchObject([
      { cluster: "dev", opened: 1, lost: [] },
      {
        cluster: "prod",
        opened: 0,
        lost: [
          {
            file: "prod/shop/db.yaml",
            object: "shop/db",
            item: "password",
            reason: "no recovery file found for this key",
          },
        ],
      },
    ]);
    expect(stdout).not.toContain("hunter2");
  });

  it("does not say that all is well where it tried nothing", async () => {
    await place.seal("dev", "db", { password: "hunter2" });
    await publish([recipient]);
    place.write("elsewhere.yaml", place.read("dev/shop/db.yaml"));
    const { status, stderr } = await drill();
    expect([status, stderr]).toEqual([
      3,
      expect.stringContaining("elsewhere.yaml: not tried: no path in signet.yaml matches it"),
    ]);
    const told = JSON.parse((await drill("--json")).stdout) as object;
    expect(told).toMatchObject({ safe: false, untried: ["elsewhere.yaml"] });
  });

  it("opens nothing with the identity of somebody else", async () => {
    await place.seal("dev", "db", { password: "hunter2" });
    await publish([await identityToRecipient(await generateX25519Identity())]);
    const { status, stdout } = await drill("--cluster", "dev");
    expect([status, stdout]).toEqual([
      3,
      expect.stringContaining("cannot be opened with these identities, or is damaged"),
    ]);
  });
});

async function allOf<T>(made: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of made) all.push(each);
  return all;
}

describe("a quorum", () => {
  it("whose shares are of before and after a change opens with those that fit", async () => {
    const path = await place.seal("dev", "db", { password: "hunter2" });
    const others = [await generateX25519Identity(), await generateX25519Identity()];
    const all = [recipient, ...(await Promise.all(others.map(identityToRecipient)))];
    place.write("../ben.key", `${others[0] ?? ""}\n`);
    const args = ["keys", "shares", "--cluster", "dev", "--recovery-identity"];
    const shares = async (): Promise<string> => {
      const mine = await place.signet([...args, "../id.key"]);
      return mine.stdout + (await place.signet([...args, "../ben.key"])).stdout;
    };
    await publish(all, 2);
    const before = await shares();
    await publish(all, 2);
    const after = await shares();
    const unseal = (): ReturnType<Workplace["signet"]> =>
      place.signet(["unseal", path, "--recovery-identity", "../shares"]);
    place.write("../shares", before + after);
    expect((await unseal()).status).toBe(0);
    place.write("../shares", before);
    const former = await unseal();
    expect([former.status, former.stderr]).toEqual([
      1,
      expect.stringContaining("the shares are out of date"),
    ]);
    const [mixed = ""] = before.split("\n");
    place.write("../shares", `${mixed}\n${after.split("\n")[1] ?? ""}\n`);
    expect((await unseal()).stderr).toContain("the shares do not belong together");
    const combined = await place.signet(["keys", "combine", "../shares"]);
    expect([combined.status, combined.stderr]).toEqual([
      1,
      expect.stringContaining("from different sets"),
    ]);
  });

  it("of two of three opens what one cannot, with a forged share among theirs", async () => {
    const path = await place.seal("dev", "db", { password: "hunter2" });
    const others = [await generateX25519Identity(), await generateX25519Identity()];
    const all = [recipient, ...(await Promise.all(others.map(identityToRecipient)))];
    await publish(all, 2);
    place.write("../ben.key", `${others[0] ?? ""}\n`);
    const alone = await place.signet(["unseal", path, "--recovery-identity", "../id.key"]);
    expect([alone.status, alone.stderr]).toEqual([
      1,
      expect.stringContaining("2 shares are required, but there are only 1"),
    ]);
    const args = ["keys", "shares", "--cluster", "dev", "--recovery-identity", "../ben.key"];
    const { stdout: shares } = await place.signet(args);
    expect(shares).toMatch(/^signet-share-1 SHA256:\S{43} 2 \S+\n$/);
    const forged = formatShare({ fingerprint, quorum: 2, bytes: new Uint8Array(75).fill(7) });
    place.write("../ben.shares", forged + shares);
    const both = ["--recovery-identity", "../id.key", "--recovery-identity", "../ben.shares"];
    const opened = await place.signet(["unseal", path, ...both]);
    expect([opened.status, opened.stdout]).toEqual([0, expect.stringContaining("aHVudGVyMg==")]);

    const anna = await place.signet([...args.slice(0, -1), "../id.key"]);
    place.write("../anna.shares", anna.stdout);
    const combined = await place.signet(["keys", "combine", "../anna.shares", "../ben.shares"]);
    expect(combined.stdout).toMatch(/^# opens [^\n]+\nAGE-SECRET-KEY-1[0-9A-Z]+\n$/);
    place.write("../one.key", combined.stdout);
    const one = await place.signet(["unseal", path, "--recovery-identity", "../one.key"]);
    expect(one.status).toBe(0);
  });

  it("is refused where the recipients cannot reach it, or one of them counts twice", () => {
    const refused = (recipients: string[], quorum: number | null) => () => {
      checkRecoveryPolicy({ recipients, quorum });
    };
    expect(refused([recipient], 2)).toThrow("cannot be reached");
    expect(refused([recipient], 1)).toThrow("cannot be reached");
    expect(refused([recipient, recipient], null)).toThrow("duplicate recovery recipient");
    expect(refused(["ssh-ed25519 AAAA"], null)).toThrow("an SSH key cannot be a recipient");
  });

  it("has shares of a documented form", async () => {
    // SPEC.md, "Recovery": test/vectors/recovery-shares.json.
    const vector = JSON.parse(readFileSync("test/vectors/recovery-shares.json", "utf8")) as {
      identity: string;
      shares: string[];
    };
    const shares = vector.shares.map((line) => {
      const share = parseShare(line);
      if (share === null) throw new Error(`no share: ${line}`);
      expect(formatShare(share)).toBe(`${line}\n`);
      return share;
    });
    for (const left of [0, 1, 2]) {
      const two = shares.filter((_, index) => index !== left);
      expect(await allOf(identitiesOf(two))).toEqual([vector.identity]);
    }
    expect(await allOf(identitiesOf(shares.slice(0, 1)))).toEqual([]);
    for (const wrong of ["", "signet-share-2 x", `${vector.shares[0] ?? ""} more`]) {
      expect(parseShare(wrong)).toBeNull();
    }
  });
});

describe("classic and post-quantum recipients", () => {
  it("are never in one file", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity());
    await expect(lockBackup("x", { recipients: [recipient, hybrid] })).rejects.toThrow(
      "classic and post-quantum recipients cannot be mixed",
    );
    expect(await lockBackup("x", { recipients: [hybrid, hybrid] })).toContain("BEGIN AGE");
  });

  it("are refused by `signet keys backup` before it asks a cluster", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity());
    const args = ["keys", "backup", "-w", "k.age", "--recipient", recipient, "--recipient", hybrid];
    const { status, stderr } = await place.signet([...args, "--context", "none"]);
    expect([status, stderr]).toEqual([
      2,
      expect.stringContaining("classic and post-quantum recipients cannot be mixed"),
    ]);
  });
});
