// From each released version to the next, and one back, with SealedSecrets in use. test/node/releases.json
// lists the versions, the oldest first; a folder holds what was published of each:
// signet-controller-VERSION.tar (the image as an OCI archive) and signet-VERSION.tgz (the chart). This
// checkout comes after them; before the first release, it goes on to a build with the next number.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sealed, SEALED_SECRETS, untilData } from "../cluster/objects.ts";
import { startWatch, type Watch } from "../cluster/watch.ts";
import { type RealCluster, startRealCluster } from "./cluster.ts";
import { chartVersion, controllerImage, type Image } from "./images.ts";
import { CERTIFICATE, evaluate, NAMESPACE, podsOf, untilReadyPods } from "./pods.ts";

/** Names the folder of what was published. */
const FOLDER_VARIABLE = "KUBE_SIGNET_RELEASES";

interface Version {
  readonly version: string;
  readonly image: Image;
  /** Path of the chart. */
  readonly chart: string;
}

/** Packs this checkout's chart under another version. */
let packChart: (version: string) => Promise<string>;
const scratch = mkdtempSync(join(tmpdir(), "signet-upgrades-"));
const RELEASES = JSON.parse(readFileSync("test/node/releases.json", "utf8")) as string[];
const REPOSITORY = "docker.io/kube-signet/signet-controller";

function released(version: string): Version {
  const folder = process.env[FOLDER_VARIABLE];
  if (folder === undefined || folder === "") {
    throw new Error(
      `test/node/releases.json names ${version}: put its image and chart, signet-controller-${version}.tar ` +
        `and signet-${version}.tgz, into a folder and name it in ${FOLDER_VARIABLE}`,
    );
  }
  const name = `${REPOSITORY}:${version}`;
  const archive = resolve(folder, `signet-controller-${version}.tar`);
  return {
    version,
    image: { name, archive, nameInArchive: name },
    chart: resolve(folder, `signet-${version}.tgz`),
  };
}

/** The patch release after this one. */
function nextNumber(version: string): string {
  const [major = "0", minor = "0", patch = "0"] = version.split("-")[0]?.split(".") ?? [];
  return `${major}.${minor}.${Number(patch) + 1}`;
}

async function built(version: string): Promise<Version> {
  const image = await controllerImage({ name: `${REPOSITORY}:${version}`, version });
  return { version, image, chart: await packChart(version) };
}

/** The versions to go through, two at least. */
async function allVersions(): Promise<Version[]> {
  const current = chartVersion();
  const before = RELEASES.filter((each) => each !== current).map(released);
  const after = before.length > 0 ? [] : [await built(nextNumber(current))];
  return [...before, await built(current), ...after];
}

let cluster: RealCluster;
let watch: Watch | undefined;
let certificate = "";
let versions: Version[] = [];
/** What is in use: the value of each SealedSecret. */
const values = new Map<string, string>();

async function declare(name: string, value: string): Promise<void> {
  const stringData = { value };
  values.set(name, value);
  await cluster.plane.apply(await sealed(certificate, { namespace: "shop", name, stringData }));
  await untilData(cluster.plane, "shop", name, { value });
}

async function expectAll(): Promise<void> {
  for (const [name, value] of values) await untilData(cluster.plane, "shop", name, { value });
}

/** The version of the program that runs in each pod. */
async function untilRuns(version: string): Promise<void> {
  const script = `console.log(require("/opt/kube-signet/package.json").version)`;
  await untilReadyPods(cluster, 2);
  for (const { metadata } of await podsOf(cluster)) {
    expect(await evaluate(cluster, metadata.name, script)).toBe(`${version}\n`);
  }
}

const helm = (action: string, { chart, image }: Version): Promise<string> =>
  cluster.helm(
    ...[action, "signet", chart, `--namespace=${NAMESPACE}`, "--wait", "--timeout=600s"],
    ...[
      `--set=image.tag=${image.name.split(":").at(-1) ?? ""}`,
      "--set=extraArgs={--key-size=2048}",
    ],
  );

beforeAll(async () => {
  cluster = await startRealCluster({ nodes: 1 });
  packChart = async (version) => {
    const numbers = [`--version=${version}`, `--app-version=${version}`];
    await cluster.helm("package", "charts/signet", ...numbers, `--destination=${scratch}`);
    return join(scratch, `signet-${version}.tgz`);
  };
  versions = await allVersions();
  for (const { image } of versions) await cluster.load(image);
  await cluster.kubectl(["create", "namespace", "shop"]);
});

afterAll(async () => {
  watch?.stop();
  await cluster.stop();
  rmSync(scratch, { recursive: true });
});

describe("an installation in use", () => {
  it("starts with the oldest version", async () => {
    const [oldest] = versions;
    if (oldest === undefined) throw new Error("there is no version");
    await helm("install", oldest);
    await untilRuns(oldest.version);
    const { text } = await cluster.plane.request("GET", CERTIFICATE);
    certificate = text;
    for (const name of ["first", "second"]) await declare(name, `sealed for ${oldest.version}`);
    watch = await startWatch(cluster.plane, [
      {
        path: "/api/v1/secrets",
        kind: "Secret",
        fields: ["data", "type"],
        leaveOut: ({ type }) => type === "helm.sh/release.v1",
      },
      { path: `${SEALED_SECRETS}/sealedsecrets`, kind: "SealedSecret", fields: ["spec"] },
    ]);
  });

  it("goes to each next version, one back, and there again, and no Secret is touched", async () => {
    expect(versions.length).toBeGreaterThan(1);
    for (const [index, next] of versions.entries()) {
      const before = versions[index - 1];
      if (before === undefined) continue;
      await helm("upgrade", next);
      await untilRuns(next.version);
      await expectAll();
      await declare(`by-${next.version}`, "by the newer");

      await cluster.helm("rollback", "signet", `--namespace=${NAMESPACE}`, "--wait");
      await untilRuns(before.version);
      await expectAll();
      await declare(`back-${before.version}`, "by the older, after the newer");

      await helm("upgrade", next);
      await untilRuns(next.version);
      await expectAll();
    }
    expect((await cluster.plane.request("GET", CERTIFICATE)).text).toBe(certificate);
    expect(watch?.disturbances()).toEqual([]);
  });

  it("would have been told of a change, so that the above means something", async () => {
    await declare("first", "another value");
    await cluster.plane.waitFor("the change", () =>
      watch?.disturbances().includes("Secret shop/first: data"),
    );
  });
});
