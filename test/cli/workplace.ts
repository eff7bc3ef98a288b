// A repository with two clusters for tests of commands, its keys, and an editor that does what a
// test says.

import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { type Finished, runToEnd } from "../cluster/program.ts";

export const KEYS = {
  dev: resolve("test/fixtures/key.pem"),
  prod: resolve("test/fixtures/other-key.pem"),
};

const PROJECT = `clusters:
  dev: {}
  prod: {}
paths:
  "dev/{namespace}/{name}.yaml": dev
  "prod/{namespace}/{name}.yaml": prod
`;

/** What an editor script saw when it was opened. */
export interface Seen {
  readonly path: string;
  readonly text: string;
  readonly fileMode: number;
  readonly folderMode: number;
  readonly folderType: number;
}

export class Workplace {
  /** Everything that a command may write to lies in it, but what is in memory. */
  readonly root = mkdtempSync(join(tmpdir(), "signet-workplace-"));
  readonly folder = join(this.root, "config");
  /** A separate folder in memory, so that anything left in it was left by this test. */
  readonly memory = mkdtempSync("/dev/shm/signet-test-");
  /** Scripts and what they saw: apart, as these hold plaintext. */
  readonly #notes = mkdtempSync(join(tmpdir(), "signet-editor-"));

  constructor() {
    for (const each of ["tmp", "home"]) mkdirSync(join(this.root, each));
    for (const [name, from] of [
      ["dev", "cert.pem"],
      ["prod", "other-cert.pem"],
    ] as const) {
      const to = join(this.folder, `certificates/${name}.pem`);
      mkdirSync(dirname(to), { recursive: true });
      copyFileSync(join("test/fixtures", from), to);
    }
    this.write("signet.yaml", PROJECT);
  }

  get env(): Record<string, string> {
    return {
      HOME: join(this.root, "home"),
      TMPDIR: join(this.root, "tmp"),
      XDG_RUNTIME_DIR: this.memory,
      EDITOR_NOTES: this.#notes,
    };
  }

  remove(): void {
    for (const each of [this.root, this.memory, this.#notes]) {
      rmSync(each, { recursive: true, force: true });
    }
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text);
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), "utf8");
  }

  /** What is in memory and was not there when the test began. */
  inMemory(): string[] {
    return readdirSync(this.memory);
  }

  run(command: readonly string[], stdin = ""): Promise<Finished> {
    return runToEnd([...command], { stdin, cwd: this.folder, env: this.env });
  }

  signet(args: readonly string[], stdin = ""): Promise<Finished> {
    return this.run([process.execPath, resolve("dist/signet.cjs"), ...args], stdin);
  }

  /** Seals one Secret for a cluster into its file; the path. */
  async seal(
    cluster: "dev" | "prod",
    name: string,
    values: Readonly<Record<string, string | Buffer>>,
  ): Promise<string> {
    const path = `${cluster}/shop/${name}.yaml`;
    this.write(path, await this.sealed(cluster, name, values));
    return path;
  }

  async sealed(
    cluster: "dev" | "prod",
    name: string,
    values: Readonly<Record<string, string | Buffer>>,
  ): Promise<string> {
    const data = Object.entries(values).map(([item, value]) => [
      item,
      Buffer.from(value).toString("base64"),
    ]);
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace: "shop" },
      data: Object.fromEntries(data) as Record<string, string>,
    };
    const cert = `certificates/${cluster}.pem`;
    const { status, stdout, stderr } = await this.signet(
      ["seal", "--cert", cert, "--format", "yaml"],
      JSON.stringify(secret),
    );
    if (status !== 0) throw new Error(stderr);
    return stdout;
  }

  /** The values of each SealedSecret in a file, by its name and the item's. @throws Error */
  async open(path: string): Promise<Record<string, Record<string, string>>> {
    const keys = Object.values(KEYS).flatMap((key) => ["--recovery-key", key]);
    const { status, stdout, stderr } = await this.signet(["unseal", path, ...keys, "-o", "json"]);
    if (status !== 0) throw new Error(stderr);
    const secrets = parseManifests(stdout).map(({ value }) => value as unknown as OpenedSecret);
    return Object.fromEntries(
      secrets.map(({ metadata, data }) => [
        metadata.name,
        Object.fromEntries(
          Object.entries(data ?? {}).map(([item, text]) => [
            item,
            Buffer.from(text, "base64").toString("latin1"),
          ]),
        ),
      ]),
    );
  }

  /**
   * An editor: `steps` say, for each time that it is opened, what it does to the text. They are run in
   * a process of their own: nothing around them is there.
   */
  editor(...steps: readonly ((text: string, path: string) => string | undefined)[]): string {
    const script = join(this.#notes, `editor-${readdirSync(this.#notes).length}.cjs`);
    writeFileSync(
      script,
      `const { appendFileSync, readFileSync, statfsSync, statSync, writeFileSync } = require("node:fs");
       const { dirname } = require("node:path");
       const [path] = process.argv.slice(-1);
       const text = readFileSync(path, "utf8");
       const notes = process.env.EDITOR_NOTES + "/seen";
       let before = []; try { before = readFileSync(notes, "utf8").trim().split("\\n"); } catch {}
       appendFileSync(notes, JSON.stringify({ path, text, fileMode: statSync(path).mode & 0o777,
         folderMode: statSync(dirname(path)).mode & 0o777, folderType: statfsSync(path).type }) + "\\n");
       const after = [${steps.map(String).join(",\n")}][before.length](text, path);
       if (after !== undefined) writeFileSync(path, after);\n`,
    );
    return `${process.execPath} ${script}`;
  }

  seen(): Seen[] {
    const lines = readFileSync(join(this.#notes, "seen"), "utf8").trim().split("\n");
    return lines.map((line) => JSON.parse(line) as Seen);
  }

  /** The files below the root, hidden ones too, whose bytes hold a text. */
  filesWith(text: string): string[] {
    return readdirSync(this.root, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => readFileSync(path).includes(text));
  }
}

interface OpenedSecret {
  readonly metadata: { readonly name: string };
  readonly data?: Record<string, string>;
}
