// That one program takes over from the other in an installation by Helm, there and back, by the
// commands of docs/migration.md as they stand there: with the original's own chart, its rights and
// arguments, its controller in real pods and its kubeseal, while everything that must stay is watched.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { load } from "js-yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readMarkdown } from "../cli/markdown.ts";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, type KubeObject, MERGE } from "../cluster/controlplane.ts";
import { makeRepository, type Repository } from "../cluster/gitops.ts";
import { readSecret, SEALED_SECRETS, untilData, untilVerdict } from "../cluster/objects.ts";
import { kubeseal } from "../cluster/original.ts";
import { ensureNamespace } from "../cluster/signet.ts";
import { startWatch, type Watch } from "../cluster/watch.ts";
import { type RealCluster, startRealCluster } from "./cluster.ts";
import { controllerImage, originalImage } from "./images.ts";
import { type Pod, podsOf, untilSettled } from "./pods.ts";

const THIS = "test/node/takeover.test.ts";
const NAMESPACE = "kube-system";
const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const DEFINITION = "sealedsecrets.bitnami.com";
const PREFIX = "sealedsecrets.bitnami.com";
const ORIGINAL = /^docker\.io\/bitnami\/sealed-secrets-controller:/;
const OURS = "registry.example.org/signet-controller:0.1.0";

/** The values of a user's own for our chart. */
const VALUES = `image:
  registry: registry.example.org
  repository: signet-controller
  tag: 0.1.0
`;

const BLOCKS = readMarkdown(readFileSync("docs/migration.md", "utf8")).blocks.filter(
  ({ mark }) => mark?.kind === "test" && mark.file === THIS,
);
const done = new Set<(typeof BLOCKS)[number]>();

interface Entry {
  readonly stringData?: Record<string, string>;
  readonly scope?: "strict" | "namespace-wide" | "cluster-wide";
  readonly type?: string;
  readonly immutable?: boolean;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  /** Rendered by the controller. */
  readonly template?: Record<string, string>;
  /** The Secret that is there before, by someone else. */
  readonly before?: Record<string, string>;
  /** All that the Secret holds in the end, where that is not `stringData`. */
  readonly becomes?: Record<string, string>;
}

/** What is sealed before the key is renewed, and after it. */
const FIRST = {
  "shop/strict": { stringData: { password: "one", "with.dots-and_more": "ü\n" } },
  "shop/namespace": { stringData: { password: "two" }, scope: "namespace-wide" },
  "billing/cluster": { stringData: { password: "three" }, scope: "cluster-wide" },
  "shop/pull": {
    type: "kubernetes.io/dockerconfigjson",
    stringData: { ".dockerconfigjson": '{"auths":{}}' },
  },
  "billing/fixed": { stringData: { password: "four" }, immutable: true },
  "shop/adopted": {
    stringData: { password: "five" },
    annotations: { [`${PREFIX}/managed`]: "true" },
    before: { own: "gone" },
  },
  "billing/patched": {
    stringData: { password: "six" },
    before: { own: "stays" },
    becomes: { own: "stays", password: "six" },
  },
} satisfies Record<string, Entry>;
const SECOND: Record<string, Entry> = {
  "ops/rendered": {
    stringData: { password: "seven" },
    template: { url: "db://u:{{ .password }}@db" },
    becomes: { password: "seven", url: "db://u:seven@db" },
  },
  "ops/login": {
    type: "kubernetes.io/basic-auth",
    stringData: { username: "admin", password: "eight" },
  },
  "ops/labelled": {
    stringData: { password: "nine" },
    labels: { team: "ops" },
    annotations: { note: "kept" },
  },
  "ops/unowned": {
    stringData: { password: "ten" },
    annotations: { [`${PREFIX}/skip-set-owner-references`]: "true" },
  },
  "billing/empty": { stringData: { none: "", some: "eleven" } },
};
const BATCHES: Record<string, Entry>[] = [FIRST, SECOND];

