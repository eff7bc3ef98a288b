// Bundles each program, so that it reads few files at start-up. `node build.mjs` builds dist/.
// `node build.mjs --run FILE.ts [ARG...]` bundles and runs one script of the project, because Node
// 20 cannot run TypeScript.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, transform } from "esbuild";
import { bundledPackages, formatBill, formatLicences } from "./build/bill.mjs";
import { withoutChildProcess, withoutUnusedKubernetes } from "./build/plugins.mjs";
import { commitOfTree } from "./build/commit.mjs";
import { buildPage } from "./build/page.mjs";
import { showProgress } from "./build/progressline.mjs";

const root = dirname(fileURLToPath(import.meta.url));
const manifest = JSON.parse(await readFile(resolve(root, "package.json"), "utf8"));
const [mode, entry, ...args] = process.argv.slice(2);
const commit = mode === "--run" ? "" : commitOfTree(root);

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  logLevel: "warning",
  define: {
    __VERSION__: JSON.stringify(manifest.version),
    __COMMIT__: JSON.stringify(commit),
  },
};

/** Code that only some commands need is imported on demand, and becomes a separate chunk. */
const split = {
  ...common,
  splitting: true,
  minify: true,
  chunkNames: "chunks/[name]-[hash]",
  alias: { punycode: "./node_modules/punycode/punycode.js" },
};

async function buildPrograms() {
  const endProgress = showProgress("building the programs, usually 5 to 20 s:");
  // Builds into a temporary folder and then renames it, so a failed build keeps the previous dist/.
  const outdir = resolve(root, `dist.${process.pid}`);
  try {
    const page = await buildPage(root);
    split.define = {
      ...common.define,
      __PAGE__: JSON.stringify(page.html),
      __PAGE_POLICY__: JSON.stringify(page.policy),
    };
    const metafiles = await Promise.all([
      buildController(outdir),
      buildCommands(outdir),
      buildLibrary(outdir),
      buildCodeCache(outdir),
    ]);
    metafiles.push(page.metafile);
    await writeBills(outdir, metafiles);
    await keepMetafiles(metafiles);
    await keepCompiled(outdir);
    await rm(resolve(root, "dist"), { recursive: true, force: true });
    await rename(outdir, resolve(root, "dist"));
  } finally {
    endProgress();
    await rm(outdir, { recursive: true, force: true });
  }
}

/** Builds the controller as plain ESM. It runs for months, so its start-up time does not matter. */
async function buildController(outdir) {
  const program = join(outdir, "signet-controller.mjs");
  const { metafile } = await build({
    ...split,
    entryPoints: [
      { in: "controller/main.ts", out: "signet-controller" },
      { in: "controller/sandboxworker.ts", out: "sandbox-worker" },
    ],
    // The mode that starts a worker is imported on demand, so it is in chunks/.
    define: { ...split.define, __SANDBOX_WORKER__: JSON.stringify("../sandbox-worker.mjs") },
    outdir,
    outExtension: { ".js": ".mjs" },
    keepNames: true,
    metafile: true,
    plugins: [withoutUnusedKubernetes],
    banner: {
      js: '#!/usr/bin/env node\nimport{createRequire as __cr}from"node:module";const require=__cr(import.meta.url);',
    },
  });
  await chmod(program, 0o755);
  return metafile;
}

