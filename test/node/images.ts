// The images that pods run here: the controller's as the Dockerfile makes it, the original's, and the
// one of a Pod's sandbox. Each is an archive, made once in a run of the tests.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildControllerImage } from "../interop/image/controllerimage.ts";
import { partPath } from "../parts/parts.ts";
import { writeArchiveOfFiles } from "./oci.ts";

export interface Image {
  /** As written in a Pod. */
  readonly name: string;
  /** Path of its OCI archive. */
  readonly archive: string;
  /** The digest in the archive. */
  readonly nameInArchive: string;
}

export const PAUSE = "signet.test/pause:1";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** Names the folder of the archives; that of temporary files, which goes with a run of the tests, if not set. */
export const IMAGES_VARIABLE = "KUBE_SIGNET_IMAGES";

/**
 * Creates an archive unless this test run already has it. The archive is complete or missing, even
 * if a process is killed.
 */
async function once(
  file: string,
  make: (archive: string) => void | Promise<void>,
): Promise<string> {
  const archive = join(process.env[IMAGES_VARIABLE] ?? tmpdir(), file);
  if (existsSync(archive)) return archive;
  const making = `${archive}.${process.pid}`;
  await make(making);
  renameSync(making, archive);
  return archive;
}

/** The version of the chart, which is the default tag of its image. */
export function chartVersion(): string {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  return version;
}

const CONTROLLER = "docker.io/kube-signet/signet-controller";

/**
 * The controller's image, by the Dockerfile. @param name as written in a Pod; the chart's where
 * left out @param version that it says of itself; this checkout's where left out
 */
export async function controllerImage({
  version = chartVersion(),
  name = `${CONTROLLER}:${version}`,
}: {
  version?: string;
  name?: string;
} = {}): Promise<Image> {
  const nameInArchive = `signet.test/controller:${version}`;
  const archive = await once(`controller-${version}.tar`, async (file) => {
    const scratch = mkdtempSync(join(tmpdir(), "signet-controller-"));
    try {
      const context = version === chartVersion() ? "." : contextOf(version, scratch);
      const options = { tag: nameInArchive, commit: COMMIT, context };
      renameSync(await buildControllerImage(scratch, options), file);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
  return { name, archive, nameInArchive };
}

/** A copy of what the Dockerfile copies, with another version. Returns its folder. */
function contextOf(version: string, scratch: string): string {
  const context = join(scratch, "context");
  mkdirSync(context);
  const rules = readFileSync(".dockerignore", "utf8").matchAll(/^!(\S+)$/gm);
  const named = Array.from(rules, ([, name = ""]) => name);
  for (const name of [...named, ".dockerignore", "Dockerfile"]) {
    cpSync(name, join(context, name), { recursive: true });
  }
  const file = join(context, "package.json");
  const manifest = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...manifest, version }, undefined, 2));
  return context;
}

/** What a program links to, at its place. */
function librariesOf(program: string): Record<string, string> {
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  const paths = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path);
  return Object.fromEntries(paths.map((path) => [path, realpathSync(path)]));
}

/** The original's controller under a name that its chart asks for. */
export async function originalImage(name: string): Promise<Image> {
  const nameInArchive = "signet.test/original:1";
  const archive = await once("original.tar", (file) => {
    const program = partPath("sealed-secrets-controller");
    const files = { "usr/local/bin/controller": program, ...librariesOf(program) };
    const config = { user: "1001", entrypoint: ["controller"], env: { PATH: "/usr/local/bin" } };
    writeArchiveOfFiles(file, files, { name: nameInArchive, ...config });
  });
  return { name, archive, nameInArchive };
}

/** What each node has, whatever runs on it. */
export async function pauseImage(): Promise<Image> {
  const archive = await once("pause.tar", (file) => {
    const files = { pause: partPath("pause") };
    const content = { name: PAUSE, user: "65535:65535", entrypoint: ["/pause"] };
    writeArchiveOfFiles(file, files, content);
  });
  return { name: PAUSE, archive, nameInArchive: PAUSE };
}
