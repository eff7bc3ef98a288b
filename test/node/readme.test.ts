// The commands of the README, copied one by one: a machine with an empty home, the packed commands,
// kubectl and Helm, and a cluster of one real node with nothing in it.
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { dump, load } from "js-yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Block, commandsOf, readMarkdown } from "../cli/markdown.ts";
import { comparable, patternOf } from "../cli/shown.ts";
import { commandInTerminal, ENTER, type Terminal } from "../cli/terminal.ts";
import { partPath } from "../parts/parts.ts";
import type { ControlPlane, KubeObject } from "../cluster/controlplane.ts";
import { cleanEnvironment, runToEnd, startProgram, waitFor } from "../cluster/program.ts";
import { type RunningController, startCluster } from "../cluster/signet.ts";
import { slowness } from "../cluster/slowness.ts";
import { type RealCluster, startRealCluster } from "./cluster.ts";
import { controllerImage } from "./images.ts";
import { scriptPod, untilSettled } from "./pods.ts";

/** Every other command of the README is run. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "npm ci": "downloads packages; .ci/run begins with it",
  "npm start": "builds in a checkout; .ci/run runs it",
  "docker build --build-arg COMMIT=$(git rev-parse HEAD) --tag registry.example.org/signet-controller:0.1.0 .":
    "no Docker here; the node is given the image, which is made by the same Dockerfile",
  "docker push registry.example.org/signet-controller:0.1.0": "no registry here",
};

const PASSPHRASE = `a passphrase of some length${ENTER}`;

/** What a person answers to what a command asks. */
const ANSWERS: readonly (readonly [RegExp, ...(readonly [string, string])[]])[] = [
  [/^signet keys backup/, ["Passphrase", PASSPHRASE], ["Repeat", PASSPHRASE]],
  [/^signet keys restore/, ["Passphrase of keys.age:", PASSPHRASE], ["Restore 1 key", `y${ENTER}`]],
  [
    /^signet new db -n shop --cluster all$/,
    ["Type:", ENTER],
    ["Name of a value:", `password${ENTER}`],
    ["Is password the same", ENTER],
    ["Value of password:", ENTER],
    ["password:", `correct-horse${ENTER}`],
    ["Name of another value", ENTER],
  ],
  [/^signet set prod\/shop\/db.yaml password$/, ["Value of password:", `battery-staple${ENTER}`]],
];

/** What those two would have made: the image where the cluster's nodes find it. */
const IMAGE = await controllerImage({ name: "registry.example.org/signet-controller:0.1.0" });

/** Programs that the README takes for granted. */
const SCRIPTS: Readonly<Record<string, string>> = {
  pwgen: "echo a-password-of-pwgen",
  // A person who gives the first sealed item another value.
  editor: `sed -i "0,/'<sealed: [a-z-]*>'/s//'another value'/" "$1"`,
};

/** Begins the heading of the chapter that is timed. */
const FIVE = "## Five minutes";
let tookMs = 0;

const README = readFileSync("README.md", "utf8");
const { blocks, prose } = readMarkdown(README);
const SHELL = blocks.filter(({ language }) => language === "sh" || language === "console");

/** The heading that a block is below. */
function chapterOf({ line }: Block): string {
  return (
    prose
      .split("\n")
      .slice(0, line)
      .findLast((each) => each.startsWith("## ")) ?? ""
  );
}

