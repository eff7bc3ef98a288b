// Backups, restores and re-sealing against an API server that does what a test says.

import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KEY_LABEL } from "../../shared/keys/keyfile.ts";
import type { Finished } from "../cluster/program.ts";
import { KEYS, Workplace } from "./workplace.ts";

type KeySecret = {
  metadata: { name: string; labels?: Record<string, string> };
  data: Record<string, string>;
};

const NEWER_CERT = "test/fixtures/other-cert.pem";
const SECRETS = "/api/v1/namespaces/kube-system/secrets";

let place: Workplace;
let server: Server;
let there: KeySecret[] = [];
let recipient = "";
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

function usual(method: string, url: URL, body: string): [number, unknown] {
  if (url.pathname === SECRETS && method === "GET") {
    const isLabelled = url.searchParams.get("labelSelector") === KEY_LABEL;
    const name = url.searchParams.get("fieldSelector")?.split("=")[1];
    const items = there.filter(
      ({ metadata }) =>
        (metadata.labels !== undefined) === isLabelled &&
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
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
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
  keys("restore", "all.age", "--identity", "identity", ...args);

describe("a backup", () => {
  it("holds the key from before 2019 too, which the new cluster then finds by its label", async () => {
    there = [keySecret("sealed-secrets-key", KEYS.dev), keySecret("newer", KEYS.prod, "active")];
    const { stderr } = await backup();
    expect(stderr).toBe("signet: all.age: holds 2 sealing keys\n");
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
      "signet: warning: kube-system/broken: data: the Secret has no tls.key; it is left out\n" +
        "signet: all.age: holds 1 sealing key\n",
    );
    expect(status).toBe(0);
    there = [{ ...broken, data: {} }];
    expect((await backup("none.age")).status).toBe(1);
    expect(existsSync(join(place.folder, "none.age"))).toBe(false);
  });
});

describe("a restore", () => {
  it("says of a key that is there but retired that it opens nothing, and does not wait for it", async () => {
    there = [keySecret("one", KEYS.dev, "active")];
    await backup();
    there = [keySecret("one", KEYS.dev, "retired")];
    const { status, stderr } = await restore();
    expect(stderr).toContain(
      'signet: warning: one: the controller opens nothing with it, as its label in the cluster is "retired"',
    );
    expect(stderr).toContain("signet: one: there already (SHA256:");
    expect(status).toBe(0);
  });

  it("never tells what a server quotes of a key that it refuses", async () => {
    there = [keySecret("one", KEYS.dev, "active")];
    await backup();
    there = [];
    answer = (method, _path, body) =>
      method === "POST" ? [422, { kind: "Status", message: `invalid: ${body}` }] : undefined;
    const { status, stderr } = await restore();
    expect(stderr).toBe("signet: error: cannot create a key Secret: status 422\n");
    expect(status).toBe(1);
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
      "shop/db: cannot re-seal: the controller's answer does not fit what was asked",
    );
    expect(status).toBe(1);
    expect(place.read(path)).toBe(before);
  });
});
