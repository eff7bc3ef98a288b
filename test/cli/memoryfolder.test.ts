// What `signet edit` does where no folder is in memory, as on macOS and Windows. Runs the built program,
// dist/signet.cjs, in a mount namespace of its own in which /dev/shm is on the disk.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Finished, runToEnd } from "../cluster/program.ts";

const SECRET =
  "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: demo}\nstringData: {token: battery}\n";
const CERTIFICATE = resolve("test/fixtures/cert.pem");
const HIDDEN = ["unshare", "-rm", "sh", "-c", 'mount --bind "$0" /dev/shm && exec "$@"'];

let folder: string;

async function signet(before: readonly string[], args: readonly string[]): Promise<Finished> {
  const command = [...before, process.execPath, resolve("dist/signet.cjs"), ...args];
  const env = { TMPDIR: join(folder, "tmp"), XDG_RUNTIME_DIR: join(folder, "run") };
  const EDITOR = `sed -i 's/.<sealed: token>./staple/' "$1"; cp "$1" ${folder}/seen; true`;
  return runToEnd(command, { cwd: folder, stdin: SECRET, env: { ...env, EDITOR } });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "no-memory-"));
  for (const name of ["tmp", "run", "shm"]) mkdirSync(join(folder, name));
  const made = await signet([], ["seal", "--cert", CERTIFICATE, "-w", "db.yaml"]);
  expect(made.status, made.stderr).toBe(0);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const hidden = (): string[] => [...HIDDEN, join(folder, "shm")];

it("edit says what else there is, and changes nothing", async () => {
  const before = readFileSync(join(folder, "db.yaml"), "utf8");
  const { status, stderr } = await signet(hidden(), ["edit", "db.yaml", "--cert", CERTIFICATE]);
  expect([status, stderr]).toEqual([
    1,
    "signet: error: this machine has no in-memory file system for plaintext\n" +
      "signet: hint: use `signet set`, which needs none, or --allow-disk for a file on disk, which is overwritten and removed afterwards\n",
  ]);
  expect(readFileSync(join(folder, "db.yaml"), "utf8")).toBe(before);
});

it("edit --allow-disk works on the disk, and leaves nothing there", async () => {
  const args = ["edit", "db.yaml", "--cert", CERTIFICATE, "--allow-disk"];
  const { status, stderr } = await signet(hidden(), args);
  expect([status, stderr]).toEqual([0, expect.stringContaining("demo/db: set token")]);
  for (const name of ["tmp", "run", "shm"]) expect(readdirSync(join(folder, name))).toEqual([]);
});