/** As a person copies it: on one line, and without the remark behind it. */
function copied(command: string): string {
  return command.replaceAll(/\\\n\s*/g, "").replace(/\s+#\s.*$/, "");
}

let base = "";
let env: Record<string, string> = {};
let cluster: RealCluster;
const others: { plane: ControlPlane; controller: RunningController }[] = [];

/** The kubeconfig of a person with several clusters; the first is the current one. */
async function writeKubeconfig(planes: Readonly<Record<string, ControlPlane>>): Promise<void> {
  interface Named {
    name: string;
    context?: object;
  }
  type Config = Record<"clusters" | "users" | "contexts", Named[]>;
  const merged: Config = { clusters: [], users: [], contexts: [] };
  for (const [name, plane] of Object.entries(planes)) {
    const config = load(readFileSync(await plane.kubeconfig(), "utf8")) as Config;
    for (const part of ["clusters", "users", "contexts"] as const) {
      for (const entry of config[part]) {
        const context = { cluster: name, user: name };
        merged[part].push({ ...entry, name, ...(part === "contexts" ? { context } : {}) });
      }
    }
  }
  mkdirSync(join(base, "home/.kube"));
  const text = dump({ apiVersion: "v1", kind: "Config", "current-context": "prod", ...merged });
  writeFileSync(join(base, "home/.kube/config"), text, { mode: 0o600 });
}

/** What is published of a checkout, built: `npm pack` need not build it again. */
function makeCheckout(folder: string): void {
  const { files } = JSON.parse(readFileSync("package.json", "utf8")) as { files: string[] };
  for (const path of ["package.json", "charts", "deploy", ...files]) {
    cpSync(path, join(folder, path), { recursive: true });
  }
}

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "signet-readme-"));
  for (const name of ["home", "bin", "checkout"]) mkdirSync(join(base, name));
  const bin = join(base, "bin");
  for (const name of ["kubectl", "helm"] as const) symlinkSync(partPath(name), join(bin, name));
  for (const [name, text] of Object.entries(SCRIPTS)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  const prefix = join(base, "home/npm");
  env = {
    PATH: [join(prefix, "bin"), bin, dirname(process.execPath), process.env["PATH"] ?? ""].join(
      ":",
    ),
    HOME: join(base, "home"),
    TMPDIR: base,
    EDITOR: "editor",
    ...{ npm_config_prefix: prefix, npm_config_offline: "true", npm_config_ignore_scripts: "true" },
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "A Developer",
    GIT_AUTHOR_EMAIL: "developer@example.org",
    GIT_COMMITTER_NAME: "A Developer",
    GIT_COMMITTER_EMAIL: "developer@example.org",
  };
  makeCheckout(join(base, "checkout"));
  cluster = await startRealCluster({ images: [IMAGE] });
  others.push(await startCluster(), await startCluster());
  const [dev, fresh] = others as [(typeof others)[0], (typeof others)[0]];
  await writeKubeconfig({ prod: cluster.plane, "kind-dev": dev.plane, "new-cluster": fresh.plane });
});

afterAll(async () => {
  await cluster.stop();
  for (const { controller, plane } of others) {
    await controller.stop();
    await plane.stop();
  }
  await rm(base, { recursive: true, force: true });
});

