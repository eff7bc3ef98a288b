// Backups, restores and re-sealing against an API server that does what a test says.

import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  CONFIRMED_ANNOTATION,
  KEY_LABEL,
  RENEW_ANNOTATION,
  RESTORED_ANNOTATION,
} from "../../shared/keys/keyfile.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import type { Finished } from "../cluster/program.ts";
import { KEYS, Workplace } from "./workplace.ts";

type KeySecret = {
  metadata: {
    name: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string | null>;
    [field: string]: unknown;
  };
  data: Record<string, string>;
};

const NEWER_CERT = "test/fixtures/other-cert.pem";
const SECRETS = "/api/v1/namespaces/kube-system/secrets";

let place: Workplace;
let server: Server;
let there: KeySecret[] = [];
let recipient = "";
let address = "";
/** What the API server, or the controller behind it, answers where it is not what it usually does. */
let answer: (method: string, path: string, body: string) => [number, unknown] | undefined;

const base64 = (file: string): string => readFileSync(file).toString("base64");

const keySecret = (name: string, key: string, state?: string): KeySecret => ({
  metadata: { name, ...(state === undefined ? {} : { labels: { [KEY_LABEL]: state } }) },
  data: {
    "tls.key": base64(key),
    "tls.crt": base64(key.replace("key.pem", "cert.pem")),
  },
});

/** `selector`: `LABEL` or `!LABEL`. */
function isSelected(labels: Readonly<Record<string, string>>, selector: string): boolean {
  const isWithout = selector.startsWith("!");
  return selector.slice(isWithout ? 1 : 0) in labels !== isWithout;
}

function usual(method: string, url: URL, body: string): [number, unknown] {
  if (url.pathname === SECRETS && method === "GET") {
    const selector = url.searchParams.get("labelSelector") ?? "";
    const name = url.searchParams.get("fieldSelector")?.split("=")[1];
    const items = there.filter(
      ({ metadata }) =>
        isSelected(metadata.labels ?? {}, selector) &&
        (name === undefined || metadata.name === name),
    );
    return [200, { items }];
  }
  if (url.pathname === SECRETS && method === "POST") {
    const secret = JSON.parse(body) as KeySecret;
    if (there.some(({ metadata }) => metadata.name === secret.metadata.name)) return [409, {}];
    there.push(secret);
    return [201, { metadata: secret.metadata }];
  }
  return [404, {}];
}

beforeEach(async () => {
  place = new Workplace();
  there = [];
  answer = () => undefined;
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const url = new URL(request.url ?? "", "http://there");
      const method = request.method ?? "";
      const [status, object] = answer(method, url.pathname, body) ?? usual(method, url, body);
      response.writeHead(status).end(typeof object === "string" ? object : JSON.stringify(object));
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  place.write(
    "kubeconfig",
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "x",
      clusters: [{ name: "c", cluster: { server: address } }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      users: [{ name: "u", user: { token: "t" } }],
    }),
  );
  const identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  place.write("identity", `${identity}\n`);
});

afterEach(() => {
  server.close().closeAllConnections();
  place.remove();
});

const keys = (...args: string[]): Promise<Finished> =>
  place.signet(["keys", ...args, "--kubeconfig", "kubeconfig"]);
const backup = (file = "all.age"): Promise<Finished> =>
  keys("backup", "--output", file, "--recipient", recipient);
const restore = (...args: string[]): Promise<Finished> =>
  keys("restore", "all.age", "--identity", "identity", "--yes", ...args);
/** What every command that moves keys says first. */
const where = (): string =>
  `signet: cluster ${address} (context x), namespace kube-system, controller sealed-secrets-controller\n`;

it("a list of keys marks those that are too short", async () => {
  const key = { state: "sealing", values: 1, sealedSecrets: 1, notBefore: null, notAfter: null };
  const listed = [
    { ...key, secret: "short", fingerprint: "SHA256:a", bits: 1024 },
    { ...key, secret: "long", fingerprint: "SHA256:b", bits: 2048 },
    { ...key, secret: "of-an-older-controller", fingerprint: "SHA256:c" },
  ];
  answer = (_method, path) => {
    if (path.endsWith("/services/sealed-secrets-controller")) return [200, { spec: {} }];
    return [200, { keys: listed, unknown: { values: 0, sealedSecrets: 0 } }];
  };
  const { stdout } = await keys("list");
  expect(stdout.split("\n").filter((line) => line.includes("bits"))).toEqual([
    "short has only 1024 bits, and may be broken: run `signet keys rotate`, then `signet reseal`.",
  ]);
  expect(stdout).not.toContain("ALGORITHMS");
});

