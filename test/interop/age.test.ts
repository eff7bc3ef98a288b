// Backups of sealing keys against age itself, in both directions.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from "age-encryption";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lockBackup, unlockBackup } from "../../cli/recovery/lock.ts";
import { recoveryFilesOf } from "../../shared/keys/recoveryfiles.ts";
import { runToEnd } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";

const KEYS = `kind: Secret\n# ${"long enough for a second chunk ".repeat(3000)}\n`;
const PASSPHRASE = "a passphrase of some length";

let folder: string;
let identity: string;
let recipient: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "age-"));
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  writeFileSync(join(folder, "identity.txt"), `# mine\n${identity}\n`);
  writeFileSync(join(folder, "passphrase"), `${PASSPHRASE}\n`);
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const path = (name: string): string => join(folder, name);

async function age(args: string[], stdin = ""): Promise<string> {
  const outcome = await runToEnd([partPath("age"), ...args], { stdin, cwd: folder });
  expect([outcome.status, outcome.stderr]).toEqual([0, ""]);
  return outcome.stdout;
}

/** Age asks the terminal for a passphrase, and nothing else. */
async function ageOnTerminal(args: string[]): Promise<void> {
  const line = [partPath("age"), ...args].map((arg) => `'${arg}'`).join(" ");
  const stdin = `${PASSPHRASE}\n${PASSPHRASE}\n`;
  const command = ["script", "-qec", line, "/dev/null"];
  const { status, stdout } = await runToEnd(command, { stdin, cwd: folder });
  expect(status, stdout).toBe(0);
}

const isKeys = (text: string): boolean => text === KEYS;

it("age opens what was locked for a recipient", async () => {
  writeFileSync(path("ours.age"), await lockBackup(KEYS, { recipients: [recipient] }));
  expect(isKeys(await age(["--decrypt", "--identity", "identity.txt", "ours.age"]))).toBe(true);
});

it("age opens what was locked with a passphrase", async () => {
  writeFileSync(path("passphrase.age"), await lockBackup(KEYS, { passphrase: PASSPHRASE }));
  await ageOnTerminal(["--decrypt", "--output", "opened", "passphrase.age"]);
  expect(isKeys(readFileSync(path("opened"), "utf8"))).toBe(true);
});

it.each([["armored", ["--armor"]] as const, ["binary", []] as const])(
  "what age locked opens, %s",
  async (name, flags) => {
    await age([...flags, "--recipient", recipient, "--output", `${name}.age`], KEYS);
    const bytes = readFileSync(path(`${name}.age`));
    const opened = await unlockBackup(bytes, name, { identity: [path("identity.txt")] });
    expect(isKeys(opened)).toBe(true);
  },
);

it("what age locked with a passphrase opens", async () => {
  writeFileSync(path("plain"), KEYS);
  await ageOnTerminal(["--passphrase", "--output", "theirs.age", "plain"]);
  const unlock = { passphraseFile: path("passphrase") };
  expect(isKeys(await unlockBackup(readFileSync(path("theirs.age")), "theirs", unlock))).toBe(true);
});

it("age opens what was locked for a post-quantum recipient, and ours what age locked", async () => {
  const hybrid = await generateHybridIdentity();
  writeFileSync(path("hybrid.txt"), `${hybrid}\n`);
  const recipients = [await identityToRecipient(hybrid)];
  writeFileSync(path("hybrid.age"), await lockBackup(KEYS, { recipients }));
  expect(isKeys(await age(["--decrypt", "--identity", "hybrid.txt", "hybrid.age"]))).toBe(true);
  await age(["--armor", "--recipient", recipients[0] ?? "", "--output", "theirs.pq"], KEYS);
  const unlock = { identity: [path("hybrid.txt")] };
  expect(isKeys(await unlockBackup(readFileSync(path("theirs.pq")), "pq", unlock))).toBe(true);
});

it("age opens the share of a quorum", async () => {
  const other = await identityToRecipient(await generateX25519Identity());
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "key" } };
  const fingerprint = `SHA256:${"A".repeat(42)}E`;
  const policy = { recipients: [recipient, other], quorum: 2 };
  const files = await recoveryFilesOf(secret, fingerprint, policy);
  writeFileSync(path("share.age"), files["share-1.age"] ?? "");
  const share = await age(["--decrypt", "--identity", "identity.txt", "share.age"]);
  expect(share).toMatch(/^signet-share-1 SHA256:A{42}E 2 [A-Za-z0-9+/=]+\n$/);
});
