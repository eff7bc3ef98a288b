// Buildah, and the image that the Dockerfile starts from, out of Debian's packages. They are unpacked
// and never installed: no root is needed, nothing on the machine changes, and no processor is
// emulated for the base of another one. No registry is asked, whose limits and answers differ from
// machine to machine.
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Apt, fetchAlone, fetchWithNeeds, openApt, unpack } from "./apt.ts";
import { packageFromNpm, run } from "./fetch.ts";

/** What apt checks Debian's signatures with; of the package debian-archive-keyring. */
export const DEBIAN_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

const RELEASE = "trixie";
/** The name of the base image in the Dockerfile, where it may also have a digest. */
export const BASE_IMAGE = `node:26-${RELEASE}-slim`;
const SOURCES = [
  `http://deb.debian.org/debian ${RELEASE} main`,
  `http://deb.debian.org/debian ${RELEASE}-updates main`,
  `http://deb.debian.org/debian-security ${RELEASE}-security main`,
];
const NPM = "npm@11.21.2";
const NPM_SHA512 =
  "7HPApk+AflMUavSseL1Pm6CnYqMIHk53x+KmuhqmTDqPkjPMgxIpTPcTqsE91EKNw4gFBJV9fnXiSdGm1DXq9A==";

type NodeArch = "x64" | "arm64";
const DEBIAN_ARCHS = { x64: "amd64", arm64: "arm64" } as const;

/** Buildah with the libraries that it is linked to, and the program that it looks for at its start. */
const BUILDAH = (
  "buildah netavark libacl1 libassuan9 libattr1 libaudit1 libbsd0 libbz2-1.0 libc6 libcap-ng0 " +
  "libcrypt1 libgpg-error0 libgpgme11t64 libmd0 libpam0g libpcre2-8-0 libseccomp2 libselinux1 " +
  "libsemanage2 libsepol2 libsqlite3-0 libsubid5"
).split(" ");
/** What the stages of the Dockerfile use of the official image, and what that needs. */
const BASE =
  "base-files base-passwd bash coreutils dash dpkg findutils grep sed libatomic1 libstdc++6".split(
    " ",
  );

/**
 * Its programs and libraries are seen in place of the machine's own, whatever those are, and its locks
 * are in a folder of its own. Uses the settings next to it, because the machine may have none.
 */
const LAUNCHER = `#!/bin/sh
beside=$(dirname "$0")
export HOME="$beside/home" CONTAINERS_CONF="$beside/containers.conf"
export CONTAINERS_REGISTRIES_CONF="$beside/registries.conf" CONTAINERS_STORAGE_CONF="$beside/storage.conf"
test "$(id -u)" = 0 && as= || as=--map-root-user
exec unshare --mount $as sh -c 'mount -t tmpfs tmpfs /run && mount --bind "$0/program/usr" /usr && exec /usr/bin/buildah "$@"' "$beside" "$@"
`;
const SETTINGS = {
  // What buildah asks for otherwise is more than a container may have.
  "containers.conf": '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n',
  "registries.conf": "",
  // Slower than overlay, and the only driver that works wherever tests run, in containers too.
  "storage.conf": '[storage]\ndriver = "vfs"\n',
  "home/.config/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
};

/** Whatever changes what `makeImageBuilder` makes. */
export const IMAGE_BUILDER = JSON.stringify([
  BASE_IMAGE,
  SOURCES,
  NPM,
  BUILDAH,
  BASE,
  LAUNCHER,
  SETTINGS,
]);

/** An apt-get for Debian's own packages of a processor, whatever this machine has. */
async function openDebian(folder: string, arch: NodeArch): Promise<Apt> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "status"), "");
  const sources = SOURCES.map((source) => `deb [signed-by=${DEBIAN_KEYS}] ${source}\n`).join("");
  await writeFile(join(folder, "sources.list"), sources);
  return openApt(folder, {
    "APT::Architecture": DEBIAN_ARCHS[arch],
    "APT::Architectures": DEBIAN_ARCHS[arch],
    "Dir::Etc::sourcelist": join(folder, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State": folder,
    "Dir::State::status": join(folder, "status"),
  });
}

