// The proof that kubeconfigs are merged as the real kubectl merges them, and that a login plugin is
// told the same and proxies are asked for the same hosts.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadKubeconfig } from "../../host/kubernetes/kubeconfig.ts";
import {
  type ClusterEntry,
  type ContextEntry,
  type Named,
  parseKubeconfig,
  type UserEntry,
} from "../../host/kubernetes/kubeconfigentries.ts";
import { mergedKubeconfig } from "../../host/kubernetes/kubeconfigfiles.ts";
import { Transport } from "../../host/kubernetes/transport.ts";
import { environmentProxy } from "../../host/proxies.ts";
import { SignetError } from "../../shared/errors.ts";
import { kubeconfig, startRecorder } from "../cli/recorder.ts";
import { type Finished, runToEnd } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";

let folder: string;
let environment: NodeJS.ProcessEnv;
beforeEach(() => {
  environment = { ...process.env };
  folder = mkdtempSync(join(tmpdir(), "kubeconfig-"));
});
afterEach(() => {
  process.env = environment;
  rmSync(folder, { recursive: true, force: true });
});

function kubectl(args: string[], env: Record<string, string>): Promise<Finished> {
  return runToEnd([partPath("kubectl"), ...args], { cwd: folder, env });
}

interface Minified {
  readonly context: ContextEntry | undefined;
  readonly cluster: ClusterEntry | undefined;
  readonly user: UserEntry | undefined;
}

const entry = <T>(map: ReadonlyMap<string, Named<T>>, name = ""): T | undefined =>
  // kubectl prints no entry without a name.
  name === "" ? undefined : map.get(name)?.entry;

/** The current context of the files and what it names; undefined if they cannot be read. */
function ours(files: string[]): Minified | undefined {
  process.env["KUBECONFIG"] = files.map((file) => join(folder, file)).join(":");
  try {
    const { currentContext, contexts, clusters, users } = mergedKubeconfig(undefined);
    const context = entry(contexts, currentContext);
    return {
      context,
      cluster: entry(clusters, context?.cluster),
      user: entry(users, context?.user),
    };
  } catch (error) {
    expect(error).toBeInstanceOf(SignetError);
    return undefined;
  }
}

/** The same by kubectl. It prints paths as they are in the files, so they are absolute in the tests. */
async function theirs(files: string[]): Promise<Minified | "dangling" | undefined> {
  const env = { KUBECONFIG: files.join(":") };
  const { status, stdout, stderr } = await kubectl(
    ["config", "view", "--minify", "--raw", "-o", "json"],
    env,
  );
  if (status !== 0) {
    // It cannot show a context whose cluster or user does not exist, though it can use it.
    if (/cannot locate (cluster|user)/.test(stderr)) return "dangling";
    const isUnset = /current-context must exist|cannot locate/.test(stderr);
    return isUnset ? { context: undefined, cluster: undefined, user: undefined } : undefined;
  }
  const { currentContext, contexts, clusters, users } = parseKubeconfig(stdout, "/");
  const context = entry(contexts, currentContext);
  return { context, cluster: entry(clusters, context?.cluster), user: entry(users, context?.user) };
}

