// What is left where commands are killed at any moment: files old or new and whole, no plaintext.

import { type ChildProcess, spawn } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeFiles } from "../../host/writefiles.ts";
import { formatManifests, parseManifests } from "../../shared/manifest/manifest.ts";
import { parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { asObject } from "../../shared/kubernetes/object.ts";
import { cleanEnvironment, waitFor } from "../cluster/program.ts";
import { KEYS, Workplace } from "./workplace.ts";

/** In every value, and nowhere else: where it is found on the disk, plaintext is. */
const MARK = "correct-horse-battery";

let place: Workplace;
beforeEach(() => {
  place = new Workplace();
});
afterEach(() => {
  place.remove();
});

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
  /** The first that it prints. */
  readonly said: Promise<void>;
}

function run(args: readonly string[], env: Record<string, string> = {}): Run {
  const child = spawn(process.execPath, [resolve("dist/signet.cjs"), ...args], {
    cwd: place.folder,
    env: cleanEnvironment({ ...place.env, ...env }),
    stdio: ["ignore", "pipe", "ignore"],
  });
  // What it started may go on for a moment and hold the pipe: its own end counts.
  const ended = new Promise<number | NodeJS.Signals>((done) => {
    child.once("exit", (status, signal) => {
      done(status ?? signal ?? 1);
    });
  });
  const said = new Promise<void>((done) => {
    child.stdout.once("data", () => {
      done();
    });
    child.once("exit", () => {
      done();
    });
  });
  return { child, ended, said };
}

/** How long a run takes that nobody disturbs. */
async function timeOf(args: readonly string[]): Promise<number> {
  const start = performance.now();
  expect(await run(args).ended).toBe(0);
  return performance.now() - start;
}

/** `count` moments of a time, the first right after its beginning, the last behind its end. */
const moments = (count: number, ms: number): number[] =>
  Array.from({ length: count }, (_, index) => ((index + 1) * ms * 1.05) / count);

async function killedAfter(args: readonly string[], ms: number): Promise<void> {
  const { child, ended } = run(args);
  await Promise.race([sleep(ms), ended]);
  child.kill("SIGKILL");
  await ended;
}

const temporaries = (folder: string): string[] =>
  readdirSync(join(place.folder, folder)).filter((name) => name.endsWith(".tmp"));

function removeTemporaries(folder: string): void {
  for (const name of temporaries(folder)) rmSync(join(place.folder, folder, name));
}

/** `count` Secrets in clear text, a file each. */
function writeSecrets(folder: string, count: number): void {
  for (let index = 0; index < count; index++) {
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: `s${index}`, namespace: "shop" },
      stringData: { a: `${MARK}-${index}` },
    };
    place.write(`${folder}/s${index}.yaml`, formatManifests([secret], "yaml"));
  }
}

/** @throws Error where it is no whole SealedSecret */
function checkSealed(text: string): void {
  const [document, ...others] = parseManifests(text);
  expect(others).toEqual([]);
  const object = asObject(document?.value ?? null);
  if (object === null) throw new Error("not a SealedSecret");
  expect(parseSealedSecret(object).encryptedData.size).toBe(1);
  expect(text.endsWith("\n")).toBe(true);
}

