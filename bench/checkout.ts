// Creates the Git repository of sealed files that repository.ts and reseal.ts use, with its keys
// and history, and a working tree in which every value is stale; checks re-sealed files.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Certificate } from "../shared/keys/keykind.ts";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { readKeyFile } from "../shared/keys/keyfile.ts";
import type { SealingKeyPair } from "../shared/keys/keypair.ts";
import { Keyring } from "../shared/keys/keyring.ts";
import { formatManifests, parseManifests } from "../shared/manifest/manifest.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret, parseSealedSecret } from "../shared/sealing/sealedsecret.ts";
import { openValues } from "../shared/sealing/unseal.ts";
import { objectsOf } from "../shared/kubernetes/object.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";
import { cleanEnvironment } from "../test/cluster/program.ts";
import { benchKey, benchSecret, ITEMS_PER_SECRET } from "./measure.ts";

/** A cluster of signet.yaml; its controller runs in a namespace of the same name. */
export interface BenchCluster {
  readonly name: string;
  readonly older: SealingKeyPair;
  readonly newest: SealingKeyPair;
}

export interface Checkout {
  /** The repository. At HEAD a fifth of the files is still sealed with the older keys. */
  readonly folder: string;
  readonly clusters: readonly BenchCluster[];
  /** The commit in which every value is sealed with its cluster's older key. */
  readonly first: string;
  /** The Secret that each file contains, by the file's path relative to the root. */
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly values: number;
}

export const CLUSTERS = ["dev", "staging", "prod"];
const TEAMS = 8;
const DAY_MS = 86_400_000;
export const OLDER_MS = 40 * DAY_MS;
export const NEWEST_MS = 10 * DAY_MS;
/** One file in this many keeps the older key. */
const LEFT_ONE_OF = 5;
const COMMITS = 100;
/** One re-sealed file in this many is opened; opening all would take as long as the measurement. */
const OPENED_ONE_OF = 20;

export const PROJECT = `clusters:
${CLUSTERS.map((name) => `  ${name}:\n    controller:\n      namespace: ${name}\n`).join("")}paths:
${CLUSTERS.map((name) => `  "${name}/{namespace}/{name}.yaml": ${name}\n`).join("")}`;

/** Creates the repository: `count` sealed files, and as many other manifests next to them. */
export async function makeCheckout(scratch: string, count: number): Promise<Checkout> {
  const folder = join(scratch, "repository");
  const clusters = await Promise.all(
    CLUSTERS.map(async (name) => ({
      name,
      older: await benchKey(OLDER_MS),
      newest: await benchKey(NEWEST_MS),
    })),
  );
  write(folder, "signet.yaml", PROJECT);
  for (const { name, older, newest } of clusters) {
    write(folder, `certificates/${name}.pem`, newest.certificatePem + older.certificatePem);
  }
  const secrets = new Map<string, Secret>();
  const under = clusters.map(({ older, newest }) => ({
    older: parseCertificate(older.certificatePem),
    newest: parseCertificate(newest.certificatePem),
  }));
  const stale: { path: string; newest: Certificate }[] = [];
  for (let index = 0; index < count; index++) {
    const cluster = index % clusters.length;
    const { older, newest } = under[cluster] ?? {};
    if (older === undefined || newest === undefined) throw new Error("a cluster without keys");
    const team = `team-${Math.floor(index / clusters.length) % TEAMS}`;
    const secret = benchSecret(team, `secret-${index}`);
    const below = `${CLUSTERS[cluster] ?? ""}/${team}`;
    const path = `${below}/secret-${index}.yaml`;
    secrets.set(path, secret);
    write(folder, path, await sealedText(secret, older));
    write(folder, `${below}/apps/app-${index}.yaml`, deployment(team, `app-${index}`, 0));
    if (index % LEFT_ONE_OF !== 0) stale.push({ path, newest });
  }
  git(folder, "init", "--quiet");
  const first = commitAll(folder, "Seal all under the older keys");
  // Real repositories are not re-sealed all at once.
  const aCommit = Math.ceil(stale.length / COMMITS);
  for (let at = 0; at < stale.length; at += aCommit) {
    for (const { path, newest } of stale.slice(at, at + aCommit)) {
      write(folder, path, await sealedText(secrets.get(path) as Secret, newest));
    }
    commitAll(folder, `Re-seal some, from ${at}`);
  }
  return { folder, clusters, first, secrets, values: count * ITEMS_PER_SECRET };
}

