// Builds the commands, which run for milliseconds: packs of modules, each one file with V8's code
// cache next to it, and a launcher that loads one of them.
// docs/decisions/2026-11-one-bundle-and-compiled-code.md
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { build, transform } from "esbuild";
import { withoutChildProcess, withoutUnusedKubernetes } from "./plugins.mjs";

/**
 * The commands, and the packs of each: all that a common job needs, as one file. `word`: the first
 * argument that asks for a pack; the one that has none is for everything else. People wait for the
 * pre-commit hook with every commit, so it has its own. `modules`: what the entry loads for the job.
 */
const COMMANDS = {
  signet: {
    entry: "cli/signet.ts",
    packs: {
      signet: { modules: ["cli/commands/seal/seal.ts"] },
      "signet-git": { word: "git", modules: ["cli/commands/git/git.ts", "cli/stagedcheck.ts"] },
    },
  },
  kubeseal: {
    entry: "cli/kubeseal.ts",
    packs: { kubeseal: { modules: ["cli/kubeseal/sealmode.ts"] } },
  },
};

/** CommonJS's own parameters, and the helpers that esbuild would otherwise add to every module. */
const PARAMETERS = "module,exports,require,__export,__toCommonJS,__toESM";

/** An ES module as the body of a function with these parameters. */
async function asCommonJs(text) {
  const options = { format: "cjs", platform: "node", target: "node20" };
  const { code } = await transform(text, { ...options, supported: { "dynamic-import": false } });
  // Only helpers come before the exports. They take 400 bytes, more than the rest of some modules.
  const start = code.indexOf("var stdin_exports = {};");
  const helpers = [...code.slice(0, Math.max(start, 0)).matchAll(/^var (__\w+) =/gm)];
  const body = start === -1 ? code : code.slice(start);
  const isCovered = helpers.every(
    ([, name]) => PARAMETERS.includes(name) || !body.includes(`${name}(`),
  );
  const minified = await transform(isCovered ? body : code, { ...options, minify: true });
  // The last statement is only for Node's loader of ES modules, which never reads these.
  return minified.code.replace(/0&&\(module\.exports=\{[^{}]*\}\);?\s*$/, "");
}

/** Builds the commands into `outdir`. `split`: options of esbuild that share code between entries. */
export async function buildCommands(outdir, split) {
  const { outputFiles, metafile } = await build({
    ...split,
    entryPoints: Object.entries(COMMANDS).map(([out, { entry }]) => ({ in: entry, out })),
    outdir,
    write: false,
    metafile: true,
    plugins: [withoutChildProcess, withoutUnusedKubernetes],
  });
  const modules = new Map();
  for (const { path, text } of outputFiles) {
    modules.set(basename(path), `function(${PARAMETERS}){${await asCommonJs(text)}}`);
  }
  const folder = join(outdir, "cli");
  await mkdir(folder, { recursive: true });
  const packed = [];
  for (const command of Object.keys(COMMANDS)) {
    const packs = packsOf(command, metafile.outputs);
    for (const pack of packs) {
      const members = pack.names.map((name) => `${JSON.stringify(name)}:${modules.get(name)}`);
      const code = `({${members.join(",\n")}})`;
      pack.source = createHash("sha256").update(code).digest("hex").slice(0, 16);
      await writeFile(join(folder, `${pack.file}.js`), code);
    }
    await writeFile(join(outdir, `${command}.cjs`), launcher(command, packs));
    await chmod(join(outdir, `${command}.cjs`), 0o755);
    packed.push(...packs.map(({ names }) => new Set(names)));
  }
  for (const [name, code] of modules) {
    if (packed.every((names) => names.has(name)) || basename(name, ".js") in COMMANDS) continue;
    await writeFile(join(folder, name), `(${code})`);
  }
  return metafile;
}

/** The packs of a command, each with the names of its modules and of all that they import. */
function packsOf(command, outputs) {
  const all = Object.entries(outputs).map(([path, output]) => ({
    ...output,
    name: basename(path),
  }));
  const importedBy = (name) =>
    all
      .find((output) => output.name === name)
      .imports.filter(({ kind, external }) => kind === "import-statement" && !external)
      .map(({ path }) => basename(path));
  return Object.entries(COMMANDS[command].packs).map(([file, { word, modules }]) => {
    const asked = modules.map((module) => all.find(({ entryPoint }) => entryPoint === module).name);
    const names = new Set([`${command}.js`, ...asked]);
    for (const name of names) for (const imported of importedBy(name)) names.add(imported);
    return { file, word, names: [...names], usual: asked.at(-1) };
  });
}

/**
 * What starts a command. `file`: a pack's, in cli/, without its ending. `source`: a hash of its code,
 * which the user's cache of compiled code is named after. `usual`: a run without this module
 * compiles too little to be kept.
 */
