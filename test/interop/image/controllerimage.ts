// Builds the controller's image as a release does, with a real builder and without a container engine.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd } from "../../cluster/program.ts";
import { BASE_IMAGE } from "../../parts/imagebuilder.ts";
import { partPath } from "../../parts/parts.ts";

/** Every file of the image gets this time, so that its bytes are those of the commit alone. */
const SECONDS_SINCE_1970 = 1_700_000_000;

export type Platform = "linux/amd64" | "linux/arm64";

interface Options {
  /** The image's name in the archive, as `docker.io/kube-signet/signet-controller:dev`. */
  readonly tag: string;
  /** The whole hash of the commit that the programs name with `--version`. */
  readonly commit: string;
  /** The processor that it is for: this machine's where left out. */
  readonly platform?: Platform;
  /** Folder of the Dockerfile and all that it copies: the working folder where left out. */
  readonly context?: string;
}

/** False in a user namespace with a single user, who is `nobody` outside it. */
function canBecomeOthers(): boolean {
  const map = readFileSync("/proc/self/uid_map", "utf8").trim().split("\n");
  return map.some((line) => Number(line.trim().split(/\s+/)[2]) > 65_532);
}

/**
 * Builds the image by the Dockerfile. Nothing is fetched: what `npm ci` installs in it comes
 * from npm's cache, where the packages of this folder came through.
 * @returns Path of an OCI archive, the file `image.tar` in `folder`
 * @throws Error with the builder's last lines
 */
export async function buildControllerImage(folder: string, options: Options): Promise<string> {
  if (!canBecomeOthers()) {
    throw new Error("building an image needs more than one user: run `npm test` as root");
  }
  const archive = join(folder, "image.tar");
  const scratch = mkdtempSync(join(tmpdir(), "signet-builder-"));
  try {
    const npmrc = join(scratch, "npmrc");
    writeFileSync(npmrc, "offline = true\ncache = /npm-cache\nlogs-max = 0\n");
    const npm = await runToEnd(["npm", "config", "get", "cache"]);
    const { tag, commit, platform, context = "." } = options;
    const command = [
      partPath("buildah"),
      ...["--root", join(scratch, "storage"), "--runroot", join(scratch, "run")],
      `--storage-opt=vfs.imagestore=${partPath("base-images")}`,
      ...["build", "--isolation=chroot", "--network=host", "--pull-never", "--format=oci"],
      `--timestamp=${SECONDS_SINCE_1970}`,
      ...(platform === undefined ? [] : [`--platform=${platform}`]),
      `--build-arg=COMMIT=${commit}`,
      `--build-arg=NODE_IMAGE=${BASE_IMAGE}`,
      ...["--volume", `${npm.stdout.trim()}:/npm-cache`, "--volume", `${npmrc}:/root/.npmrc:ro`],
      `--tag=oci-archive:${archive}:${tag}`,
      context,
    ];
    const { status, stdout, stderr } = await runToEnd(command);
    const lines = `${stdout}${stderr}`.trim().split("\n").slice(-20).join("\n");
    if (status !== 0) throw new Error(`the image's build ended with ${String(status)}:\n${lines}`);
    return archive;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