/** Adds a second working tree, in which every value is stale, and returns its path. */
export function addRotated({ folder, first }: Checkout, scratch: string): string {
  const rotated = join(scratch, "rotated");
  git(folder, "worktree", "add", "--quiet", "--detach", rotated, first);
  return rotated;
}

/** Restores every tracked file of a working tree. */
export function restore(tree: string): void {
  git(tree, "checkout", "--quiet", "--", ".");
}

/** Fast but wrong results do not count. @throws Error unless every value in `tree` was re-sealed */
export async function checkResealed(checkout: Checkout, tree: string): Promise<void> {
  const fingerprints = new Map(
    checkout.clusters.map(({ name, newest }) => [
      name,
      parseCertificate(newest.certificatePem).fingerprint,
    ]),
  );
  const paths = [...checkout.secrets.keys()];
  for (const path of paths) {
    const fingerprint = fingerprints.get(clusterOf(path)) ?? "";
    if (
      !readFileSync(join(tree, path), "utf8").includes(`kube-signet/sealed-under: ${fingerprint}`)
    ) {
      throw new Error(`${path}: not under the newest key`);
    }
  }
  await checkOpens(
    checkout,
    tree,
    paths.filter((_, index) => index % OPENED_ONE_OF === 0),
  );
}

/** @throws Error unless each file opens with its cluster's newest key and has the right values */
export async function checkOpens(
  { clusters, secrets }: Checkout,
  tree: string,
  paths: readonly string[],
): Promise<void> {
  const keyrings = new Map(clusters.map(({ name, newest }) => [name, keyringOf(newest)]));
  for (const path of paths) {
    const keyring = keyrings.get(clusterOf(path));
    const [object] = parseManifests(readFileSync(join(tree, path), "utf8")).flatMap(objectsOf);
    if (keyring === undefined || object === undefined) throw new Error(`${path}: nothing in it`);
    const { values } = await openValues(parseSealedSecret(object), keyring);
    for (const [item, value] of secrets.get(path)?.data ?? []) {
      if (!Buffer.from(value).equals(values.get(item) ?? Buffer.alloc(0))) {
        throw new Error(`${path}: ${item} is not what it was`);
      }
    }
  }
}

/** Returns the cluster that a file is for. */
export function clusterOf(path: string): string {
  return path.split("/")[0] ?? "";
}

function keyringOf({ privateKeyPem, certificatePem }: SealingKeyPair): Keyring {
  const certificate = parseCertificate(certificatePem);
  const { notBefore, fingerprint } = certificate;
  const keys = readKeyFile(privateKeyPem, fingerprint);
  return new Keyring(
    keys.map((key) => ({ ...key, certificate, orderedAt: notBefore, createdAt: notBefore })),
  );
}

export async function sealedText(secret: Secret, certificate: Certificate): Promise<string> {
  return formatManifests([formatSealedSecret(await seal(secret, certificate))], "yaml");
}

function write(folder: string, below: string, text: string): void {
  const path = join(folder, below);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** A manifest next to a sealed file. One in ten contains the word Secret, so that scans read it. */
export function deployment(namespace: string, name: string, version: number): string {
  const comment = name.endsWith("0") ? "# Its Secret is sealed in the folder above.\n" : "";
  const manifest = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          containers: [
            {
              name: "app",
              image: `registry.example.org/${name}:1.0.${version}`,
              envFrom: [{ secretRef: { name: `secret-of-${name}` } }],
              ports: [{ containerPort: 8080, name: "http" }],
              resources: { requests: { cpu: "100m", memory: "128Mi" } },
            },
          ],
        },
      },
    },
  };
  return comment + formatManifests([manifest], "yaml");
}

export function git(folder: string, ...args: string[]): string {
  const settings = ["user.name=Bench", "user.email=bench@example.org", "commit.gpgsign=false"];
  const all = [...settings, "gc.auto=0", "core.hooksPath=/dev/null"].flatMap((each) => [
    "-c",
    each,
  ]);
  return execFileSync("git", [...all, ...args], {
    cwd: folder,
    env: cleanEnvironment(),
    encoding: "utf8",
  });
}

function commitAll(folder: string, subject: string): string {
  git(folder, "add", "--all");
  git(folder, "commit", "--quiet", "--message", subject);
  return git(folder, "rev-parse", "HEAD").trim();
}
