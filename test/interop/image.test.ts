// The image that a builder makes of the Dockerfile: what is in it, that it is the same each time and
// for each processor, and that the controller runs from it as a cluster runs it, by our chart or by
// the original's: as a user without rights, on a file system that nobody can write to.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { loadAll } from "js-yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort, type Program, startProgram, waitFor } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";
import { type Image, openImage } from "./image/archive.ts";
import { buildControllerImage, type Platform } from "./image/controllerimage.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const TAG = "docker.io/kube-signet/signet-controller:test";
/** Node alone is 143 MiB. */
const MAX_IMAGE_BYTES = 165 * 1024 * 1024;

let scratch = "";
let image: Image;
/** The same build once more. */
let again: Image;
let started: Program | undefined;
const ACCOUNT_FOLDER = "var/run/secrets/kubernetes.io/serviceaccount";

async function build(platform?: Platform): Promise<Image> {
  const folder = mkdtempSync(join(scratch, "build-"));
  const archive = await buildControllerImage(folder, {
    tag: TAG,
    commit: COMMIT,
    ...(platform === undefined ? {} : { platform }),
  });
  const built = await openImage(archive, folder);
  rmSync(archive);
  return built;
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "signet-image-"));
  [image, again] = await Promise.all([build(), build()]);
  // What a container's runtime brings along.
  for (const folder of ["proc", "dev"]) mkdirSync(join(image.root, folder));
  const cluster = { name: "c", cluster: { server: "https://127.0.0.1:1" } };
  const kubeconfig = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "x",
    clusters: [cluster],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    users: [{ name: "u", user: { token: "hunter2" } }],
  };
  writeFileSync(join(image.root, "kubeconfig"), JSON.stringify(kubeconfig));
  mkdirSync(join(image.root, ACCOUNT_FOLDER), { recursive: true });
  for (const [name, text] of Object.entries({ token: "hunter2", namespace: "a", "ca.crt": "" })) {
    writeFileSync(join(image.root, ACCOUNT_FOLDER, name), text);
  }
});

afterAll(async () => {
  await started?.stop("SIGKILL");
  rmSync(scratch, { recursive: true, force: true });
});

interface Run {
  /** The image's where left out. */
  readonly user?: string;
  readonly env?: Record<string, string>;
}

/**
 * A command in the image: its own process and mount namespaces, everything read-only, the image's user
 * and environment, no way to gain rights.
 */
function inImage(command: readonly string[], { user: as, env = {} }: Run = {}): string[] {
  const { root, config } = image;
  const setUp =
    `mount --bind ${root} ${root} && mount -o remount,bind,ro ${root} && ` +
    `mount -t proc proc ${root}/proc && mount --rbind /dev ${root}/dev && exec "$@"`;
  const user = [`--userspec=${as ?? config.User}`, "--groups="];
  const settings = [
    ...config.Env,
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
  ];
  const chroot = spawnSync("sh", ["-c", "command -v chroot"], { encoding: "utf8" }).stdout.trim();
  const enter = ["env", "-i", ...settings, chroot, ...user, root];
  const limits = ["--no-new-privs", "--inh-caps=-all"];
  const namespaces = ["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", setUp, "sh"];
  return [...namespaces, "setpriv", ...limits, "--", ...enter, ...command];
}

function run(...command: string[]): { status: number | null; stdout: string; stderr: string } {
  const [program = "", ...args] = inImage(command);
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return { status, stdout, stderr };
}

interface Container {
  readonly command?: string[];
  readonly args?: string[];
  readonly securityContext: Record<string, unknown>;
}

interface Pod {
  readonly securityContext: Record<string, unknown>;
  readonly containers: Container[];
}

/** What the Deployment among these manifests starts. */
function podOf(manifests: string): Pod | undefined {
  const objects = loadAll(manifests) as ({
    kind: string;
    spec: { template: { spec: Pod } };
  } | null)[];
  return objects.find((object) => object?.kind === "Deployment")?.spec.template.spec;
}

/** The container of the original's chart, with ports that are free here. */
function originalContainer(http: number, metrics: number): Container {
  const ports = `--set=containerPorts.http=${http},containerPorts.metrics=${metrics}`;
  const args = ["template", "sealed-secrets", partPath("original-chart"), ports];
  const { stdout } = spawnSync(partPath("helm"), args, { encoding: "utf8" });
  const [container] = podOf(stdout)?.containers ?? [];
  if (container === undefined) throw new Error("the original's chart has no Deployment");
  return container;
}

