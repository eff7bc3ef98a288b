// What a build is made of: exact versions with sums, no code of others at installation, and a bill of
// materials that lists exactly what is bundled.

import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { load } from "js-yaml";
import { describe, expect, it } from "vitest";

const read = (path: string): string => readFileSync(path, "utf8");

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
  readonly link?: boolean;
}

const lock = JSON.parse(read("package-lock.json")) as {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, Locked>>;
};

const EXACT = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;

/** What is wrong with the entries of a lockfile. */
function faultsOfLock(packages: Readonly<Record<string, Locked>>): string[] {
  return Object.entries(packages).flatMap(([folder, each]) => {
    if (folder === "") return [];
    const faults: string[] = [];
    if (!EXACT.test(each.version ?? "")) faults.push(`${folder}: no exact version`);
    if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(each.integrity ?? "")) {
      faults.push(`${folder}: no SHA-512 sum`);
    }
    // Without an address, npm takes the package from the registry that is set, and checks the sum.
    if (each.resolved !== undefined && !each.resolved.startsWith("https://registry.npmjs.org/")) {
      faults.push(`${folder}: not from the public registry`);
    }
    if (each.link === true) faults.push(`${folder}: a link`);
    return faults;
  });
}

describe("the packages", () => {
  it("have exact versions, and none is installed with ours", () => {
    const manifest = JSON.parse(read("package.json")) as Record<string, unknown>;
    for (const field of ["dependencies", "peerDependencies", "optionalDependencies", "overrides"]) {
      expect(manifest, field).not.toHaveProperty(field);
    }
    const versions = manifest["devDependencies"] as Record<string, string>;
    const inexact = Object.entries(versions).filter(([, version]) => !EXACT.test(version));
    expect(inexact).toEqual([]);
    for (const [name, version] of Object.entries(versions)) {
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });

  it("have sums in package-lock.json, and come from the public registry", () => {
    expect(lock.lockfileVersion).toBe(3);
    expect(Object.keys(lock.packages).length).toBeGreaterThan(100);
    expect(faultsOfLock(lock.packages)).toEqual([]);
  });

  it.each<[string, Locked]>([
    ["no sum", { version: "1.0.0" }],
    ["a weak sum", { version: "1.0.0", integrity: "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=" }],
    [
      "another registry",
      {
        version: "1.0.0",
        integrity: `sha512-${"A".repeat(86)}==`,
        resolved: "https://registry.example.com/a.tgz",
      },
    ],
    ["Git", { version: "1.0.0", resolved: "git+ssh://git@example.com/a.git#main" }],
    ["a folder", { link: true, resolved: "../a" }],
  ])("are refused with %s", (_, each) => {
    expect(faultsOfLock({ "node_modules/a": each })).not.toEqual([]);
  });

  it("run no code when they are installed, but for those that are known", () => {
    const withScripts = Object.entries(lock.packages).filter(([, each]) => each.hasInstallScript);
    // They check that a program runs, and how a version was asked for; without it, both work the same.
    expect(withScripts.map(([folder]) => folder)).toEqual(
      ["esbuild", "protobufjs"].map((name) => `node_modules/${name}`),
    );
    const builders = [".ci/run", "Dockerfile", ".github/workflows/ci.yaml"];
    for (const file of [...builders, ".github/workflows/release.yaml"]) {
      const installs = read(file).match(/npm ci .*/g) ?? [];
      expect(installs.length, file).toBeGreaterThan(0);
      for (const command of installs) expect(command, file).toContain("--ignore-scripts");
    }
  });
});

describe("the workflows", () => {
  interface Step {
    readonly uses?: string;
    readonly run?: string;
    readonly env?: Readonly<Record<string, string>>;
  }
  interface Job {
    readonly uses?: string;
    readonly steps?: readonly Step[];
  }
  const folder = ".github/workflows";
  const jobsOf = (name: string): Readonly<Record<string, Job>> =>
    (load(read(join(folder, name))) as { jobs: Record<string, Job> }).jobs;

  it.each(readdirSync(folder))("%s names each action by its commit", (name) => {
    const used = Object.values(jobsOf(name)).flatMap(({ uses, steps = [] }) => [
      uses,
      ...steps.map((step) => step.uses),
    ]);
    for (const action of used) {
      if (action !== undefined && !action.startsWith("./")) {
        expect(action).toMatch(/^[\w./-]+@[0-9a-f]{40}$/);
      }
    }
  });

  it("publish with provenance what the registry's signatures were checked for", () => {
    const jobs = jobsOf("release.yaml");
    const lines = (job: string): string =>
      (jobs[job]?.steps ?? []).map(({ uses = "", run = "" }) => `${uses}\n${run}\n`).join("");
    expect(lines("files")).toMatch(/npm ci [^]*npm audit signatures[^]*npm run release/);
    expect(lines("files")).toMatch(/npm run release[^]*attest-build-provenance@[^]*attest-sbom@/);
    expect(lines("files")).toContain("cosign sign-blob --yes --bundle checksums.txt.sigstore.json");
    expect(lines("image")).toMatch(
      /--sbom=true --provenance=mode=max [^]*push=true,rewrite-timestamp=true/,
    );
    expect(lines("image")).toContain("actions/attest-build-provenance@");
    expect(lines("image")).toContain('cosign sign --yes "$IMAGE@$DIGEST"');
    expect(lines("publish")).toMatch(
      /sha256sum --check[^]*helm push[^]*cosign sign[^]*npm publish/,
    );
    expect(lines("publish")).toMatch(/npm publish \S+ --provenance/);
  });

  it("build an image only on a base that is named by its content", () => {
    const dockerfile = read("Dockerfile");
    const bases = [...dockerfile.matchAll(/^FROM (?:--platform=\S+ )?(\S+)/gm)].map(
      ([, base]) => base,
    );
    expect([...new Set(bases)].sort()).toEqual(["${NODE_IMAGE}", "scratch"]);
    const steps = jobsOf("release.yaml")["image"]?.steps ?? [];
    const check = steps.findIndex(({ run = "" }) => run.includes("NODE_IMAGE"));
    const building = steps.findIndex(({ run = "" }) => run.includes("buildx build"));
    expect(check).toBeGreaterThanOrEqual(0);
    expect(check).toBeLessThan(building);
    expect(steps[building]?.run).not.toContain("NODE_IMAGE");
    const passes = (text: string): boolean => {
      const command = (steps[check]?.run ?? "").replace(/ Dockerfile$/, "");
      return spawnSync("bash", ["-c", command], { input: text }).status === 0;
    };
    const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
    const arg = (image: string): string =>
      dockerfile.replace(/^ARG NODE_IMAGE=.*$/m, `ARG NODE_IMAGE=${image}`);
    expect(passes(arg(`node:26-trixie-slim@${digest}`))).toBe(true);
    for (const image of ["node:26-trixie-slim", "node@sha256:abc", `node@${digest} `, "node"]) {
      expect(passes(arg(image)), image).toBe(false);
    }
  });
});

describe("the bill of materials", () => {
  interface Metafile {
    readonly outputs: Readonly<
      Record<string, { inputs: Readonly<Record<string, { bytesInOutput: number }>> }>
    >;
  }
  interface Component {
    readonly name: string;
    readonly version: string;
    readonly purl: string;
    readonly licenses: readonly { expression?: string; license?: { id?: string } }[];
  }

  const metafiles = JSON.parse(
    read("node_modules/.cache/kube-signet/metafiles.json"),
  ) as Metafile[];
  const { components } = JSON.parse(read("dist/sbom.cdx.json")) as { components: Component[] };

  /** `name version licence` of each package that has code in an output, by the files of it. */
  function bundled(): string[] {
    const files = metafiles
      .flatMap(({ outputs }) => Object.values(outputs))
      .flatMap(({ inputs }) => Object.entries(inputs))
      .filter(([file, { bytesInOutput }]) => file.includes("node_modules/") && bytesInOutput > 0)
      .map(([file]) => file);
    const lines = files.map((file) => {
      const parts = file.split("/");
      const at = parts.lastIndexOf("node_modules") + 1;
      const depth = parts[at]?.startsWith("@") ? 2 : 1;
      const manifest = JSON.parse(
        read(join(...parts.slice(0, at + depth), "package.json")),
      ) as Record<"name" | "version" | "license", string>;
      return `${manifest.name} ${manifest.version} ${manifest.license}`;
    });
    return [...new Set(lines)].sort();
  }

  const listed = (bill: readonly Component[]): string[] =>
    bill
      .map(({ name, version, licenses: [licence] }) => {
        const words = licence?.expression ?? licence?.license?.id ?? "";
        return `${name} ${version} ${words}`;
      })
      .sort();

  /** Of a file in dist/cli: those of a pack, which has each in a line of its own, or itself. */
  const modulesIn = (name: string): string[] => {
    const packed = read(join("dist/cli", name)).matchAll(/^(?:\(\{)?"([-.\w]+)":function\(/gm);
    const names = [...packed].map(([, each = ""]) => each);
    return names.length === 0 ? [name] : names;
  };

  it("is of this build", () => {
    const outputs = metafiles.flatMap((each) => Object.keys(each.outputs));
    expect(outputs.length).toBeGreaterThan(20);
    const modules = outputs.map((path) => basename(path));
    const built = [
      ...readdirSync("dist/chunks").filter((name) => name.endsWith(".mjs")),
      ...readdirSync("dist/library").filter((name) => name.endsWith(".mjs")),
      ...readdirSync("dist/cli")
        .filter((name) => name.endsWith(".js"))
        .flatMap((name) => modulesIn(name)),
    ];
    expect(built.filter((name) => !modules.includes(name))).toEqual([]);
    expect(existsSync("dist/signet-controller.mjs")).toBe(true);
  });

  it("lists each package that has code in the programs, with version and licence, and no other", () => {
    expect(bundled().length).toBeGreaterThan(40);
    expect(listed(components)).toEqual(bundled());
    for (const { name, version, purl } of components) {
      expect(purl).toBe(`pkg:npm/${name.replace("@", "%40")}@${version}`);
    }
  });

  it("would be found wrong with any package missing, added, or described as another", () => {
    const [first, ...rest] = components;
    if (first === undefined) throw new Error("the bill is empty");
    const wrong: Component[][] = [
      rest,
      [...components, { ...first, name: "left-pad" }],
      [{ ...first, version: "0.0.0" }, ...rest],
      [{ ...first, licenses: [{ license: { id: "GPL-3.0" } }] }, ...rest],
    ];
    for (const bill of wrong) expect(listed(bill)).not.toEqual(bundled());
  });

  it("is not made where a package is not the one of package-lock.json", async () => {
    const url = pathToFileURL("build/bill.mjs").href;
    const { bundledPackages } = (await import(/* @vite-ignore */ url)) as {
      bundledPackages: (root: string, metafiles: readonly Metafile[]) => { name: string }[];
    };
    const inputs = { "node_modules/commander/index.js": { bytesInOutput: 1 } };
    const metafile = { outputs: { program: { inputs } } };
    expect(bundledPackages(process.cwd(), [metafile])).toMatchObject([{ name: "commander" }]);
    const root = mkdtempSync(join(tmpdir(), "signet-bill-"));
    try {
      symlinkSync(resolve("node_modules"), join(root, "node_modules"));
      const packages = { "node_modules/commander": { version: "0.0.1" } };
      writeFileSync(join(root, "package-lock.json"), JSON.stringify({ packages }));
      expect(() => bundledPackages(root, [metafile])).toThrow("package-lock.json says 0.0.1");
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});