/** dpkg's own record of the packages, as if it had installed them. */
async function writeDpkgRecords(files: readonly string[], root: string): Promise<void> {
  const records = join(root, "var/lib/dpkg");
  await mkdir(join(records, "info"), { recursive: true });
  let status = "";
  for (const file of files) {
    const fields = await run("dpkg-deb", ["--field", file]);
    const [line = "", name = ""] = /^Package: (.*)\n/.exec(fields) ?? [];
    status += `${line}Status: install ok installed\n${fields.slice(line.length).trimEnd()}\n\n`;
    const listed = await run("dpkg-deb", ["--contents", file]);
    const paths = [...listed.matchAll(/^(?:\S+\s+){5}\.\/(.*?)\/?(?: -> .*)?$/gm)];
    // There, the folder that contains everything has a different name.
    const list = paths.map(([, path = ""]) => `/${path === "" ? "." : path}\n`);
    await writeFile(join(records, `info/${name}.list`), list.join(""));
  }
  await writeFile(join(records, "status"), status);
}

interface NodeForBase {
  readonly version: string;
  program: (arch: NodeArch) => Promise<Buffer>;
}

/** Files of the official image, as far as the Dockerfile's stages look at them. */
async function makeBase(root: string, apt: Apt, node: Buffer, npm: Buffer): Promise<void> {
  const files = await fetchWithNeeds(apt, BASE);
  await unpack(files, root);
  await writeDpkgRecords(files, root);
  // What the packages' scripts would do, which are not run: they would be another processor's.
  for (const name of ["passwd", "group"] as const) {
    const master = join(root, `usr/share/base-passwd/${name}.master`);
    await writeFile(join(root, "etc", name), await readFile(master));
  }
  const local = join(root, "usr/local");
  const modules = join(local, "lib/node_modules/npm");
  for (const folder of [join(local, "bin"), modules]) await mkdir(folder, { recursive: true });
  await writeFile(join(local, "bin/node"), node, { mode: 0o755 });
  const archive = join(root, "npm.tgz");
  await writeFile(archive, npm);
  await run("tar", ["-xzf", archive, "-C", modules, "--strip-components=1"]);
  await rm(archive);
  const program = '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n';
  await writeFile(join(local, "bin/npm"), program, { mode: 0o755 });
}

/**
 * Writes `buildah`, a program, and `base-images`, a storage of it with the Dockerfile's base for
 * x86-64 and arm64, into the folder. `arch`: this machine's.
 */
export async function makeImageBuilder(
  directory: string,
  arch: NodeArch,
  node: NodeForBase,
): Promise<void> {
  const scratch = join(directory, "scratch");
  const own = await openDebian(join(scratch, arch), arch);
  const program = join(directory, "program");
  await unpack(await fetchAlone(own, BUILDAH), program);
  // Programs of buildah's own tests, most of the package.
  await rm(join(program, "usr/libexec/buildah"), { recursive: true, force: true });
  await mkdir(join(directory, "home/.config/containers"), { recursive: true });
  for (const [name, text] of Object.entries(SETTINGS)) await writeFile(join(directory, name), text);
  const launcher = join(directory, "buildah");
  await writeFile(launcher, LAUNCHER);
  await chmod(launcher, 0o755);

  const storage = ["--root", join(directory, "base-images"), "--runroot", join(scratch, "run")];
  const buildah = async (...args: string[]): Promise<string> =>
    (await run(launcher, [...storage, ...args])).trim();
  const name = `docker.io/library/${BASE_IMAGE}`;
  await buildah("manifest", "create", name);
  const pin = { hash: "sha512", encoding: "base64", sum: NPM_SHA512 } as const;
  const npm = await packageFromNpm(NPM, pin, directory);
  for (const each of ["x64", "arm64"] as const) {
    const apt = each === arch ? own : await openDebian(join(scratch, each), each);
    const root = join(scratch, each, "root");
    await makeBase(root, apt, await node.program(each), npm);
    const platform = `linux/${DEBIAN_ARCHS[each]}`;
    const container = await buildah("from", "--platform", platform, "scratch");
    await buildah("add", "--quiet", container, root, "/");
    await buildah(
      "config",
      "--env",
      `NODE_VERSION=${node.version}`,
      "--cmd",
      '["node"]',
      container,
    );
    await buildah(
      "commit",
      "--quiet",
      "--rm",
      "--disable-compression",
      "--manifest",
      name,
      container,
    );
  }
  await rm(scratch, { recursive: true });
}