/** The commands. `usual`: the module besides the entry that the most common job needs. */
const COMMANDS = {
  signet: { entry: "cli/signet.ts", usual: "cli/commands/seal/seal.ts", job: ["seal"] },
  kubeseal: { entry: "cli/kubeseal.ts", usual: "cli/kubeseal/sealmode.ts", job: [] },
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

/**
 * Builds the commands, which run for milliseconds. One file holds everything that the most common
 * job needs, with V8's code cache next to it. Compared with plain ESM chunks, this halves the
 * start-up time beyond Node's own.
 */
async function buildCommands(outdir) {
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
  const imports = new Map(
    Object.entries(metafile.outputs).map(([path, output]) => [
      basename(path),
      output.imports.filter(({ kind, external }) => kind === "import-statement" && !external),
    ]),
  );
  const folder = join(outdir, "cli");
  await mkdir(folder, { recursive: true });
  const cores = [];
  for (const [name, { usual }] of Object.entries(COMMANDS)) {
    const outputs = Object.entries(metafile.outputs);
    const [path] = outputs.find(([, { entryPoint }]) => entryPoint === usual);
    const core = new Set([`${name}.js`, basename(path)]);
    for (const each of core) for (const { path } of imports.get(each)) core.add(basename(path));
    cores.push(core);
    const packed = [...core].map((each) => `${JSON.stringify(each)}:${modules.get(each)}`);
    const code = `({${packed.join(",\n")}})`;
    await writeFile(join(folder, `${name}.js`), code);
    await writeFile(
      join(outdir, `${name}.cjs`),
      launcher(name, { source: hashOf(code), usual: basename(path) }),
    );
    await chmod(join(outdir, `${name}.cjs`), 0o755);
  }
  for (const [name, code] of modules) {
    if (!cores.every((core) => core.has(name)) && !(basename(name, ".js") in COMMANDS)) {
      await writeFile(join(folder, name), `(${code})`);
    }
  }
  return metafile;
}

/** What a launcher loads before anything else, where another Node built the command. */
async function buildCodeCache(outdir) {
  const { metafile } = await build({
    ...common,
    entryPoints: ["host/codecache.ts"],
    outfile: join(outdir, "cli/codecache.cjs"),
    format: "cjs",
    minify: true,
    metafile: true,
  });
  return metafile;
}

const LIBRARY = { library: "library/library.ts", browser: "library/browser.ts" };

/** Builds the library: ESM that keeps its names for readable stack traces, and types per entry. */
async function buildLibrary(outdir) {
  const { metafile } = await build({
    ...common,
    entryPoints: Object.entries(LIBRARY).map(([out, entry]) => ({ in: entry, out })),
    outdir,
    outExtension: { ".js": ".mjs" },
    // Both entries share one SignetError class.
    splitting: true,
    chunkNames: "library/[name]-[hash]",
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    metafile: true,
    // Only creating a key needs it, and the library does not export that.
    external: ["node-forge"],
  });
  checkImports(metafile);
  // Imported on demand, because `--run` does not need the TypeScript compiler.
  const { declarationsOf } = await import("./build/types.mjs");
  const tsconfig = resolve(root, "tsconfig.json");
  for (const [out, entry] of Object.entries(LIBRARY)) {
    const declarations = await declarationsOf(resolve(root, entry), tsconfig);
    await writeFile(join(outdir, `${out}.d.mts`), declarations);
  }
  return metafile;
}

/** @throws Error if an entry imports a package, or browser.mjs imports anything external */
function checkImports({ outputs }) {
  const reached = new Set(Object.keys(outputs).filter((path) => path.endsWith("/browser.mjs")));
  for (const path of reached) {
    for (const { path: next, external } of outputs[path].imports) {
      if (external) throw new Error(`browser.mjs imports ${next}, by ${path}`);
      reached.add(next);
    }
  }
  for (const [path, { imports }] of Object.entries(outputs)) {
    const foreign = imports.find(({ path, external }) => external && !path.startsWith("node:"));
    if (foreign !== undefined) throw new Error(`${path} imports ${foreign.path}`);
  }
}

async function writeBills(outdir, metafiles) {
  const packages = bundledPackages(root, metafiles);
  await writeFile(join(outdir, "sbom.cdx.json"), formatBill(manifest, commit, packages));
  await writeFile(join(outdir, "THIRD-PARTY-LICENSES.txt"), formatLicences(packages));
}

/** What esbuild says is in each output, for the test that compares the bill of materials with it. */
async function keepMetafiles(metafiles) {
  const folder = resolve(root, "node_modules/.cache/kube-signet");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "metafiles.json"), JSON.stringify(metafiles));
}

/**
 * `source`: a hash of the command's code, which the user's cache of compiled code is named after.
 * `usual`: the module of the most common job. A run without it compiles too little to be kept.
 */
const launcher = (name, { source, usual }) => `#!/usr/bin/env node
"use strict";
const { readFileSync } = require("node:fs");
const { basename, join } = require("node:path");
const { Script } = require("node:vm");
const file = (name) => join(__dirname, "cli", name);
const compile = (name, cachedData) =>
  new Script(readFileSync(file(name), "utf8"), { filename: file(name), cachedData });
const builder = "${process.version} ${process.arch}";
const cache =
  process.version + " " + process.arch === builder
    ? { read: () => readFileSync(file("${name}.cache")) }
    : require("./cli/codecache.cjs").codeCache("${name}", "${source}", process.env);
let compiled;
try {
  compiled = cache?.read();
} catch {}
// V8 refuses what another version of it compiled, and compiles again.
const core = compile("${name}.js", compiled);
if (core.cachedDataRejected !== false && cache?.write !== undefined) {
  process.on("exit", () => {
    if (loaded.has("${usual}")) cache.write(core.createCachedData());
  });
}
const modules = core.runInThisContext();
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
load("${name}.js");
`;

const hashOf = (text) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** Runs the most common job of each command once, and saves V8's code cache. */
async function keepCompiled(outdir) {
  const scratch = await mkdtemp(join(tmpdir(), "kube-signet-build-"));
  try {
    const folders = ["--from", scratch, "--to", join(scratch, "out"), "--keys", join(scratch, "k")];
    const certificate = join(scratch, "cert.pem");
    const key = ["--key-size=2048", "--write-cert", certificate];
    runNode([join(outdir, "signet-controller.mjs"), "standalone", ...folders, ...key]);
    const manifest =
      "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\nstringData: {c: d}\n";
    const once = join(outdir, "once.cjs");
    for (const [name, { job }] of Object.entries(COMMANDS)) {
      const keep = `process.on("exit",()=>require("node:fs").writeFileSync(file("${name}.cache"),core.createCachedData()));`;
      await writeFile(once, launcher(name, {}) + keep);
      runNode([once, ...job, "--cert", certificate], manifest);
    }
    await rm(once);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function runNode(args, input = "") {
  const { status, stderr } = spawnSync(process.execPath, args, { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
}

async function runScript(entry, args) {
  const outfile = resolve(root, "node_modules/.cache/kube-signet", entry.replace(/\.ts$/, ".mjs"));
  await mkdir(dirname(outfile), { recursive: true });
  const worker = pathToFileURL(resolve(root, "dist/sandbox-worker.mjs")).href;
  const define = { ...common.define, __SANDBOX_WORKER__: JSON.stringify(worker) };
  await build({ ...common, define, entryPoints: [entry], outfile, packages: "external" });
  const script = spawn(process.execPath, [outfile, ...args], { stdio: "inherit" });
  // It may need to clean up: wait until it exits. Ctrl-C reaches it by itself.
  process.on("SIGINT", () => undefined);
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => script.kill(signal));
  script.on("exit", (status) => process.exit(status ?? 1));
}

if (mode === "--run") await runScript(entry, args);
else await buildPrograms();