const NAMES = fc.constantFrom("red", "blue", "default", "");
const TEXT = fc.constantFrom("", "x", "https://api.test:6443", "true", "ü");
const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined });
const CLUSTER = fc.record({
  server: some(TEXT),
  "tls-server-name": some(TEXT),
  "insecure-skip-tls-verify": some(fc.boolean()),
  "certificate-authority": some(fc.constant("/ca.pem")),
  "certificate-authority-data": some(fc.constantFrom("", "YQ==", "YQ==", "Y\nQ==", "YWI=", "YQ")),
  "proxy-url": some(TEXT),
  extensions: some(
    fc.constant([{ name: "client.authentication.k8s.io/exec", extension: { audience: ["a"] } }]),
  ),
});
const USER = fc.record({
  token: some(TEXT),
  tokenFile: some(fc.constant("/token")),
  username: some(TEXT),
  password: some(TEXT),
  "client-key": some(fc.constant("/key")),
  "client-certificate-data": some(fc.constant("YQ==")),
  as: some(TEXT),
  "as-uid": some(TEXT),
  "as-groups": some(fc.array(TEXT, { maxLength: 2 })),
  "as-user-extra": some(fc.dictionary(fc.constantFrom("a", "B"), fc.array(TEXT, { maxLength: 2 }))),
  exec: some(
    fc.record({
      apiVersion: fc
        .constantFrom("v1", "v1beta1")
        .map((each) => `client.authentication.k8s.io/${each}`),
      command: fc.constantFrom("aws", "/bin/login"),
      args: some(fc.array(TEXT, { maxLength: 2 })),
      env: some(fc.array(fc.record({ name: TEXT, value: TEXT }), { maxLength: 2 })),
      interactiveMode: some(fc.constantFrom("Never", "Always")),
      provideClusterInfo: some(fc.boolean()),
      installHint: some(TEXT),
    }),
  ),
});
const CONTEXT = fc.record({ cluster: some(NAMES), user: some(NAMES), namespace: some(TEXT) });
/** Something of another type now and then, which both refuse. */
const ODD = fc.oneof(
  { weight: 40, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom(1, true, "x", null, [], {}) },
);
const list = <T>(field: string, value: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc
    .uniqueArray(fc.tuple(NAMES, value), { selector: ([name]) => name, maxLength: 3 })
    .chain((entries) =>
      ODD.map((odd) =>
        odd === undefined ? entries.map(([name, each]) => ({ name, [field]: each })) : odd,
      ),
    );
const FILE = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom("", "# empty\n", "{}", "[]", "kind: Other\n", "a: [\n") },
  {
    weight: 12,
    arbitrary: fc
      .record({
        apiVersion: some(fc.constantFrom("v1", "v1", "v1", "v1", "v1", "v1", "v2")),
        "current-context": some(NAMES),
        clusters: list("cluster", CLUSTER),
        users: list("user", USER),
        contexts: list("context", CONTEXT),
      })
      .map((config) => JSON.stringify(config)),
  },
);

describe("kubeconfigs", () => {
  it("are merged as kubectl does, over 300 generated sets of files", async () => {
    let readable = 0;
    const sets = fc.sample(fc.array(FILE, { minLength: 1, maxLength: 3 }), {
      numRuns: 300,
      seed: 17,
    });
    for (const [at, texts] of sets.entries()) {
      const files = texts.map((text, index) => {
        writeFileSync(join(folder, `${at}-${index}`), text);
        return `${at}-${index}`;
      });
      files.splice(at % 3, 0, "missing");
      const expected = await theirs(files);
      const found = ours(files);
      if (expected === "dangling") {
        expect(found?.context, texts.join("\n")).toBeDefined();
        continue;
      }
      expect(found, texts.join("\n")).toEqual(expected);
      if (expected?.context !== undefined) readable++;
    }
    // Most sets have something to compare.
    expect(readable).toBeGreaterThan(30);
  });

  it.each([
    ["a duplicate name in one file", "clusters: [{name: c}, {name: c}]"],
    ["a folder", undefined],
    ["a list for a root", "[]"],
    [
      "a null for everything",
      "{clusters: null, users: null, contexts: null, current-context: null}",
    ],
    [
      "entries that are null",
      "{users: [null], contexts: [{name: a, context: null}], current-context: a}",
    ],
    ["a second document", "current-context: a\n---\ncurrent-context: b\n"],
    ["another case", "Current-Context: a\nContexts: [{name: a}]"],
    ["fields that nobody knows", "{current-context: a, contexts: [{name: a, more: 1}], x: [{}]}"],
  ])("with %s", async (_, text) => {
    if (text === undefined) mkdirSync(join(folder, "a"));
    else writeFileSync(join(folder, "a"), text);
    writeFileSync(join(folder, "b"), kubeconfig("a", { server: "https://b.test" }, { token: "b" }));
    expect(ours(["a", "b"])).toEqual(await theirs(["a", "b"]));
  });

  it("find files relative to where they are named", async () => {
    mkdirSync(join(folder, "sub"));
    writeFileSync(join(folder, "sub/ca"), "of the folder");
    writeFileSync(join(folder, "ca"), "of the current folder");
    const files = { "certificate-authority": "ca", server: "https://a.test" };
    writeFileSync(join(folder, "sub/config"), kubeconfig("a", files, {}));
    const args = ["config", "view", "--minify", "--raw", "--flatten", "-o", "json"];
    const { stdout } = await kubectl(args, { KUBECONFIG: "sub/config" });
    const flat = parseKubeconfig(stdout, "/").clusters.get("a")?.entry.certificateAuthorityData;
    const found = ours(["sub/config"])?.cluster?.certificateAuthority ?? "";
    expect(readFileSync(found, "latin1")).toBe(flat);
  });
});