it("a list of keys tells their halves where one has two", async () => {
  const key = { state: "former", values: 1, sealedSecrets: 1, notBefore: null, notAfter: null };
  const listed = [
    { ...key, secret: "two", fingerprint: "SHA256:a", bits: 2048, algorithms: ["rsa", "hybrid"] },
    { ...key, secret: "one", fingerprint: "SHA256:b", bits: 2048, algorithms: ["rsa"] },
    { ...key, secret: "of-an-older-controller", fingerprint: "SHA256:c" },
  ];
  answer = (_method, path) => {
    if (path.endsWith("/services/sealed-secrets-controller")) return [200, { spec: {} }];
    return [200, { keys: listed, unknown: { values: 0, sealedSecrets: 0 } }];
  };
  const { stdout } = await keys("list");
  const columns = stdout.split("\n").map((line) => line.trim().split(/ {2,}/).at(-1));
  expect(columns.slice(0, 4)).toEqual(["ALGORITHMS", "rsa, hybrid", "rsa", "-"]);
});

describe("a backup", () => {
  it("holds the key from before 2019 too, which the new cluster then finds by its label", async () => {
    there = [keySecret("sealed-secrets-key", KEYS.dev), keySecret("newer", KEYS.prod, "active")];
    const { stderr } = await backup();
    expect(stderr).toBe(`${where()}signet: all.age: contains 2 sealing keys\n`);
    there = [];
    await restore("--no-wait");
    expect(there.map(({ metadata }) => [metadata.name, metadata.labels?.[KEY_LABEL]])).toEqual([
      ["newer", "active"],
      ["sealed-secrets-key", "active"],
    ]);
  });

  it("is made without a key Secret that is broken, and says so", async () => {
    const broken = keySecret("broken", KEYS.prod, "active");
    there = [{ ...broken, data: {} }, keySecret("whole", KEYS.dev, "active")];
    const { status, stderr } = await backup();
    expect(stderr).toBe(
      `${where()}signet: warning: kube-system/broken: data: the Secret has no tls.key; skipped\n` +
        "signet: all.age: contains 1 sealing key\n",
    );
    expect(status).toBe(0);
    there = [{ ...broken, data: {} }];
    expect((await backup("none.age")).status).toBe(1);
    expect(existsSync(join(place.folder, "none.age"))).toBe(false);
  });
});

describe("a list of key Secrets in plain text", () => {
  const asPrinted = (secret: KeySecret): object => ({
    apiVersion: "v1",
    kind: "Secret",
    ...secret,
  });
  const list = (...secrets: KeySecret[]): string =>
    secrets.map((secret) => `${JSON.stringify(asPrinted(secret), null, 2)}\n`).join("---\n");

  it("is restored like a backup, each key once, and nothing else of it", async () => {
    const dev = keySecret("sealed-secrets-key", KEYS.dev);
    const items = [
      keySecret("newer", KEYS.prod, "active"),
      { ...dev, metadata: { ...dev.metadata, annotations: { [CONFIRMED_ANNOTATION]: DEV } } },
    ];
    const printed = `${JSON.stringify({ apiVersion: "v1", kind: "List", items: items.map(asPrinted) }, null, 2)}\n`;
    place.write("main.key", `${printed}---\n${list(dev)}`);
    const { status, stderr } = await keys("restore", "main.key", "--yes", "--no-wait");
    expect(stderr).toContain("signet: warning: main.key: contains private keys in plain text");
    expect(status).toBe(0);
    expect(
      there.map(({ metadata: { name, labels, annotations } }) => [
        name,
        labels?.[KEY_LABEL],
        Object.keys(annotations ?? {}),
      ]),
    ).toEqual([
      ["newer", "active", [RESTORED_ANNOTATION]],
      ["sealed-secrets-key", "active", [RESTORED_ANNOTATION]],
    ]);
  });

  it("is restored only where somebody said yes, and is checked before", async () => {
    place.write("main.key", list(keySecret("one", KEYS.dev)));
    expect((await keys("restore", "main.key")).status).toBe(2);
    place.write(
      "main.key",
      list(keySecret("one", KEYS.dev), { ...keySecret("two", KEYS.prod), data: { "tls.key": "" } }),
    );
    const { status, stderr } = await keys("restore", "main.key", "--yes", "--no-wait");
    expect([status, there]).toEqual([1, []]);
    expect(stderr).toContain("two");
  });
});

