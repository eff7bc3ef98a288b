// The package as `npm pack` makes it: what is in it, and that its commands, its library and its
// types work where it is installed, on every Node that it is for.

import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { partPath } from "../parts/parts.ts";

const SECRET =
  "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: demo}\nstringData: {password: hunter2}\n";
const CERT = resolve("test/fixtures/cert.pem");
const KEY = resolve("test/fixtures/key.pem");
const NODES = ["node20", "node22", "node24", "node26"] as const;

/** What a package holds: every file is one of these, and each of these is there. */
const CONTENT = [
  /^package\.json$/,
  /^LICENSE$/,
  /^README\.md$/,
  /^SPEC\.md$/,
  /^signet\.schema\.json$/,
  /^docs\/kubeseal\.md$/,
  /^docs\/library\.md$/,
  /^dist\/(signet|kubeseal)\.cjs$/,
  /^dist\/cli\/[-.a-z0-9]+(-[A-Z0-9]{8})?\.js$/,
  /^dist\/cli\/(signet|signet-git|kubeseal)\.cache$/,
  /^dist\/cli\/codecache\.cjs$/,
  /^dist\/signet-controller\.mjs$/,
  /^dist\/sandbox-worker\.mjs$/,
  /^dist\/chunks\/[-.a-z0-9]+-[A-Z0-9]{8}\.mjs$/,
  /^dist\/(library|browser)\.mjs$/,
  /^dist\/(library|browser)\.d\.mts$/,
  /^dist\/library\/[a-z]+-[A-Z0-9]{8}\.mjs$/,
  /^dist\/sbom\.cdx\.json$/,
  /^dist\/THIRD-PARTY-LICENSES\.txt$/,
  /^dist\/man\/signet(-[a-z]+)*\.1$/,
];
const MAX_PACKED_BYTES = 3_300_000;
const MAX_UNPACKED_BYTES = 10_000_000;

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: { path: string; mode: number }[];
}

let scratch = "";
let packed: Packed;
/** Where the package is installed, and nothing else is. */
let place = "";
/** The environment of a person who has Node and no more. */
let env: NodeJS.ProcessEnv;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "signet-package-"));
  // `prepack` would build anew, under the feet of the other suites.
  execFileSync("npm", ["run", "--silent", "manual"]);
  const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch];
  const said = execFileSync("npm", pack, { encoding: "utf8" });
  [packed] = JSON.parse(said) as [Packed];
  place = join(scratch, "place");
  mkdirSync(place);
  writeFileSync(join(place, "package.json"), '{"private": true, "type": "module"}\n');
  const install = [
    "install",
    "--offline",
    "--no-audit",
    "--no-fund",
    join(scratch, packed.filename),
  ];
  execFileSync("npm", install, { cwd: place, stdio: "pipe" });
  env = { PATH: "/usr/bin:/bin", HOME: join(scratch, "home") };
});

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

