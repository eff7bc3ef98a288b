// An image as an OCI archive, of one layer: what `ctr images import` and `docker load` read.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface ImageContent {
  /** As written in a Pod: registry, repository and tag. */
  readonly name: string;
  /** Folder with all files of the image; they become root's. */
  readonly root: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const TYPES = "application/vnd.oci.image";
/** How Go's programs, containerd among them, name this machine's processor. */
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

/** Writes the image to `archive`. */
function writeArchive(archive: string, content: ImageContent): void {
  const { name, root, user, entrypoint, env = {} } = content;
  const folder = mkdtempSync(join(tmpdir(), "signet-oci-"));
  const blobs = join(folder, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const store = (kind: string, bytes: Buffer): Descriptor => {
    const sum = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, sum), bytes);
    return { mediaType: `${TYPES}.${kind}`, digest: `sha256:${sum}`, size: bytes.length };
  };
  const storeJson = (kind: string, value: object): Descriptor =>
    store(kind, Buffer.from(JSON.stringify(value)));
  try {
    const tar = join(folder, "layer.tar");
    const owner = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name"];
    execFileSync("tar", ["--create", "--file", tar, ...owner, "--directory", root, "."]);
    const layer = store("layer.v1.tar", readFileSync(tar));
    rmSync(tar);
    const config = storeJson("config.v1+json", {
      ...{ architecture: ARCHITECTURE, os: "linux" },
      config: {
        User: user,
        Entrypoint: entrypoint,
        Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
      },
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    });
    const manifest = { schemaVersion: 2, mediaType: `${TYPES}.manifest.v1+json`, config };
    const stored = storeJson("manifest.v1+json", { ...manifest, layers: [layer] });
    const annotations = { "org.opencontainers.image.ref.name": name };
    const index = { schemaVersion: 2, manifests: [{ ...stored, annotations }] };
    writeFileSync(join(folder, "index.json"), JSON.stringify(index));
    writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    execFileSync("tar", [
      ...["--create", "--file", archive, "--directory", folder],
      ...["oci-layout", "index.json", "blobs"],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same of single files: their places in the image, and where they are now. */
export function writeArchiveOfFiles(
  archive: string,
  files: Readonly<Record<string, string>>,
  content: Omit<ImageContent, "root">,
): void {
  const root = mkdtempSync(join(tmpdir(), "signet-image-"));
  try {
    for (const [place, file] of Object.entries(files)) {
      cpSync(file, join(root, place), { recursive: true });
    }
    writeArchive(archive, { ...content, root });
  } finally {
    rmSync(root, { recursive: true });
  }
}