describe("kill -9", () => {
  it("leaves no plaintext of an edit, at any of 40 moments, and the file is old or new", async () => {
    const path = await place.seal("dev", "db", { a: "1", b: "2" });
    const before = place.read(path);
    // What it prints says when it has saved. A copy beside the file is what many editors leave.
    const script = join(place.env["EDITOR_NOTES"] ?? "", "kill.sh");
    writeFileSync(
      script,
      'sed -i "s/<sealed: a>/$MARK/" "$1"; cp "$1" "$1~"; sleep 0.03; [ -z "$STAY" ] || while [ -e "$1" ]; do sleep 0.05; done; echo saved\n',
    );
    const env = { EDITOR: `sh ${script}`, MARK };
    const args = ["edit", path];
    const start = performance.now();
    const whole = run(args, env);
    await whole.said;
    const untilSaved = performance.now() - start;
    expect(await whole.ended).toBe(0);
    const afterwards = performance.now() - start - untilSaved;
    expect(place.read(path)).not.toBe(before);
    const outcomes = new Set<string>();
    const check = async (): Promise<void> => {
      await waitFor("nothing in memory", () => place.inMemory().length === 0);
      expect(place.filesWith(MARK)).toEqual([]);
      const after = place.read(path);
      outcomes.add(after === before ? "old" : "new");
      // All but the value and its stamp, if it changed at all, is as it was.
      const lines = (text: string): string[] =>
        text.split("\n").filter((line) => !line.startsWith("    a: "));
      expect(lines(after)).toEqual(lines(before));
      for (const name of temporaries("dev/shop")) {
        expect(name).toMatch(/^\.db\.yaml\.\d+-[0-9a-z]+\.tmp$/);
      }
      place.write(path, before);
    };
    place.write(path, before);
    for (const ms of moments(20, untilSaved)) {
      const { child, ended } = run(args, env);
      await Promise.race([sleep(ms), ended]);
      child.kill("SIGKILL");
      await ended;
      await check();
    }
    for (const ms of moments(20, afterwards)) {
      const { child, ended, said } = run(args, env);
      await said;
      await Promise.race([sleep(ms), ended]);
      child.kill("SIGKILL");
      await ended;
      await check();
    }
    expect(outcomes).toContain("old");
    // While the editor is open, for sure.
    const { child, ended } = run(args, { ...env, STAY: "1" });
    await waitFor("the editor's copy", () =>
      place.inMemory().some((name) => existsSync(join(place.memory, name, "secret.yaml~"))),
    );
    child.kill("SIGKILL");
    await ended;
    await check();
    // Run again, it does what it was to do.
    expect(await run(args, env).ended).toBe(0);
    expect(await place.open(path)).toEqual({ db: { a: MARK, b: "2" } });
  });

  it("leaves each file old or new where values are sealed anew, and the next run ends the work", async () => {
    const count = 60;
    writeSecrets("dev/shop", count);
    expect((await place.signet(["seal", "--in-place", "dev"])).status).toBe(0);
    const [old, now] = ["test/fixtures/cert.pem", "test/fixtures/other-cert.pem"];
    place.write("certificates/dev.pem", readFileSync(now, "utf8") + readFileSync(old, "utf8"));
    const folder = join(place.folder, "dev/shop");
    const original = join(place.root, "original");
    cpSync(folder, original, { recursive: true });
    const isOld = (name: string): boolean =>
      readFileSync(join(folder, name), "utf8") === readFileSync(join(original, name), "utf8");
    const args = ["reseal", "--recovery-key", KEYS.dev];
    const ms = await timeOf(args);
    let between = 0;
    for (const moment of moments(20, ms)) {
      cpSync(original, folder, { recursive: true });
      await killedAfter(args, moment);
      const names = readdirSync(original);
      for (const name of names) checkSealed(place.read(join("dev/shop", name)));
      const done = names.filter((name) => !isOld(name)).length;
      if (done > 0 && done < count) between++;
      expect(place.filesWith(MARK)).toEqual([]);
      // Each temporary that is left is sealed, whole or not, and belongs to a file that is still old.
      for (const name of temporaries("dev/shop")) {
        expect(isOld(/^\.(s\d+\.yaml)\.\d+-[0-9a-z]+\.tmp$/.exec(name)?.[1] ?? "")).toBe(true);
      }
      removeTemporaries("dev/shop");
      if (between !== 1) continue;
      // From where it was killed, half done.
      const { status, stdout } = await place.signet([...args, "--json"]);
      expect(status).toBe(0);
      const { resealed } = JSON.parse(stdout) as { resealed: unknown[] };
      expect(resealed).toHaveLength(count - done);
    }
    expect((await place.signet(args)).status).toBe(0);
    expect((await place.signet(args)).stdout).toMatch(/^Every value is sealed with/);
    const opened = await place.signet(["unseal", folder, "--recovery-key", KEYS.prod]);
    expect(opened.status, opened.stderr).toBe(0);
    const values = parseManifests(opened.stdout).map(({ value }) => {
      const { data } = value as unknown as { data: { a: string } };
      return Buffer.from(data.a, "base64").toString();
    });
    expect(values.sort()).toEqual(
      Array.from({ length: count }, (_, index) => `${MARK}-${index}`).sort(),
    );
  });

  it("leaves each file old or new where a folder is sealed in place", async () => {
    const count = 60;
    writeSecrets("dev/shop", count);
    const original = join(place.folder, "../original");
    cpSync(join(place.folder, "dev/shop"), original, { recursive: true });
    const args = ["seal", "--in-place", "dev"];
    const ms = await timeOf(args);
    for (const moment of moments(15, ms)) {
      rmSync(join(place.folder, "dev"), { recursive: true });
      cpSync(original, join(place.folder, "dev/shop"), { recursive: true });
      await killedAfter(args, moment);
      for (const name of readdirSync(original)) {
        const text = place.read(join("dev/shop", name));
        if (text !== readFileSync(join(original, name), "utf8")) checkSealed(text);
      }
      for (const name of temporaries("dev/shop")) {
        expect(place.read(join("dev/shop", name))).not.toContain(MARK);
      }
    }
    expect(await run(args).ended).toBe(0);
    rmSync(original, { recursive: true });
    expect(place.filesWith(MARK)).toEqual([]);
  });

  it("leaves nothing beside the file where Secrets are opened into it", async () => {
    writeSecrets("dev/shop", 150);
    const opened = join(place.folder, "opened.yaml");
    await place.signet(["seal", "--in-place", "dev"]);
    const args = ["unseal", "dev", "--recovery-key", KEYS.dev, "-w", "opened.yaml"];
    const ms = await timeOf(args);
    const whole = readFileSync(opened, "utf8");
    expect(whole.match(/kind: Secret/g)).toHaveLength(150);
    // Most of the time is spent before the first byte is written: the end is looked at closely.
    for (const moment of [
      ...moments(8, ms),
      ...moments(17, ms * 0.3).map((each) => ms * 0.75 + each),
    ]) {
      rmSync(opened, { force: true });
      await killedAfter(args, moment);
      await waitFor("no temporary file", () => temporaries(".").length === 0);
      if (existsSync(opened)) expect(readFileSync(opened, "utf8")).toBe(whole);
      const base64 = Buffer.from(MARK).toString("base64").slice(0, -4);
      for (const text of [MARK, base64]) {
        for (const file of place.filesWith(text)) expect(file).toBe(opened);
      }
    }
  });

  it("leaves temporary files to the next run, which removes those of processes that are gone", async () => {
    writeSecrets("dev/shop", 1);
    const folder = join(place.folder, "dev/shop");
    const long = Date.now() - 120_000;
    const plant = (name: string): string => {
      writeFileSync(join(folder, name), "");
      return name;
    };
    const gone = 4_194_304;
    plant(`.s0.yaml.${gone}-${long.toString(36)}.tmp`);
    const kept = [
      plant(`.s0.yaml.${gone}-${Date.now().toString(36)}.tmp`),
      plant(`.s0.yaml.${process.pid}-${long.toString(36)}.tmp`),
      plant("other.tmp"),
    ];
    expect(await run(["seal", "--in-place", "dev"]).ended).toBe(0);
    expect(readdirSync(folder).sort()).toEqual([...kept, "s0.yaml"].sort());
  });
});