describe("a restore", () => {
  it("says of a key that is there but retired that it opens nothing, and does not wait for it", async () => {
    there = [keySecret("one", KEYS.dev, "active")];
    await backup();
    there = [keySecret("one", KEYS.dev, "retired")];
    const { status, stderr } = await restore();
    expect(stderr).toContain(
      'signet: warning: one: the controller does not use it, as its label in the cluster is "retired"',
    );
    expect(stderr).toContain("signet: one: already exists (SHA256:");
    expect(status).toBe(0);
  });

  it("never tells what a server quotes of a key that it refuses", async () => {
    there = [keySecret("one", KEYS.dev, "active")];
    await backup();
    there = [];
    answer = (method, _path, body) =>
      method === "POST" ? [422, { kind: "Status", message: `invalid: ${body}` }] : undefined;
    const { status, stderr } = await restore();
    expect(stderr).toContain("signet: error: cannot create a key Secret: status 422\n");
    expect(stderr).not.toContain("LS0t");
    expect(status).toBe(1);
  });
});

const DEV = parseCertificate(readFileSync("test/fixtures/cert.pem", "utf8")).fingerprint;
const PROD = parseCertificate(readFileSync("test/fixtures/other-cert.pem", "utf8")).fingerprint;

/** A controller behind the API server that reports these keys by fingerprint. */
const reporting =
  (states: () => Record<string, string>): typeof answer =>
  (_method, path) => {
    if (path.endsWith("/services/sealed-secrets-controller")) return [200, { spec: {} }];
    if (!path.endsWith("/v1/keys")) return undefined;
    const reported = Object.entries(states()).map(([fingerprint, state]) => ({
      fingerprint,
      state,
      secret: state,
      values: 0,
      sealedSecrets: 0,
    }));
    return [200, { keys: reported, unknown: { values: 0, sealedSecrets: 0 } }];
  };

describe("a backup that somebody else made", () => {
  beforeEach(async () => {
    const one = keySecret("one", KEYS.dev, "active");
    const metadata = {
      ...one.metadata,
      annotations: { [CONFIRMED_ANNOTATION]: DEV, [RENEW_ANNOTATION]: "now", tracked: "by-argo" },
      finalizers: ["x/y"],
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "p", uid: "u" }],
    };
    there = [{ ...one, metadata, data: { ...one.data, other: "aHVudGVyMg==" } }];
    await backup();
    there = [];
  });

  it("is restored only where somebody said yes", async () => {
    const { status, stderr } = await keys("restore", "all.age", "--identity", "identity");
    expect([status, there]).toEqual([2, []]);
    expect(stderr).toContain(`${DEV}\n`);
    expect(stderr).toContain(
      "signet: hint: run with --dry-run to see what would be done, then with --yes",
    );
  });

  it("gives keys that open only, and nothing that tells another program what to do", async () => {
    const { status, stderr } = await restore("--no-wait");
    expect([status, there]).toEqual([
      0,
      [
        {
          apiVersion: "v1",
          kind: "Secret",
          metadata: {
            labels: { [KEY_LABEL]: "active" },
            name: "one",
            namespace: "kube-system",
            annotations: { [RESTORED_ANNOTATION]: DEV },
          },
          data: keySecret("one", KEYS.dev).data,
        },
      ],
    ]);
    expect(stderr).toMatch(/one +active +can only open/);
    expect(stderr).toContain("signet: seals now: none\n");
  });

  it("creates no Secret of a type that Kubernetes or another program acts on", async () => {
    const type = "kubernetes.io/service-account-token";
    there = [{ ...keySecret("one", KEYS.dev, "active"), type } as KeySecret];
    await backup("token.age");
    there = [];
    const { status, stderr } = await keys(
      "restore",
      "token.age",
      "--identity",
      "identity",
      "--yes",
    );
    expect([status, there]).toEqual([1, []]);
    expect(stderr).toContain(`one: is a Secret of type ${type}, not a sealing key`);
  });

  it("lets that key seal whose whole fingerprint was said", async () => {
    for (const adopted of [PROD, DEV.slice(0, 20), "one"]) {
      const refused = await restore("--no-wait", "--adopt", adopted);
      expect([refused.status, there]).toEqual([2, []]);
    }
    const { status, stderr } = await restore("--no-wait", "--adopt", DEV);
    expect([status, there[0]?.metadata.annotations]).toEqual([
      0,
      { [CONFIRMED_ANNOTATION]: DEV, [RESTORED_ANNOTATION]: DEV },
    ]);
    expect(stderr).toMatch(/one +active +can seal/);
    expect(stderr).toContain(`signet: will seal: ${DEV}\n`);
  });

  it("is an error where a controller seals with its key all the same", async () => {
    answer = reporting(() => (there.length === 0 ? { [PROD]: "sealing" } : { [DEV]: "sealing" }));
    const { status, stderr } = await restore();
    expect(status).toBe(3);
    expect(stderr).toContain(
      "one: this key from the backup now seals, although it was not adopted",
    );
    there = [];
    answer = reporting(() => ({ [PROD]: "sealing", [DEV]: "unconfirmed" }));
    expect((await restore()).status).toBe(0);
  });
});

