// The images that pods run here: the controller's as the Dockerfile makes it, the original's, and the
// one of a Pod's sandbox. Each is an archive, made once in a run of the tests.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImage } from "../interop/image/dockerfile.ts";
import { partPath } from "../parts/parts.ts";
import { writeArchive, writeArchiveOfFiles } from "./oci.ts";

export interface Image {
  /** As it stands in a Pod. */
  readonly name: string;
  /** Path of its OCI archive. */
  readonly archive: string;
  /** The one that the archive tells. */
  readonly nameInArchive: string;
}

export const PAUSE = "signet.test/pause:1";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** Names the folder of the archives; that of temporary files, which goes with a run of the tests, if not set. */
export const IMAGES_VARIABLE = "KUBE_SIGNET_IMAGES";

/** Makes an archive unless this run of the tests has it. Whole or not at all, whoever is killed. */
function once(file: string, make: (archive: string) => void): string {
  const archive = join(process.env[IMAGES_VARIABLE] ?? tmpdir(), file);
  if (existsSync(archive)) return archive;
  const making = `${archive}.${process.pid}`;
  make(making);
  renameSync(making, archive);
  return archive;
}

/** The version of the chart, which is its image's tag where nobody says otherwise. */
export function chartVersion(): string {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  return version;
}

const CONTROLLER = "docker.io/kube-signet/signet-controller";

/**
 * The controller's image, by the Dockerfile. @param name as it stands in a Pod; the chart's where left
 * out @param version that it says of itself; this checkout's where left out
 */
export function controllerImage({
  version = chartVersion(),
  name = `${CONTROLLER}:${version}`,
}: {
  version?: string;
  name?: string;
} = {}): Image {
  const nameInArchive = `signet.test/controller:${version}`;
  const archive = once(`controller-${version}.tar`, (file) => {
    const scratch = mkdtempSync(join(tmpdir(), "signet-controller-"));
    try {
      const args = { COMMIT };
      const { root, config } = buildImage(scratch, args, partPath("node24"), version);
      writeArchive(file, { name: nameInArchive, root, ...config });
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
  return { name, archive, nameInArchive };
}

/** What a program links to, at its place. */
function librariesOf(program: string): Record<string, string> {
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  const paths = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path);
  return Object.fromEntries(paths.map((path) => [path, realpathSync(path)]));
}

/** The original's controller under a name that its chart asks for. */
export function originalImage(name: string): Image {
  const nameInArchive = "signet.test/original:1";
  const archive = once("original.tar", (file) => {
    const program = partPath("sealed-secrets-controller");
    const files = { "usr/local/bin/controller": program, ...librariesOf(program) };
    const config = { user: "1001", entrypoint: ["controller"], env: { PATH: "/usr/local/bin" } };
    writeArchiveOfFiles(file, files, { name: nameInArchive, ...config });
  });
  return { name, archive, nameInArchive };
}

/** What each node has, whatever runs on it. */
export function pauseImage(): Image {
  const archive = once("pause.tar", (file) => {
    const files = { pause: partPath("pause") };
    const content = { name: PAUSE, user: "65535:65535", entrypoint: ["/pause"] };
    writeArchiveOfFiles(file, files, content);
  });
  return { name: PAUSE, archive, nameInArchive: PAUSE };
}