function run(
  node: string,
  args: string[],
  input = "",
): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(node, args, {
    cwd: place,
    env,
    input,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

const command = (name: string): string => join(place, "node_modules/.bin", name);

/** Opens a SealedSecret by the sources, not by the package under test. */
function open(sealed: string): string {
  writeFileSync(join(scratch, "sealed.yaml"), sealed);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [resolve("dist/signet.cjs"), "unseal", "--recovery-key", KEY, join(scratch, "sealed.yaml")],
    { encoding: "utf8", env },
  );
  expect(stderr.replace(/^signet: warning: .*\n/gm, "")).not.toContain("error");
  expect(status).toBe(0);
  return stdout;
}

describe("the package", () => {
  it("holds what is run, read and imported, and nothing else", () => {
    const paths = packed.files.map(({ path }) => path);
    const foreign = paths.filter((path) => !CONTENT.some((pattern) => pattern.test(path)));
    expect(foreign, "files that nobody meant to publish").toEqual([]);
    for (const pattern of CONTENT) {
      expect(
        paths.some((path) => pattern.test(path)),
        `nothing like ${pattern.source}`,
      ).toBe(true);
    }
  });

  it("is small", () => {
    expect(packed.size).toBeLessThan(MAX_PACKED_BYTES);
    expect(packed.unpackedSize).toBeLessThan(MAX_UNPACKED_BYTES);
  });

  it("installs as the README says, beside another kubeseal, whose place it takes when asked", () => {
    const prefix = join(scratch, "taken");
    const bin = join(prefix, "bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "kubeseal"), "#!/bin/sh\necho the original\n", { mode: 0o755 });
    const tarball = join(scratch, packed.filename);
    const install = ["install", "--global", "--offline", "--prefix", prefix, tarball];
    expect(spawnSync("npm", install).status).toBe(0);
    const sh = (line: string): string =>
      execFileSync("sh", ["-c", line], {
        encoding: "utf8",
        env: {
          PATH: `${join(scratch, "home/.local/bin")}:${bin}:${process.env["PATH"] ?? ""}`,
          HOME: join(scratch, "home"),
        },
      });
    expect(sh("kubeseal")).toBe("the original\n");
    const OURS = ["signet", "signet-kubeseal", "signet-controller"];
    for (const name of OURS) sh(`${name} --version`);
    expect(readdirSync(bin).sort()).toEqual(
      ["kubeseal", "kubectl-seal", "kubectl-signet", ...OURS].sort(),
    );
    expect(lstatSync(join(prefix, "lib/node_modules/kube-signet")).isSymbolicLink()).toBe(false);
    expect(readFileSync("README.md", "utf8")).toContain(
      `npm install --global ./${packed.filename}\n`,
    );
    const step = 'ln -s "$(command -v signet-kubeseal)" ~/.local/bin/kubeseal';
    expect(readFileSync("docs/install.md", "utf8")).toContain(step);
    sh(`mkdir -p ~/.local/bin && ${step}`);
    expect(sh("kubeseal --version")).toMatch(/^kubeseal version: v\d/);
    // Not twice, and never over a program that is there.
    expect(() => sh(`${step} 2>&1`)).toThrow();
  });

  it("has a manual page for each command, with every option of its help", () => {
    const pages = readdirSync("dist/man").map((name) => `dist/man/${name}`);
    const { man } = JSON.parse(readFileSync("package.json", "utf8")) as { man: string[] };
    expect(man, "`man` in package.json").toEqual(pages.sort());
    const help = (...words: string[]): string =>
      execFileSync(process.execPath, [...words, "--help"], { encoding: "utf8" });
    const overview = help("dist/signet.cjs");
    const commands = [...overview.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name ?? "");
    expect(commands.length).toBeGreaterThan(15);
    for (const command of commands) expect(pages).toContain(`dist/man/signet-${command}.1`);
    for (const [page, text] of [
      ["signet-seal", help("dist/signet.cjs", "seal")],
      ["signet-keys", help("dist/signet.cjs", "keys", "rotate")],
      ["signet-kubeseal", help("dist/kubeseal.cjs")],
      ["signet-controller", help("dist/signet-controller.mjs")],
    ]) {
      const roff = readFileSync(`dist/man/${page}.1`, "utf8");
      const options = [...(text ?? "").matchAll(/^ {2,6}(?:-\w, )?(--[\w-]+)/gm)];
      expect(options.length).toBeGreaterThan(5);
      for (const [, name = ""] of options) {
        expect(roff, page).toContain(`\\fB${name.replaceAll("-", "\\-")}\\fR`);
      }
    }
  });

  it("has manual pages that roff reads as they were meant", () => {
    for (const name of readdirSync("dist/man")) {
      const roff = readFileSync(`dist/man/${name}`, "utf8");
      expect(roff, name).toMatch(
        /^\.TH \S+ 1 "" "kube\\-signet \S+" "Signet"\n\.SH NAME\n\S+ \\- /,
      );
      // Macros that are known, and no other line that roff would take for one.
      const macros = [...roff.matchAll(/^[.'](\S*)/gm)].map(([, macro = ""]) => macro);
      const known = ["TH", "SH", "SS", "PP", "TP", "nf", "fi"];
      expect(
        macros.filter((macro) => !known.includes(macro)),
        name,
      ).toEqual([]);
      expect(roff.match(/^\.nf$/gm)?.length, name).toBe(roff.match(/^\.fi$/gm)?.length);
      expect(roff, name).toMatch(/^[\n -~]*$/);
      expect(roff.replaceAll(/\\(f[BR]|e|-|&)/g, ""), name).not.toContain("\\");
      // Each term has a meaning.
      expect(roff, name).not.toMatch(/^\.TP\n.*\n(?:\.|\n)/m);
    }
  });

  it("brings no other package along", () => {
    expect(
      readdirSync(join(place, "node_modules")).filter((name) => !name.startsWith(".")),
    ).toEqual(["kube-signet"]);
  });
});

describe.for(NODES)("on %s", (part) => {
  const version = (JSON.parse(readFileSync("package.json", "utf8")) as { version: string }).version;
  const versionLine = new RegExp(
    `^${version.replaceAll(".", "\\.")}( \\(commit [0-9a-f]{7}(-dirty)?\\))?$`,
  );
  let node = "";
  beforeAll(() => {
    node = partPath(part);
  });

  it("is the Node that it is meant to be", () => {
    expect(run(node, ["--version"]).stdout).toMatch(`v${part.slice(4)}.`);
  });

  it("tells the versions, with the commit where one is known", () => {
    const signet = run(node, [command("signet"), "--version"]);
    expect(signet).toMatchObject({ status: 0, stderr: "" });
    expect(signet.stdout.trim()).toMatch(versionLine);
    const controller = run(node, [command("signet-controller"), "--version"]);
    expect(controller).toMatchObject({ status: 0, stderr: "" });
    expect(controller.stdout).toBe(`signet-controller version: v${signet.stdout}`);
    expect(run(node, [command("signet-kubeseal"), "--version"]).stdout).toMatch(
      /^kubeseal version: v\d/,
    );
  });

  it("prints the version under the original's name as the original does", () => {
    const named = join(scratch, `image-${part}`, "controller");
    mkdirSync(join(scratch, `image-${part}`));
    symlinkSync(command("signet-controller"), named);
    expect(run(node, [named, "--version"]).stdout).toMatch(/^controller version: v\d/);
  });

  it("seals with both commands, without a word", () => {
    for (const args of [
      [command("signet"), "seal", "--cert", CERT],
      [command("signet-kubeseal"), "--cert", CERT, "--format", "yaml"],
    ]) {
      const { status, stdout, stderr } = run(node, args, SECRET);
      expect(stderr).toBe("");
      expect(status).toBe(0);
      expect(open(stdout)).toContain("aHVudGVyMg==");
    }
  });

  it("opens, templates included, with a command and with the library", () => {
    const script = join(place, "library.mjs");
    writeFileSync(
      script,
      `import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as signet from "kube-signet";
import * as browser from "kube-signet/browser";
const [, , certificateFile, keyFile] = process.argv;
const certificate = signet.parseCertificate(readFileSync(certificateFile, "utf8"));
const [document] = signet.parseManifests(readFileSync(0, "utf8"));
const secret = signet.parseSecret(signet.objectsOf(document)[0]);
const sealed = await signet.seal(secret, certificate);
const keys = signet.readKeyFile(readFileSync(keyFile, "utf8"), keyFile);
assert.equal(keys[0].fingerprint, certificate.fingerprint);
const template = { ...sealed.template, data: new Map([["url", "pg://{{ .password }}"]]) };
const keyring = new signet.Keyring(keys);
const opened = await signet.unseal({ ...sealed, template }, keyring);
assert.equal(Buffer.from(opened.secret.data.get("url")).toString(), "pg://hunter2");
assert.equal(opened.stamp.get("password"), certificate.fingerprint);
const again = signet.parseSealedSecret(
  signet.objectsOf(signet.parseManifests(signet.formatManifests([signet.formatSealedSecret(sealed)], "yaml"))[0])[0],
);
assert.deepEqual((await signet.unseal(again, keyring)).secret.data, secret.data);
assert.equal(await signet.reseal(again, keyring, 1, certificate) instanceof Object, true);
const update = await signet.seal({ ...secret, data: new Map([["more", Buffer.from("x")]]) }, certificate);
assert.deepEqual([...signet.merge(again, update).encryptedData.keys()], ["password", "more"]);
const moved = { ...again, metadata: { ...again.metadata, name: "other" } };
await assert.rejects(signet.unseal(moved, keyring), { name: "SignetError", code: "decrypt-failed" });
assert.equal(browser.SignetError, signet.SignetError);
assert.deepEqual(await browser.parseCertificate(certificate.pem), certificate);
console.log(signet.formatManifests([signet.formatSealedSecret(await browser.seal(secret, certificate))], "yaml"));
`,
    );
    const { status, stdout, stderr } = run(node, [script, CERT, KEY], SECRET);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    writeFileSync(join(place, "sealed.yaml"), stdout);
    const opened = run(node, [command("signet"), "unseal", "--recovery-key", KEY, "sealed.yaml"]);
    expect(opened.stdout).toContain("aHVudGVyMg==");
    expect(opened.status).toBe(0);
  });

  it("gives the library to `require` as well", () => {
    const script = join(place, "library.cjs");
    writeFileSync(script, 'console.log(typeof require("kube-signet").seal);\n');
    expect(run(node, [script])).toEqual({ status: 0, stdout: "function\n", stderr: "" });
  });
});

describe("the library's types", () => {
  const [, example = ""] =
    /```ts\n([\s\S]*?)```/.exec(readFileSync("docs/library.md", "utf8")) ?? [];

  beforeAll(() => {
    writeFileSync(join(place, "example.ts"), example);
    const surface = readFileSync("test/interop/package/surface.ts", "utf8")
      .replace("../../../library/library.ts", "kube-signet")
      .replace("../../../library/browser.ts", "kube-signet/browser");
    writeFileSync(join(place, "surface.ts"), surface);
  });

  function compile(file: string, ...options: string[]): string {
    const strict = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022"];
    const tsc = resolve("node_modules/typescript/bin/tsc");
    return run(process.execPath, [tsc, ...strict, ...options, file]).stdout;
  }

  // Nothing of Node's types is at hand: ours must not need them. `skipLibCheck` is off.
  it.for([
    ["nodenext", "nodenext"],
    ["bundler", "esnext"],
  ] as const)(
    "are what is promised, where modules are resolved as by %s",
    ([resolution, module]) => {
      const how = ["--moduleResolution", resolution, "--module", module];
      expect(compile("surface.ts", ...how, "--lib", "es2022")).toBe("");
    },
  );

  it("fit the example of the documentation, which works", () => {
    expect(example).toContain('from "kube-signet"');
    const types = ["--typeRoots", resolve("node_modules/@types"), "--types", "node"];
    for (const resolution of ["nodenext", "bundler"]) {
      const module = resolution === "bundler" ? "esnext" : resolution;
      const how = ["--moduleResolution", resolution, "--module", module, "--skipLibCheck"];
      expect(compile("example.ts", ...how, ...types)).toBe("");
    }
    const tsc = resolve("node_modules/typescript/bin/tsc");
    const emit = [
      "--module",
      "nodenext",
      "--target",
      "es2022",
      "--skipLibCheck",
      "--outDir",
      "example",
    ];
    expect(run(process.execPath, [tsc, ...emit, ...types, "example.ts"]).stdout).toBe("");
    const use = `import { explain, sealAll } from "./example/example.js";
      const text = ${JSON.stringify(SECRET)};
      console.log(await sealAll(text, ${JSON.stringify(CERT)}));
      console.error(await sealAll(text.replace("Secret", "ConfigMap"), ${JSON.stringify(CERT)}).catch(explain));`;
    const { stdout, stderr } = run(process.execPath, ["--input-type=module", "--eval", use]);
    expect(stderr).toMatch(/^wrong-kind: /);
    expect(open(stdout)).toContain("aHVudGVyMg==");
  });
});

// What it does there: browser.test.ts.
describe("the core, bundled for a browser", () => {
  async function bundle(source: string): Promise<string> {
    const { outputFiles } = await build({
      stdin: { contents: source, resolveDir: place },
      bundle: true,
      write: false,
      platform: "browser",
      format: "esm",
      logLevel: "silent",
    });
    expect(outputFiles).toHaveLength(1);
    return outputFiles[0]?.text ?? "";
  }

  it("is small, and nothing in it is Node's", async () => {
    const code = await bundle('export { seal } from "kube-signet/browser";');
    expect(code).not.toContain("node:fs");
    expect(code.length).toBeLessThan(200_000);
    // The other entry is not for a browser, and says so when it is bundled, not when it runs.
    await expect(bundle('export { unseal } from "kube-signet";')).rejects.toThrow(
      'Could not resolve "node:crypto"',
    );
  });
});

describe("the bill of materials", () => {
  interface Bill {
    readonly bomFormat: string;
    readonly specVersion: string;
    readonly metadata: { component: { name: string; version: string } };
    readonly components: {
      name: string;
      version: string;
      purl: string;
      hashes: { alg: string; content: string }[];
      licenses: object[];
    }[];
  }
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
    packages: Record<string, { version: string; integrity?: string }>;
  };
  let bill: Bill;
  beforeAll(() => {
    const file = join(place, "node_modules/kube-signet/dist/sbom.cdx.json");
    bill = JSON.parse(readFileSync(file, "utf8")) as Bill;
  });

  it("names what is bundled, with the versions and sums of package-lock.json", () => {
    expect(bill).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6" });
    expect(bill.metadata.component.name).toBe("kube-signet");
    for (const { name, version, hashes, licenses, purl } of bill.components) {
      const locked = Object.entries(lock.packages).filter(
        ([folder, each]) => folder.endsWith(`node_modules/${name}`) && each.version === version,
      );
      const sums = locked.map(([, { integrity = "" }]) =>
        Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex"),
      );
      expect(sums, `${name}@${version}`).toContain(hashes[0]?.content);
      expect(hashes[0]?.alg).toBe("SHA-512");
      expect(licenses).toHaveLength(1);
      expect(purl).toBe(`pkg:npm/${name.replace("@", "%40")}@${version}`);
    }
    const own = ["js-yaml", "commander", "@kubernetes/client-node", "node-forge", "prom-client"];
    for (const name of [...own, "re2js", "inquirer", "age-encryption"]) {
      const { version } = lock.packages[`node_modules/${name}`] ?? {};
      expect(bill.components, name).toContainEqual(expect.objectContaining({ name, version }));
    }
  });

  it("names nothing that only builds and tests", () => {
    const names = bill.components.map(({ name }) => name);
    for (const tool of ["esbuild", "typescript", "vitest", "fast-check", "tweetnacl", "eslint"]) {
      expect(names).not.toContain(tool);
    }
    expect(new Set(names).size).toBeGreaterThan(40);
  });

  it("comes with the licence of each, of a kind that lets us bundle it", () => {
    const file = join(place, "node_modules/kube-signet/dist/THIRD-PARTY-LICENSES.txt");
    const texts = readFileSync(file, "utf8");
    for (const { name, version } of bill.components)
      expect(texts).toContain(`\n${name} ${version} (`);
    const kinds = bill.components.map(({ licenses: [licence] }) => JSON.stringify(licence));
    expect([...new Set(kinds)].sort()).toEqual([
      '{"expression":"(BSD-3-Clause OR GPL-2.0)"}',
      '{"license":{"id":"Apache-2.0"}}',
      '{"license":{"id":"BSD-2-Clause"}}',
      '{"license":{"id":"BSD-3-Clause"}}',
      '{"license":{"id":"ISC"}}',
      '{"license":{"id":"MIT"}}',
    ]);
    expect(existsSync(join(place, "node_modules/kube-signet/LICENSE"))).toBe(true);
  });
});