const launcher = (command, packs) => `#!/usr/bin/env node
"use strict";
const { readFileSync } = require("node:fs");
const { basename, join } = require("node:path");
const { Script } = require("node:vm");
const path = (name) => join(__dirname, "cli", name);
const compile = (name, cachedData) =>
  new Script(readFileSync(path(name), "utf8"), { filename: path(name), cachedData });
const packs = ${JSON.stringify(packs.map((pack) => ({ ...pack, names: undefined })))};
const { file, source, usual } = packs.find(({ word }) => word === process.argv[2]) ?? packs[0];
const builder = "${process.version} ${process.arch}";
const cache =
  process.version + " " + process.arch === builder
    ? { read: () => readFileSync(path(file + ".cache")) }
    : require("./cli/codecache.cjs").codeCache(file, source, process.env);
let compiled;
try {
  compiled = cache?.read();
} catch {}
// V8 refuses what another version of it compiled, and compiles again.
const pack = compile(file + ".js", compiled);
if (pack.cachedDataRejected !== false && cache?.write !== undefined) {
  process.on("exit", () => {
    if (loaded.has(usual)) cache.write(pack.createCachedData());
  });
}
const modules = pack.runInThisContext();
const define = Object.defineProperty;
const __export = (target, all) => {
  for (const name in all) define(target, name, { get: all[name], enumerable: true });
};
const __toCommonJS = (exports) => define(exports, "__esModule", { value: true });
const __toESM = (module) => {
  if (module.__esModule) return module;
  const namespace = {};
  for (const name of Object.getOwnPropertyNames(module)) {
    define(namespace, name, { get: () => module[name], enumerable: true, configurable: true });
  }
  return define(namespace, "default", { value: module, enumerable: true });
};
const loaded = new Map();
const load = (name) => {
  if (!loaded.has(name)) {
    const module = { exports: {} };
    loaded.set(name, module);
    const run = modules[name] ?? compile(name).runInThisContext();
    run(module, module.exports, find, __export, __toCommonJS, __toESM);
  }
  return loaded.get(name).exports;
};
const find = (id) => (id.startsWith(".") ? load(basename(id)) : require(id));
load("${command}.js");
`;

/** Runs the most common job of each pack once, and saves V8's code cache. */
export async function keepCompiled(outdir) {
  const scratch = await mkdtemp(join(tmpdir(), "kube-signet-build-"));
  try {
    const folders = ["--from", scratch, "--to", join(scratch, "out"), "--keys", join(scratch, "k")];
    const certificate = join(scratch, "cert.pem");
    const key = ["--key-size=2048", "--write-cert", certificate];
    runNode([join(outdir, "signet-controller.mjs"), "standalone", ...folders, ...key]);
    const runKeeping = async (command, args, options) => {
      const once = join(outdir, "once.cjs");
      const text = await readFile(join(outdir, `${command}.cjs`), "utf8");
      await writeFile(once, `${text}${KEEP}`);
      const printed = runNode([once, ...args], options);
      await rm(once);
      return printed;
    };
    const how = ["--cert", certificate];
    const sealed = await runKeeping("signet", ["seal", ...how], { input: SECRET });
    await runKeeping("kubeseal", how, { input: SECRET });
    const cwd = await stagedRepository(scratch, sealed);
    if (cwd !== null) await runKeeping("signet", ["git", "check"], { cwd });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

const KEEP = `process.on("exit", () => {
  require("node:fs").writeFileSync(path(file + ".cache"), pack.createCachedData());
});`;

const SECRET =
  "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\nstringData: {c: d}\n";

/** A repository with a staged SealedSecret; null without Git, and then the check is not compiled. */
async function stagedRepository(scratch, sealed) {
  const folder = join(scratch, "repository");
  await mkdir(folder);
  await writeFile(join(folder, "a.yaml"), sealed);
  await writeFile(join(folder, "b.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n");
  await cp(join(scratch, "cert.pem"), join(folder, "cert.pem"));
  await writeFile(
    join(folder, "signet.yaml"),
    'clusters: { a: { certificate: cert.pem } }\npaths: { "*.yaml": a }\n',
  );
  const git = (...args) => spawnSync("git", args, { cwd: folder, env: ENVIRONMENT }).status === 0;
  return git("init", "-q") && git("add", ".") ? folder : null;
}

/** Without what a hook of Git that builds this passes on to Git, and without the user's settings of it. */
const ENVIRONMENT = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_"))),
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
};

function runNode(args, options) {
  const run = spawnSync(process.execPath, args, { ...options, env: ENVIRONMENT, encoding: "utf8" });
  if (run.status !== 0) throw new Error(`${args.join(" ")}: ${run.stderr}`);
  return run.stdout;
}
