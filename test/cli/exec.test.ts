// `signet exec` while it runs: signals, the files in memory, and what is left after kill -9. Runs the
// built program, dist/signet.cjs.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { cleanEnvironment, runToEnd, waitFor } from "../cluster/program.ts";

const SECRET =
  "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: demo}\n" +
  "stringData: {token: MARK-of-the-test, app.conf: MARK-of-the-test}\n";

let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "exec-"));
  const seal = [process.execPath, resolve("dist/signet.cjs"), "seal"];
  const cert = ["--cert", resolve("test/fixtures/cert.pem"), "-w", "db.yaml"];
  const made = await runToEnd([...seal, ...cert], { stdin: SECRET, cwd: folder });
  expect(made.status, made.stderr).toBe(0);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Starts `signet exec` of a shell script; resolves when the script has made the file `ready`. */
async function start(script: string) {
  const key = ["--recovery-key", resolve("test/fixtures/key.pem")];
  const args = ["exec", "db.yaml", ...key, "--files", "--", "sh", "-c", script];
  const child = spawn(process.execPath, [resolve("dist/signet.cjs"), ...args], {
    cwd: folder,
    env: cleanEnvironment(),
    stdio: ["pipe", "ignore", "inherit"],
  });
  const ended = new Promise<number | string | null>((done) => {
    child.once("close", (status, signal) => {
      done(status ?? signal);
    });
  });
  await waitFor("the program to run", () => existsSync(join(folder, "ready")));
  return { child, ended };
}

const WAIT = 'echo "$SIGNET_FILES" > folder; echo $$ > pid; touch ready; read -r _';

const inMemory = (): string => readFileSync(join(folder, "folder"), "utf8").trim();

it("passes signals on, and ends with what the program makes of them", async () => {
  const { child, ended } = await start(
    `trap 'exit 9' TERM; ${WAIT.replace("read -r _", "")} while :; do sleep 0.05; done`,
  );
  expect(existsSync(inMemory())).toBe(true);
  child.kill("SIGTERM");
  expect(await ended).toBe(9);
  expect(existsSync(inMemory())).toBe(false);
});

it("no argument of a process holds a value, and no file below the working folder", async () => {
  const { child, ended } = await start(WAIT);
  const holding = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("MARK-of-the-test");
      } catch {
        return false;
      }
    });
  expect(holding).toEqual([]);
  const texts = readdirSync(folder).map((name) => readFileSync(join(folder, name), "utf8"));
  expect(texts.filter((text) => text.includes("MARK"))).toEqual([]);
  child.stdin.end();
  await ended;
});

it("leaves nothing after kill -9", async () => {
  const { child, ended } = await start(WAIT);
  const left = inMemory();
  expect(readFileSync(join(left, "app.conf"), "utf8")).toBe("MARK-of-the-test");
  child.kill("SIGKILL");
  expect(await ended).toBe("SIGKILL");
  await waitFor("the folder to go", () => !existsSync(left));
});

it("is refused where no folder is in memory", async () => {
  writeFileSync(join(folder, "none"), "");
  const key = resolve("test/fixtures/key.pem");
  const signet = [process.execPath, resolve("dist/signet.cjs"), "exec", "db.yaml"];
  const command = [...signet, "--recovery-key", key, "--files", "--", "touch", "ran"];
  // A mount namespace of its own, in which /dev/shm is on the disk.
  const hide = ["unshare", "-rm", "sh", "-c", 'mount --bind "$0" /dev/shm && exec "$@"', folder];
  const { status, stderr } = await runToEnd([...hide, ...command], { cwd: folder });
  expect([status, existsSync(join(folder, "ran"))]).toEqual([1, false]);
  expect(stderr).toContain("this machine has no in-memory file system for plaintext");
});