/** The image that the original's chart asks for. */
function originalName(): string {
  const text = readFileSync(`${partPath("original-chart")}/values.yaml`, "utf8");
  const { image } = load(text) as { image: Record<"registry" | "repository" | "tag", string> };
  return `${image.registry}/${image.repository}:${image.tag}`;
}

let plane: ControlPlane;
let kubeconfig: string;
let cluster: RealCluster;
let repository: Repository;
let watch: Watch | undefined;

/** Namespace and name. */
function split(key: string): [string, string] {
  const [namespace = "", name = ""] = key.split("/");
  return [namespace, name];
}

/** Runs the commands one by one, and waits until what they ask for runs; what they printed. */
async function run(commands: string): Promise<string> {
  let output = "";
  for (const line of commands.replaceAll("\\\n", " ").split("\n")) {
    output += await repository.sh(line);
    await untilSettled(cluster);
  }
  return output;
}

/** The lines of the document's block that has this in it. */
function lines(part: string): readonly string[] {
  const block = BLOCKS.find((each) => each.lines.join("\n").includes(part));
  if (block === undefined) throw new Error(`docs/migration.md has no "${part}"`);
  return block.lines;
}

/** Runs the next block of the document, which must have this in it; what it printed. */
async function follow(part: string): Promise<string> {
  const next = BLOCKS.find((block) => !done.has(block));
  const text = next?.lines.join("\n") ?? "";
  if (next === undefined || !text.includes(part)) {
    throw new Error(`the next block of docs/migration.md has no "${part}":\n${text}`);
  }
  done.add(next);
  return run(text);
}

function manifestOf(key: string, entry: Entry): string {
  const { stringData, type, immutable, labels, annotations } = entry;
  const [namespace, name] = split(key);
  const metadata = { name, namespace, labels, annotations };
  const object = { apiVersion: "v1", kind: "Secret", metadata, type, immutable, stringData };
  return JSON.stringify(object);
}

/** Seals a Secret with the original's kubeseal, which asks the controller, and applies it. */
async function seal(key: string, entry: Entry): Promise<void> {
  const scope = ["--scope", entry.scope ?? "strict"];
  const stdin = manifestOf(key, entry);
  const made = await kubeseal(scope, { kubeconfig, stdin });
  expect([made.status, made.stderr]).toEqual([0, ""]);
  const object = JSON.parse(made.stdout) as { spec: { template: Record<string, unknown> } };
  if (entry.template !== undefined) object.spec.template["data"] = entry.template;
  await commit(key, JSON.stringify(object));
}

/** A sealed file gets into the repository, and to the cluster. */
async function commit(key: string, text: string): Promise<void> {
  const file = `prod/${key}.yaml`;
  await repository.sh(`mkdir -p "$(dirname ${file})" && cat > ${file}`, text);
  await repository.sh(`kubectl apply -f ${file}`);
}

/** Beside several keys of the original, our controller first makes a key of its own. */
const untilSealable = (): Promise<unknown> =>
  plane.waitFor(
    "a certificate",
    async () => (await kubeseal(["--fetch-cert"], { kubeconfig })).status === 0,
  );

const expectData = (key: string, data: Record<string, string>): Promise<KubeObject> =>
  untilData(plane, ...split(key), data);

function secretPath(key: string): string {
  const [namespace, name] = split(key);
  return `/api/v1/namespaces/${namespace}/secrets/${name}`;
}

async function keyNames(): Promise<string[]> {
  const selector = `labelSelector=${PREFIX}%2Fsealed-secrets-key%3Dactive`;
  const { body } = await plane.request(
    "GET",
    `/api/v1/namespaces/${NAMESPACE}/secrets?${selector}`,
  );
  return (body.items ?? []).map(({ metadata }) => metadata?.name ?? "").sort();
}

