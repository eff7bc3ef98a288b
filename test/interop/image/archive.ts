// Reads an OCI archive, the file in which an image goes from one machine to another.
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runToEnd } from "../../cluster/program.ts";

interface Descriptor {
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** How the image is run, and for which processor. */
interface ImageConfig {
  readonly architecture: string;
  readonly config: {
    readonly User: string;
    readonly Entrypoint: string[];
    readonly Env: string[];
    readonly Labels: Readonly<Record<string, string>>;
  };
}

export interface Image extends ImageConfig {
  /** Folder with all files of the image. */
  readonly root: string;
  /** Of each layer, the hash of its bytes. */
  readonly layers: string[];
  /** Hash of all of it: what an image is named by. */
  readonly digest: string;
  readonly tag: string | undefined;
}

async function unpack(archive: string, folder: string): Promise<void> {
  const { status, stderr } = await runToEnd(["tar", "-xpf", archive, "-C", folder]);
  if (status !== 0) throw new Error(`tar: ${stderr}`);
}

/** Unpacks the archive's one image below `folder`, and its layers one over the other. */
export async function openImage(archive: string, folder: string): Promise<Image> {
  const layout = mkdtempSync(join(folder, "layout-"));
  await unpack(archive, layout);
  const blob = ({ digest }: Descriptor): string => join(layout, "blobs", digest.replace(":", "/"));
  const read = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
  const { manifests } = read(join(layout, "index.json")) as { manifests: Descriptor[] };
  const [image, ...others] = manifests;
  if (image === undefined || others.length > 0) throw new Error("the archive has not one image");
  const manifest = read(blob(image)) as { config: Descriptor; layers: Descriptor[] };
  const root = mkdtempSync(join(folder, "root-"));
  // Every user may enter it, as in a container.
  chmodSync(root, 0o755);
  for (const layer of manifest.layers) await unpack(blob(layer), root);
  const config = read(blob(manifest.config)) as ImageConfig;
  rmSync(layout, { recursive: true });
  return {
    ...config,
    root,
    layers: manifest.layers.map(({ digest }) => digest),
    digest: image.digest,
    tag: image.annotations?.["org.opencontainers.image.ref.name"],
  };
}