function ask(port: number, path: string): Promise<string> {
  return new Promise((done, fail) => {
    get({ host: "127.0.0.1", port, path }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => {
        done(`${response.statusCode ?? 0} ${body.trim()}`);
      });
    }).on("error", fail);
  });
}

describe("the image", () => {
  it("has no program but Node, its loader and ours; no shell, nothing that changes its user", () => {
    const programs: string[] = [];
    let bytes = 0;
    for (const path of readdirSync(image.root, { recursive: true }) as string[]) {
      const stats = lstatSync(join(image.root, path));
      if (!stats.isFile()) continue;
      bytes += stats.size;
      expect(stats.mode & 0o6000, path).toBe(0);
      expect(stats.mode & 0o022, `${path} can be written to by others`).toBe(0);
      if ((stats.mode & 0o111) !== 0 && !/\.so\.\d+$/.test(path)) programs.push(path);
    }
    expect(programs.sort()).toEqual([
      "opt/kube-signet/dist/kubeseal.cjs",
      "opt/kube-signet/dist/signet-controller.mjs",
      "opt/kube-signet/dist/signet.cjs",
      "usr/local/bin/node",
    ]);
    expect(run("sh", "-c", "true").status).toBe(127);
    expect(bytes).toBeLessThan(MAX_IMAGE_BYTES);
  });

  it("is the same bytes when it is built again", () => {
    expect(again.layers).toEqual(image.layers);
    expect(again.digest).toBe(image.digest);
    expect(image.layers.length).toBeGreaterThan(0);
  });

  it("tells scanners what is in it", () => {
    const bill = readFileSync(join(image.root, "opt/kube-signet/dist/sbom.cdx.json"), "utf8");
    expect(bill).toContain('"pkg:npm/js-yaml@');
    const packages = readdirSync(join(image.root, "var/lib/dpkg/status.d")).sort();
    expect(packages).toEqual(["libatomic1", "libc6", "libgcc-s1", "libstdc++6"]);
    for (const name of packages) {
      const system = readFileSync(join(image.root, "var/lib/dpkg/status.d", name), "utf8");
      expect(system.startsWith(`Package: ${name}\n`)).toBe(true);
      expect(system).toMatch(/^Version: \d/m);
    }
  });

  it("says which commit it is of", () => {
    expect(image.tag).toBe(TAG);
    expect(image.config.Labels["org.opencontainers.image.revision"]).toBe(COMMIT);
  });

  it("names its user by number, and starts the controller", () => {
    expect(image.config.User).toBe("65532:65532");
    expect(image.config.Entrypoint).toEqual(["signet-controller"]);
  });

  it("starts the controller by the name that the original's manifests have for it as well", () => {
    const { stdout, ...rest } = run("signet-controller", "--version");
    const named = stdout.replace(/^signet-controller version/, "controller version");
    expect(named).not.toBe(stdout);
    expect(run("controller", "--version")).toEqual({ stdout: named, ...rest });
  });

  it("starts all three commands by their names, and they tell the commit", () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    const line = `${version} (commit ${COMMIT.slice(0, 7)})\n`;
    expect(run("signet", "--version")).toEqual({ status: 0, stdout: line, stderr: "" });
    expect(run("signet-controller", "--version")).toEqual({
      status: 0,
      stdout: `signet-controller version: v${line}`,
      stderr: "",
    });
    expect(run("kubeseal", "--version").stdout).toMatch(/^kubeseal version: v\d/);
  });

  it("has no code that V8 compiled, which differs from build to build", () => {
    const files = readdirSync(join(image.root, "opt/kube-signet/dist"), { recursive: true });
    expect(files).toContain("cli/signet.js");
    expect(files.filter((file) => String(file).endsWith(".cache"))).toEqual([]);
  });

  it("cannot be written to, also where everybody may write", () => {
    const check = `const fs = require("node:fs");
      for (const file of ["/a", "/tmp/a", "/opt/kube-signet/dist/cli/signet.js"]) {
        try { fs.writeFileSync(file, ""); console.log("written"); } catch ({ code }) { console.log(code); }
      }
      console.log(process.getuid(), process.env.HOME);`;
    const { stdout } = run("node", "--eval", check);
    expect(stdout).toMatch(/^EROFS\nEROFS\nEROFS\n65532 \/nonexistent\n$/);
  });
});