describe("a login plugin", () => {
  const SCRIPT = `#!/bin/sh
printf '%s' "$KUBERNETES_EXEC_INFO" > "$WHERE"
printf '{"apiVersion":"%s","kind":"ExecCredential","status":{"token":"t"}}' "$1"
`;

  it.each(["v1", "v1beta1"])("of %s is told what kubectl tells it", async (version) => {
    const apiVersion = `client.authentication.k8s.io/${version}`;
    writeFileSync(join(folder, "login"), SCRIPT);
    chmodSync(join(folder, "login"), 0o700);
    const exec = {
      apiVersion,
      command: "./login",
      args: [apiVersion],
      provideClusterInfo: true,
      interactiveMode: "Never",
    };
    const extension = { audience: "me" };
    const cluster = {
      server: "https://127.0.0.1:1/sub/",
      "tls-server-name": "api.test",
      "insecure-skip-tls-verify": true,
      "proxy-url": "http://127.0.0.1:1",
      extensions: [{ name: "client.authentication.k8s.io/exec", extension }],
    };
    const config = join(folder, "config");
    writeFileSync(config, kubeconfig("a", cluster, { exec }));
    const [told, toldByKubectl] = [join(folder, "ours"), join(folder, "theirs")];
    await kubectl(["get", "--raw", "/a"], { KUBECONFIG: config, WHERE: toldByKubectl });
    process.env["WHERE"] = told;
    await new Transport(loadKubeconfig({ kubeconfig: config }), {
      keepsConnections: false,
    }).prepare("/a");
    expect(JSON.parse(readFileSync(told, "utf8"))).toEqual(
      JSON.parse(readFileSync(toldByKubectl, "utf8")),
    );
  });
});

describe("NO_PROXY", () => {
  const RULES = [
    "",
    "*",
    "0.0.0.0",
    "0.0.0.0/8",
    "0.0.0.0/33",
    "10.0.0.0/8",
    "0.0.0.0:6443",
    "0.0.0.0:1",
    "corp.invalid",
    ".corp.invalid",
    "*.corp.invalid",
    "CORP.invalid:6443",
    "corp.invalid:1",
    "rp.invalid",
    " api.corp.invalid , x",
    "x,0.0.0.0/0",
    "::/0",
    "[::]:6443",
    "::",
  ];
  const HOSTS = [
    "0.0.0.0",
    "[::]",
    "api.corp.invalid",
    "corp.invalid",
    "127.0.0.9",
    "localhost",
    "[::1]",
  ];

  it("leaves out the hosts that it does for kubectl", async () => {
    const proxy = await startRecorder();
    for (const rule of RULES) {
      for (const host of HOSTS) {
        const server = `https://${host}:6443`;
        proxy.connected.length = 0;
        const env = { HTTPS_PROXY: proxy.url, NO_PROXY: rule, KUBECONFIG: "/none" };
        await kubectl(["get", "--raw", "/a", `--server=${server}`, "--token=x"], env);
        Object.assign(process.env, env);
        const isProxied = environmentProxy(new URL(server)) !== undefined;
        expect(isProxied, `${host} with ${rule}`).toBe(proxy.connected.length > 0);
      }
    }
    await proxy.close();
    expect(existsSync("/none")).toBe(false);
  });
});