describe("a signal that can be caught", () => {
  it("takes effect once what is being written is written", async () => {
    const heard: string[] = [];
    const listener = (): void => {
      heard.push(place.read("b"));
    };
    process.on("SIGHUP", listener);
    try {
      const writing = writeFiles([
        { path: join(place.folder, "a"), root: undefined, text: "a" },
        { path: join(place.folder, "b"), root: undefined, text: "b" },
      ]);
      process.kill(process.pid, "SIGHUP");
      await writing;
      await waitFor("the signal", () => heard.length > 0);
      expect(heard).toEqual(["b"]);
    } finally {
      process.removeListener("SIGHUP", listener);
    }
  });

  it.for(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "%s leaves no temporary file",
    async (signal) => {
      writeSecrets("dev/shop", 60);
      await place.signet(["seal", "--in-place", "dev"]);
      copyFileSync("test/fixtures/other-cert.pem", join(place.folder, "certificates/dev.pem"));
      const args = ["reseal", "--recovery-key", KEYS.dev];
      for (;;) {
        const { child, ended } = run(args);
        while (child.exitCode === null && temporaries("dev/shop").length === 0) await sleep(1);
        child.kill(signal);
        const end = await ended;
        expect(temporaries("dev/shop")).toEqual([]);
        if (end === 0) break;
        expect(end).toBe(signal);
      }
      expect((await place.signet(args)).stdout).toMatch(/^Every value is sealed with/);
    },
  );
});
