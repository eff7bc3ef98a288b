// Bundles each program, so that it reads few files at start-up. `node build.mjs` builds dist/.
// `node build.mjs --run FILE.ts [ARG...]` bundles and runs one script of the project, because Node
// 20 cannot run TypeScript.
import { spawn } from "node:child_process";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { bundledPackages, formatBill, formatLicences } from "./build/bill.mjs";
import { buildCommands, keepCompiled } from "./build/commands.mjs";
import { commitOfTree } from "./build/commit.mjs";
import { buildPage } from "./build/page.mjs";
import { withoutUnusedKubernetes } from "./build/plugins.mjs";
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
      buildCommands(outdir, split),
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