/** All that was sealed at first is as it was. */
async function expectAll(): Promise<void> {
  for (const [key, entry] of BATCHES.flatMap((batch) => Object.entries(batch))) {
    const { type, immutable } = await expectData(key, entry.becomes ?? entry.stringData ?? {});
    expect([key, type]).toEqual([key, entry.type ?? "Opaque"]);
    expect([key, immutable ?? false]).toEqual([key, entry.immutable ?? false]);
  }
}

beforeAll(async () => {
  const original = await originalImage(originalName());
  cluster = await startRealCluster({ images: [original, await controllerImage({ name: OURS })] });
  ({ plane, kubeconfig } = cluster);
  for (const name of ["shop", "billing", "ops"]) await ensureNamespace(plane, name);
  repository = await makeRepository({ KUBECONFIG: kubeconfig });
  await repository.sh(`ln -s "${partPath("kubectl")}" ../bin/kubectl`);
  // Helm's folder, with both charts: one by the name that it has in a repository of charts.
  await repository.sh("mkdir -p ../helm/charts ../helm/sealed-secrets");
  await repository.sh(`ln -s "${resolve("charts/signet")}" ../helm/charts/signet`);
  await repository.sh(
    `ln -s "${partPath("original-chart")}" ../helm/sealed-secrets/sealed-secrets`,
  );
  await repository.sh("cat > ../helm/values.yaml", VALUES);
  const helm = `#!/bin/sh\ncd "$HOME/helm" && exec "${partPath("helm")}" "$@"\n`;
  await repository.sh("cat > ../bin/helm && chmod 755 ../bin/helm", helm);
});

afterAll(async () => {
  watch?.stop();
  await repository.remove();
  await cluster.stop();
});

/** The columns of `kubectl get sealedsecrets`, by which the definitions are told apart. */
async function columns(): Promise<string[]> {
  const { body } = await plane.request("GET", `${CRDS}/${DEFINITION}`);
  const { versions } = body.spec as {
    versions: { additionalPrinterColumns: { name: string }[] }[];
  };
  return versions[0]?.additionalPrinterColumns.map(({ name }) => name) ?? [];
}

/** The pods of either controller. */
const pods = (): Promise<Pod[]> =>
  podsOf(cluster, "app.kubernetes.io/name in (sealed-secrets,signet)", NAMESPACE);

/** The image that runs. */
async function runs(): Promise<string> {
  const images = new Set((await pods()).map(({ spec }) => spec.containers[0]?.image));
  return [...images].join(" ");
}

describe("an installation of the original by its own chart", () => {
  it("has two keys, and a dozen SealedSecrets of every kind", async () => {
    await run(lines("helm install sealed-secrets").join("\n"));
    expect(await runs()).toMatch(ORIGINAL);
    await repository.sh("signet init --cluster prod=test");
    for (const [turn, batch] of BATCHES.entries()) {
      if (turn > 0) await renewKey();
      for (const [key, entry] of Object.entries(batch)) {
        if (entry.before !== undefined) await plane.apply(present(key, entry.before));
        await seal(key, entry);
      }
    }
    await expectAll();
    expect(await keyNames()).toHaveLength(2);
    const answers = await follow("kubectl get crd");
    expect(answers).not.toContain("meta.helm.sh");
    expect(answers).toContain("kind: Deployment");
    expect(answers).not.toContain("CustomResourceDefinition");
    watch = await startWatch(plane, [
      {
        path: "/api/v1/secrets",
        kind: "Secret",
        fields: ["data", "type", "immutable"],
        leaveOut: ({ type }) => type === "helm.sh/release.v1",
      },
      { path: `${SEALED_SECRETS}/sealedsecrets`, kind: "SealedSecret", fields: ["spec"] },
      { path: CRDS, kind: "Definition", fields: [] },
    ]);
  });

  function present(key: string, stringData: Record<string, string>): KubeObject {
    const [namespace, name] = split(key);
    const mark = name === "adopted" ? "managed" : "patch";
    const metadata = { namespace, name, annotations: { [`${PREFIX}/${mark}`]: "true" } };
    return { apiVersion: "v1", kind: "Secret", metadata, stringData };
  }

  async function renewKey(): Promise<void> {
    const before = (await kubeseal(["--fetch-cert"], { kubeconfig })).stdout;
    // Its image has no program that could do it.
    const signal = ["pkill", "-USR1", "-x", "controller"];
    execFileSync("env", cluster.nodes[0]?.inside(signal));
    await plane.waitFor(
      "the next key",
      async () => (await kubeseal(["--fetch-cert"], { kubeconfig })).stdout !== before,
    );
  }
});