describe("the image for another processor", () => {
  const OTHER = process.arch === "arm64" ? "amd64" : "arm64";
  /** The number that stands for the processor in a program's file. */
  const MACHINE = { amd64: 62, arm64: 183 }[OTHER];
  const IS_SYSTEM = /^(lib|usr\/lib|usr\/share|usr\/local\/bin\/node$|var\/lib)/;
  const LIBRARY = /\b(?:lib[a-z_+]+|ld-linux-[a-z0-9-]+)\.so\.\d\b/g;
  /** The C library has names of services that it loads where they are there; it has its own. */
  const OPTIONAL = new Set(["libnss_files.so.2"]);

  function contents(root: string): Map<string, Buffer> {
    const paths = readdirSync(root, { recursive: true }) as string[];
    const files = paths.filter((path) => lstatSync(join(root, path)).isFile());
    return new Map(files.map((path) => [path, readFileSync(join(root, path))]));
  }

  /** Hashes of the files that are the same for each processor. */
  function ours(root: string): Map<string, string> {
    const files = [...contents(root)].filter(([path]) => !IS_SYSTEM.test(path));
    const hash = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
    return new Map(files.map(([path, content]) => [path, hash(content)]));
  }

  it("is built by this one, which runs nothing of it, and has what it needs", async () => {
    const other = await build(`linux/${OTHER}`);
    expect(other.architecture).toBe(OTHER);
    expect(other.config).toEqual(again.config);
    expect(ours(other.root)).toEqual(ours(again.root));
    const programs = [...contents(other.root)].filter(([, content]) =>
      content.subarray(0, 4).equals(Buffer.from("\x7fELF")),
    );
    const there = new Set(programs.map(([path]) => basename(path)));
    expect(there).toContain("node");
    for (const [path, content] of programs) {
      expect(content.readUInt16LE(18), path).toBe(MACHINE);
      for (const [library] of content.toString("latin1").matchAll(LIBRARY)) {
        if (!OPTIONAL.has(library)) expect(there, path).toContain(library);
      }
    }
    const records = "var/lib/dpkg/status.d";
    expect(readdirSync(join(other.root, records))).toEqual(readdirSync(join(again.root, records)));
    const record = readFileSync(join(other.root, records, "libc6"), "utf8");
    expect(record).toContain(`\nArchitecture: ${OTHER}\n`);
  });
});

describe("the controller in the image", () => {
  /** Starts it, and asks it as a kubelet and Prometheus would; its process in our namespace. */
  async function comesUp(command: string[], port: number, metrics: number): Promise<number> {
    const program = startProgram(command);
    started = program;
    const health = await waitFor("the controller's health", () => {
      if (!program.running()) throw new Error(program.logs());
      return ask(port, "/healthz").catch(() => undefined);
    });
    expect(health).toBe("200 ok");
    expect(await ask(port, "/readyz")).toMatch(/^503 /);
    expect(await ask(metrics, "/metrics")).toMatch(/^200 /);
    const children = `/proc/${program.pid}/task/${program.pid}/children`;
    return Number(readFileSync(children, "utf8").trim());
  }

  it("comes up without a cluster in reach, says that it is alive and not ready, and stops when told", async () => {
    const [port, metrics] = [await freePort("127.0.0.1"), await freePort("127.0.0.1")];
    const command = [
      ...image.config.Entrypoint,
      "--kubeconfig=/kubeconfig",
      `--listen-addr=127.0.0.1:${port}`,
      `--listen-metrics-addr=127.0.0.1:${metrics}`,
    ];
    const pid = await comesUp(inImage(command), port, metrics);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m);
    expect(status).toMatch(/^Groups:\t\s*$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    // It is process 1, as in a container: nothing stops that which does not listen to signals.
    expect(status).toMatch(/^NSpid:.*\t1$/m);
    process.kill(pid, "SIGTERM");
    expect(await started?.exited).toBe(0);
  });

  it("comes up under the original's chart, where nothing is changed but the image", async () => {
    const [port, metrics] = [await freePort("127.0.0.1"), await freePort("127.0.0.1")];
    const { command = [], args = [], securityContext } = originalContainer(port, metrics);
    expect(command).toEqual(["controller"]);
    // A user that the image does not know; the account's files are there, and no kubeconfig.
    const user = `${String(securityContext["runAsUser"])}:0`;
    const env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: "1" };
    const pid = await comesUp(inImage([...command, ...args], { user, env }), port, metrics);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    expect(status).toMatch(/^Uid:\t1001\t/m);
    process.kill(pid, "SIGTERM");
    expect(await started?.exited).toBe(0);
  });

  it("is what the manifest for a cluster starts", () => {
    const pod = podOf(readFileSync("deploy/signet.yaml", "utf8"));
    const [container] = pod?.containers ?? [];
    expect(container?.command ?? image.config.Entrypoint).toEqual(image.config.Entrypoint);
    expect({ ...pod?.securityContext, ...container?.securityContext }).toMatchObject({
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
    });
  });
});