describe("adopting a key", () => {
  const patches: unknown[] = [];
  const inCluster = (state = "active"): KeySecret => {
    const secret = keySecret("theirs", KEYS.dev, state);
    return { ...secret, metadata: { ...secret.metadata, resourceVersion: "7" } };
  };
  beforeEach(() => {
    patches.length = 0;
    there = [inCluster()];
    answer = (method, path, body) => {
      if (method !== "PATCH") return undefined;
      patches.push([path, JSON.parse(body)]);
      return [200, { metadata: { name: "theirs" } }];
    };
  });

  it("annotates the Secret that was shown, and no later version of it", async () => {
    const { status, stderr } = await keys("adopt", DEV, "--yes", "--no-wait");
    expect(status).toBe(0);
    expect(stderr).toContain(`${where()}signet: kube-system/theirs: ${DEV}\n`);
    expect(stderr).toContain(`signet: seals now: none\nsignet: will seal: ${DEV}\n`);
    const annotations = { [CONFIRMED_ANNOTATION]: DEV };
    const patch = { metadata: { resourceVersion: "7", annotations } };
    expect(patches).toEqual([[`${SECRETS}/theirs`, patch]]);
    answer = (method) => (method === "PATCH" ? [409, { message: "conflict" }] : undefined);
    const conflict = await keys("adopt", DEV, "--yes", "--no-wait");
    expect([conflict.status, conflict.stderr]).toEqual([
      1,
      expect.stringContaining("cannot change the key Secret kube-system/theirs: 409 conflict"),
    ]);
  });

  it.each([
    [
      "by name where nobody sees the key",
      "theirs",
      "active",
      "--yes requires the full fingerprint",
    ],
    ["where nobody is asked", "", "active", "so this change must be confirmed with --yes"],
    ["that is retired", "", "retired", 'its label is "retired"'],
    ["that is compromised", "", "compromised", "it is marked as compromised"],
    ["that is not there", PROD, "active", "no key matches"],
  ])("is refused for one %s", async (what, named, state, words) => {
    there = [inCluster(state)];
    const yes = what.includes("asked") ? [] : ["--yes"];
    const { status, stderr } = await keys("adopt", named || DEV, ...yes);
    expect([status, patches]).toEqual([2, []]);
    expect(stderr).toContain(words);
  });

  it("is taken back, and then the key can only open", async () => {
    const secret = inCluster();
    there = [
      {
        ...secret,
        metadata: { ...secret.metadata, annotations: { [CONFIRMED_ANNOTATION]: DEV } },
      },
    ];
    const { status, stderr } = await keys("adopt", "--undo", "theirs", "--yes", "--no-wait");
    expect(status).toBe(0);
    expect(stderr).toContain(`signet: seals now: ${DEV}\nsignet: will seal: none`);
    const patch = {
      metadata: { resourceVersion: "7", annotations: { [CONFIRMED_ANNOTATION]: null } },
    };
    expect(patches).toEqual([[`${SECRETS}/theirs`, patch]]);
  });
});