describe("by image swap", () => {
  it("our controller works with the original's definition, rights, command and arguments", async () => {
    await follow("helm upgrade");
    expect(await runs()).toBe(OURS);
    expect(await follow("rollout status")).toContain("successfully rolled out");
    await expectAll();
    await untilSealable();
    await seal("shop/strict", { stringData: { password: "changed" } });
    await expectData("shop/strict", { password: "changed" });
    await seal("ops/late", { stringData: { password: "late" } });
    await expectData("ops/late", { password: "late" });
    await sealOurs("ops/later", { stringData: { password: "later" } });
    await expectData("ops/later", { password: "later" });
  });

  it("and the original after it, which opens what was sealed meanwhile", async () => {
    await follow("helm rollback");
    expect(await runs()).toMatch(ORIGINAL);
    await seal("ops/later", { stringData: { password: "again" } });
    await expectData("ops/later", { password: "again" });
    await seal("shop/strict", FIRST["shop/strict"]);
    await expectAll();
  });

  it("also where both run for a moment, as in a rolling update", async () => {
    await run(lines("helm upgrade sealed-secrets").join("\n"));
    expect(await runs()).toBe(OURS);
    await untilSealable();
    await seal("billing/cluster", { stringData: { password: "rolled" }, scope: "cluster-wide" });
    await expectData("billing/cluster", { password: "rolled" });
    await run(lines("helm rollback").join("\n"));
    expect(await runs()).toMatch(ORIGINAL);
    await seal("billing/cluster", FIRST["billing/cluster"]);
    await expectAll();
  });
});

describe("by our chart, beside the original's release", () => {
  it("our controller takes over, and the original's release goes", async () => {
    await follow("kubectl scale");
    expect(await pods()).toEqual([]);
    await follow("kubectl label crd");
    await follow("helm install signet");
    expect(await runs()).toBe(OURS);
    expect(await columns()).toContain("Reason");
    // It begins with `signet keys list`.
    const shown = await follow("signet cert refresh");
    for (const name of await keyNames()) expect(shown).toContain(name);
    await follow("helm uninstall sealed-secrets");
    const verified = await repository.attempt("signet verify --live");
    expect(verified.stderr).toMatch(
      /^signet: \d+ SealedSecrets in \d+ files checked: no problems found\n$/,
    );
    await expectAll();
  });

  it("follows changes, and puts back what someone edits", async () => {
    await seal("shop/namespace", { stringData: { password: "new" }, scope: "namespace-wide" });
    await expectData("shop/namespace", { password: "new" });
    for (const key of ["billing/cluster", "shop/adopted"]) {
      const { data } = (await readSecret(plane, ...split(key))) ?? {};
      await plane.request("PATCH", secretPath(key), { stringData: { password: "evil" } }, MERGE);
      await plane.waitFor(`${key} to be put back`, async () => {
        const now = await readSecret(plane, ...split(key));
        return JSON.stringify(now?.data) === JSON.stringify(data);
      });
    }
    await sealOurs("ops/latest", { stringData: { password: "latest" } });
    await expectData("ops/latest", { password: "latest" });
  });

  it("takes a Secret without an owner when it is handed over", async () => {
    // Nothing says that the original made it: under the original it fails in the same way.
    await untilVerdict(plane, "ops", "unowned", "NotManaged");
    await run(`kubectl annotate secret unowned --namespace ops ${PREFIX}/managed=true`);
    await untilVerdict(plane, "ops", "unowned", "Unsealed");
  });

  it("and the original after it, by its chart again", async () => {
    await follow("helm uninstall signet");
    expect(await pods()).toEqual([]);
    expect(await columns()).toContain("Reason");
    await follow("helm install sealed-secrets");
    expect(await runs()).toMatch(ORIGINAL);
    // Helm 4 applies what a chart has in `crds`.
    expect(await columns()).not.toContain("Reason");
    await seal("ops/latest", { stringData: { password: "back" } });
    await expectData("ops/latest", { password: "back" });
    await seal("shop/namespace", FIRST["shop/namespace"]);
    await expectAll();
    // Two of the original, and one of ours: of several none is inherited.
    expect(await keyNames()).toHaveLength(3);
  });
});

