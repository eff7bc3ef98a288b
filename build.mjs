// Bundles each program, so that start-up reads few files. `node build.mjs` builds dist/;
// `node build.mjs --run FILE.ts [ARG...]` bundles one script of ours and runs it (Node 20 does not
// run TypeScript by itself).
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readFile, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(await readFile(resolve(root, "package.json"), "utf8"));

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  logLevel: "warning",
  define: { __VERSION__: JSON.stringify(version) },
};

/** Programs: small entry chunks, everything heavy in chunks that only the modes that need it load. */
export async function buildPrograms(outdir = "dist") {
  await rm(resolve(root, outdir), { recursive: true, force: true });
  const programs = { signet: "cli/main.ts", "signet-controller": "controller/main.ts" };
  await build({
    ...common,
    entryPoints: Object.entries(programs).map(([out, entry]) => ({ in: entry, out })),
    outdir,
    splitting: true,
    minify: true,
    keepNames: true,
    chunkNames: "chunks/[name]-[hash]",
    banner: {
      js: '#!/usr/bin/env node\nimport{createRequire as __cr}from"node:module";const require=__cr(import.meta.url);',
    },
    alias: { punycode: "./node_modules/punycode/punycode.js" },
  });
  for (const program of Object.keys(programs)) {
    await chmod(resolve(root, outdir, `${program}.js`), 0o755);
  }
}

async function runScript(entry, args) {
  const outfile = resolve(root, "node_modules/.cache/kube-signet", entry.replace(/\.ts$/, ".mjs"));
  await mkdir(dirname(outfile), { recursive: true });
  await build({ ...common, entryPoints: [entry], outfile, packages: "external" });
  const { status, signal } = spawnSync(process.execPath, [outfile, ...args], { stdio: "inherit" });
  process.exit(signal ? 1 : (status ?? 1));
}

const [mode, entry, ...args] = process.argv.slice(2);
if (mode === "--run") await runScript(entry, args);
else await buildPrograms();