describe("a place that signet.yaml chose", () => {
  beforeEach(() => {
    const config = JSON.parse(place.read("kubeconfig")) as { contexts: { name: string }[] };
    config.contexts.push({ ...config.contexts[0], name: "evil" });
    place.write("kubeconfig", JSON.stringify(config));
    there = [keySecret("one", KEYS.dev, "active")];
  });
  const project = (cluster: string): void => {
    place.write("signet.yaml", `clusters: {dev: ${cluster}}\n`);
  };

  it.each([
    ["{context: evil}", "--context evil"],
    ["{controller: {namespace: shop}}", "--controller-namespace shop"],
    ["{context: evil, controller: {name: c}}", "--context evil --controller-name c"],
    ['{context: "e vil; rm -r /"}', "--context 'e vil; rm -r /'"],
  ])("%s moves no key unasked", async (cluster, flags) => {
    await backup();
    project(cluster);
    if (cluster.includes(";")) {
      place.write("kubeconfig", place.read("kubeconfig").replace('"evil"', '"e vil; rm -r /"'));
    }
    const requests: string[] = [];
    answer = (method, path) => {
      requests.push(`${method} ${path}`);
      return undefined;
    };
    for (const args of [
      ["backup", "--output", "new.age", "--recipient", recipient],
      ["restore", "all.age", "--identity", "identity", "--yes"],
      ["adopt", DEV, "--yes"],
      ["retire", DEV],
      ["rotate"],
    ]) {
      const { status, stderr } = await keys(...args, "--cluster", "dev");
      expect([args[0], status, requests]).toEqual([args[0], 2, []]);
      expect(stderr).toContain(
        `signet.yaml sets the cluster or controller, which must be confirmed: ${flags}\n`,
      );
      expect(stderr).toMatch(/^signet: cluster http:\/\/127\.0\.0\.1:\d+ \(context /);
    }
    expect(existsSync(join(place.folder, "new.age"))).toBe(false);
  });

  it("is taken where the command line says the same, or the kubeconfig", async () => {
    project("{context: evil}");
    const args = ["backup", "--recipient", recipient, "--cluster", "dev", "--output"];
    expect((await keys(...args, "a.age", "--context", "evil")).status).toBe(0);
    project("{context: x, controller: {namespace: kube-system}}");
    expect((await keys(...args, "b.age")).status).toBe(0);
  });
});

describe("verify --live", () => {
  const verify = (): Promise<Finished> =>
    place.signet(["verify", "--live", "--cluster", "dev", "--kubeconfig", "kubeconfig"]);

  it.each([
    [{ [DEV]: "sealing" }, null],
    [
      { [PROD]: "sealing" },
      `the controller of dev does not hold the key ${DEV}: someone else can read what is sealed with this certificate [certificate-unknown]`,
    ],
    [
      { [PROD]: "sealing", [DEV]: "unconfirmed" },
      `the key ${DEV} of dev is unconfirmed: whoever added it may be able to read what is sealed with this certificate; run "signet cert refresh dev" [certificate-unconfirmed]`,
    ],
    [
      { [PROD]: "sealing", [DEV]: "compromised" },
      `the key ${DEV} of dev is compromised [certificate-compromised]`,
    ],
  ])("of a controller with %j: %s", async (states, finding) => {
    answer = reporting(() => states);
    const { status, stdout } = await verify();
    expect([status, stdout]).toEqual(
      finding === null ? [0, ""] : [3, `certificates/dev.pem: error: ${finding}\n`],
    );
  });

  it("warns of a former key", async () => {
    answer = reporting(() => ({ [PROD]: "sealing", [DEV]: "former" }));
    expect(await verify()).toMatchObject({
      status: 0,
      stdout:
        'certificates/dev.pem: warning: the certificate is of a former key of dev; run "signet cert refresh dev" [certificate-former]\n',
    });
  });

  it("finds another certificate that was put in front of the old one", async () => {
    const old = place.read("certificates/dev.pem");
    place.write(
      "certificates/dev.pem",
      readFileSync("test/fixtures/future-cert.pem", "utf8") + old,
    );
    answer = reporting(() => ({ [DEV]: "sealing" }));
    const { status, stdout } = await verify();
    expect(status).toBe(3);
    expect(stdout).toContain(
      "certificates/dev.pem: error: the controller of dev does not hold the key",
    );
  });

  it("compares with the key that seals, where the original tells no other", async () => {
    answer = (_method, path) => {
      if (path.endsWith("/services/sealed-secrets-controller")) return [200, { spec: {} }];
      if (path.endsWith("/v1/cert.pem")) return [200, readFileSync(NEWER_CERT, "utf8")];
      return undefined;
    };
    const { status, stdout } = await verify();
    expect(status).toBe(0);
    expect(stdout).toContain(`certificates/dev.pem: warning: ${DEV} is not the newest key of dev`);
    place.write("certificates/dev.pem", readFileSync(NEWER_CERT, "utf8"));
    expect(await verify()).toMatchObject({ status: 0, stdout: "" });
  });
});

describe("status --live", () => {
  it("calls values under a compromised key stale, though its certificate seals", async () => {
    await place.seal("dev", "db", { a: "battery" });
    const states = { [DEV]: "compromised" };
    answer = (method, path, body) =>
      path.endsWith("/sealedsecrets")
        ? [200, { items: [] }]
        : reporting(() => states)(method, path, body);
    const args = ["status", "--live", "--json", "--cluster", "dev", "--kubeconfig", "kubeconfig"];
    const { status, stdout } = await place.signet(args);
    const { sealedSecrets } = JSON.parse(stdout) as { sealedSecrets: { state: string }[] };
    expect([status, sealedSecrets.map(({ state }) => state)]).toEqual([3, ["stale"]]);
  });

  it("counts a SealedSecret of a cluster that is named unknown", async () => {
    place.write("signet.yaml", "clusters: {unknown: {certificate: certificates/dev.pem}}\n");
    const path = await place.seal("dev", "db", { a: "battery" });
    place.write(path, place.read(path).replace(/\n *kube-signet\/sealed-under:.*/, ""));
    const { status, stderr } = await place.signet(["status"]);
    expect([status, stderr]).toEqual([3, expect.stringContaining("1 problem found")]);
  });
});

describe("re-sealing by a controller that takes the object apart", () => {
  type Sealed = {
    kind: string;
    metadata: Record<string, unknown>;
    spec: { encryptedData: Record<string, string>; template: { metadata: unknown } };
  };
  const rotating =
    (rotated: (sealed: Sealed) => Sealed): typeof answer =>
    (_method, path, body) => {
      if (path.endsWith("/services/sealed-secrets-controller")) return [200, { spec: {} }];
      if (path.endsWith("/v1/cert.pem")) return [200, readFileSync(NEWER_CERT, "utf8")];
      if (!path.endsWith("/v1/rotate")) return undefined;
      const sealed = JSON.parse(body) as Sealed;
      return sealed.kind === "List" ? [400, {}] : [200, rotated(sealed)];
    };
  const reseal = async (path: string): Promise<Finished> => {
    place.write("certificates/dev.pem", readFileSync(NEWER_CERT, "utf8"));
    return place.signet(["reseal", path, "--kubeconfig", "kubeconfig"]);
  };

  it("takes the values alone, and claims no key that the answer does not tell", async () => {
    const path = await place.seal("dev", "db", { a: "battery" });
    const labelled = place
      .read(path)
      .replace(/(template:\n {4}metadata:\n)/, "$1      labels: {app: db}\n");
    place.write(path, labelled);
    const encryptedData = { a: `AgAB${"A".repeat(700)}` };
    // As the original: scope, name and values are told, labels and other annotations are not.
    answer = rotating(({ metadata: { name, namespace }, ...sealed }) => ({
      ...sealed,
      metadata: { name, namespace },
      spec: { encryptedData, template: { metadata: { name, namespace } } },
    }));
    const { status, stderr } = await reseal(path);
    expect(stderr).not.toContain("error");
    expect(status).toBe(0);
    const after = place.read(path);
    expect(after).toContain("      labels: {app: db}\n");
    expect(after).toContain("kube-signet/sealed-for: strict shop/db\n");
    expect(after).not.toContain("kube-signet/sealed-under");
    expect(after).toContain(`a: ${encryptedData.a}\n`);
  });

  it("says that an answer does not fit, and leaves the file", async () => {
    const path = await place.seal("dev", "db", { a: "battery" });
    const before = place.read(path);
    answer = rotating((sealed) => ({
      ...sealed,
      spec: { ...sealed.spec, encryptedData: { b: "" } },
    }));
    const { status, stderr } = await reseal(path);
    expect(stderr).toContain(
      "shop/db: cannot re-seal: the controller's answer does not match the request",
    );
    expect(status).toBe(1);
    expect(place.read(path)).toBe(before);
  });
});