/** The same with ours, which seals for the certificate in the repository. */
async function sealOurs(key: string, entry: Entry): Promise<void> {
  await commit(key, await repository.sh("signet seal --cluster prod", manifestOf(key, entry)));
}

/** What the tests above did on purpose. */
const MEANT = [
  ...sealedAnew("shop/strict"),
  ...sealedAnew("ops/later"),
  ...sealedAnew("shop/strict"),
  ...sealedAnew("billing/cluster"),
  ...sealedAnew("billing/cluster"),
  ...sealedAnew("shop/namespace"),
  // Edited, and put back.
  ...["Secret billing/cluster: data", "Secret billing/cluster: data"],
  ...["Secret shop/adopted: data", "Secret shop/adopted: data"],
  ...sealedAnew("ops/latest"),
  ...sealedAnew("shop/namespace"),
];

function sealedAnew(key: string): string[] {
  return [`SealedSecret ${key}: spec`, `Secret ${key}: data`];
}

function seen(): Watch {
  if (watch === undefined) throw new Error("nobody watched");
  return watch;
}

describe("all the while", () => {
  it("nothing was deleted, recreated or changed except what was meant to be", async () => {
    expect(
      seen()
        .disturbances()
        .filter((line) => !MEANT.includes(line)),
    ).toEqual([]);
    expect(done.size).toBe(BLOCKS.length);
    // Its end is told by each of the watches, which shows that they would have told of more.
    const until = (line: string): Promise<unknown> =>
      plane.waitFor(line, () => [...seen().disturbances(), ...seen().touches()].includes(line));
    await run("kubectl delete --filename prod/shop/pull.yaml");
    await until("Secret shop/pull: deleted");
    await run("kubectl apply --filename prod/shop/pull.yaml");
    await until("Secret shop/pull: made anew");
    await run(`kubectl annotate crd ${DEFINITION} seen=1`);
    await until(`Definition ${DEFINITION}: annotations.seen`);
    const told = seen().disturbances();
    const end = [
      ...["SealedSecret shop/pull: deleted", "Secret shop/pull: deleted"],
      ...["SealedSecret shop/pull: made anew", "Secret shop/pull: made anew"],
    ];
    expect(told).toEqual(expect.arrayContaining(end));
    // The original may make the Secret once more before it hears that its SealedSecret is gone.
    const others = told.filter((line) => !end.includes(line));
    expect(others.sort()).toEqual([...MEANT].sort());
  });

  it("of Secrets' metadata nothing changed but our marks and the one of who manages them", () => {
    const touched = seen()
      .touches()
      .filter((line) => line.startsWith("Secret "));
    expect([...new Set(touched.map((line) => line.split(": ")[1]))].sort()).toEqual([
      "annotations.kube-signet/sealedsecret-uid",
      "annotations.kube-signet/sealing-since",
      `annotations.${PREFIX}/managed`,
      "labels.kube-signet/secret",
    ]);
    // There are sealing keys alone there.
    const own = touched.filter((line) => line.startsWith(`Secret ${NAMESPACE}/`));
    expect(own.filter((line) => !line.includes(": annotations.kube-signet/"))).toEqual([]);
  });
});