/** The checkout until the README leaves it, and then an empty repository for each chapter. */
function folderOf(block: Block): string {
  const chapter = chapterOf(block);
  if (/^## (Install|Five minutes)/.test(chapter)) return join(base, "checkout");
  const folder = join(base, chapter.replaceAll(/\W+/g, "-"));
  if (existsSync(folder)) return folder;
  mkdirSync(folder);
  execFileSync("git", ["init", "-q", "-b", "main", "."], { cwd: folder, env });
  return folder;
}

/** In a terminal, as a person who answers what is asked. */
async function typeCommand(command: string, cwd: string): Promise<void> {
  const terminal: Terminal = commandInTerminal(["sh", "-c", command], { cwd, env });
  try {
    const [, ...answers] = ANSWERS.find(([pattern]) => pattern.test(command)) ?? [undefined];
    for (const [question, keys] of answers) await terminal.answer(question, keys);
    let status: number | undefined;
    void terminal.exited.then((ended) => (status = ended));
    // One that asks something else never ends: then the screen tells more than the wait.
    await waitFor("its end", () => status !== undefined).catch(() => undefined);
    expect(status, `${command}\n${terminal.screen()}`).toBe(0);
  } finally {
    terminal.close();
  }
}

async function runBlock(block: Block): Promise<void> {
  const cwd = folderOf(block);
  for (const { command: text, output } of commandsOf(block)) {
    const command = copied(text);
    if (command in NOT_RUN) continue;
    if (command.startsWith("signet-controller standalone")) await watchFolders(command);
    else if (output === undefined) await typeCommand(command, cwd);
    else {
      const { stdout } = await runToEnd(["sh", "-c", `{ ${command}\n} 2>&1`], { cwd, env });
      expect(comparable(stdout), command).toMatch(patternOf(output));
    }
    // What the cluster does, once something is installed in it.
    if (command.startsWith("helm ")) await untilSettled(cluster);
  }
}

/** Runs the controller over folders, whose paths are those of a machine: the test's own are mounted there. */
async function watchFolders(command: string): Promise<void> {
  const machine = join(base, "machine");
  for (const name of ["srv/config", "etc", "run"]) {
    mkdirSync(join(machine, name), { recursive: true });
  }
  const mounted = ["srv", "etc", "run"].map((name) => `mount --bind "$0/${name}" /${name}`);
  const line = `${mounted.join(" && ")} && exec ${command}`;
  const program = startProgram(["unshare", "-m", "sh", "-c", line, machine], {
    env: cleanEnvironment(env),
  });
  try {
    const isWatching = (): boolean => program.logs().includes("msg=watching");
    await waitFor("the watch", () => isWatching() || !program.running());
    expect(isWatching(), program.logs()).toBe(true);
    const keys = join(machine, "etc/signet/keys");
    const [name = ""] = readdirSync(keys).filter((each) => each.endsWith(".yaml"));
    const key = load(readFileSync(join(keys, name), "utf8")) as KubeObject;
    const certificate = Buffer.from(key.data?.["tls.crt"] ?? "", "base64");
    writeFileSync(join(machine, "cert.pem"), certificate);
    const seal = `signet new db -n shop --cert cert.pem --generate password=32 --output srv/config/db.yaml`;
    await typeCommand(seal, machine);
    const password = await waitFor("the password", () =>
      existsSync(join(machine, "run/secrets/shop/_env/db"))
        ? readFileSync(join(machine, "run/secrets/shop/db/password"), "utf8")
        : undefined,
    );
    expect(password).toMatch(/^\S{32}$/);
  } finally {
    await program.stop();
  }
}

describe("the README", { concurrent: false }, () => {
  it.each(SHELL.map((block) => ({ block, title: `line ${block.line}, ${chapterOf(block)}` })))(
    "does what it says: $title",
    async ({ block }) => {
      const startedMs = performance.now();
      await runBlock(block);
      if (chapterOf(block).startsWith(FIVE)) tookMs += performance.now() - startedMs;
    },
  );

  it("needs less than its five minutes, from nothing to a mounted Secret", async () => {
    const { plane } = cluster;
    const startedMs = performance.now();
    const script = `const secret = require("node:fs").readFileSync("/secret/password", "utf8");
      console.log(secret.length + " characters"); setInterval(() => {}, 1000);`;
    const volumes = [{ name: "secret", secret: { secretName: "db" } }];
    const volumeMounts = [{ name: "secret", mountPath: "/secret", readOnly: true }];
    const place = { namespace: "demo", name: "app", image: IMAGE.name };
    await plane.apply(
      scriptPod({ ...place, script, container: { volumeMounts }, spec: { volumes } }),
    );
    const log = await plane.waitFor("the pod's log", async () => {
      const text = await cluster.kubectl(["logs", "--namespace=demo", "app"]).catch(() => "");
      return text !== "" && text;
    });
    expect(log).toBe("32 characters\n");
    tookMs += performance.now() - startedMs;
    console.log(`the README's five minutes took ${Math.round(tookMs / 1000)} s`);
    expect(tookMs).toBeLessThan(300_000 * (await slowness()));
  });

  it("has each of the commands that are not run here", () => {
    const all = SHELL.flatMap(commandsOf).map(({ command }) => copied(command));
    expect(Object.keys(NOT_RUN).filter((command) => !all.includes(command))).toEqual([]);
  });
});
