// The cluster that a command reaches, as whom, and what it says where it cannot: the built program
// with the kubeconfigs, login plugins, proxies and authorities that people have.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Finished, runToEnd } from "../cluster/program.ts";
import { createAuthority } from "./authority.ts";
import { kubeconfig, type Recorder, startRecorder } from "./recorder.ts";
import { ENTER, signetInTerminal } from "./terminal.ts";

const authority = createAuthority("the authority of the test");
const CA = Buffer.from(authority.certificate).toString("base64");
const V1 = "client.authentication.k8s.io/v1";
const CERTIFICATE = readFileSync("test/fixtures/cert.pem", "utf8");

let folder: string;
let server: Recorder;
let other: Recorder;

beforeAll(async () => {
  server = await startRecorder(authority.server());
  other = await startRecorder(authority.server());
});
afterAll(async () => {
  await server.close();
  await other.close();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-kubeconfig-"));
  mkdirSync(join(folder, "sub"));
});
afterEach(() => {
  for (const each of [server, other]) each.seen.length = each.connected.length = 0;
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

/** A login plugin: a shell script. */
function plugin(name: string, script: string): string {
  const path = write(name, `#!/bin/sh\necho run >> ${folder}/runs\n${script}\n`);
  chmodSync(path, 0o700);
  return path;
}

const prints = (status: object, apiVersion = V1): string =>
  `printf '%s\\n' '${JSON.stringify({ apiVersion, kind: "ExecCredential", status })}'`;
const runs = (): number =>
  existsSync(join(folder, "runs"))
    ? readFileSync(join(folder, "runs"), "utf8").split("\n").length - 1
    : 0;
const exec = (command: string, more: object = {}): object => ({
  exec: { apiVersion: V1, interactiveMode: "Never", command, ...more },
});
const trusted = (more: object = {}): object => ({
  server: server.url,
  "certificate-authority-data": CA,
  ...more,
});

function fetchCertificate(args: string[], env: Record<string, string> = {}): Promise<Finished> {
  const command = [process.execPath, resolve("dist/signet.cjs"), "cert", "fetch", ...args];
  return runToEnd(command, { cwd: folder, env: { HOME: folder, ...env } });
}

/** What the API server saw of the first request of a command with this user. */
async function seenAs(user: object, args: string[] = [], env: Record<string, string> = {}) {
  write("config", kubeconfig("a", trusted(), user));
  const { status, stdout, stderr } = await fetchCertificate(
    ["--kubeconfig", "config", ...args],
    env,
  );
  expect([status, stdout], stderr).toEqual([0, CERTIFICATE]);
  const [first] = server.seen;
  if (first === undefined) throw new Error("nothing was asked");
  return { ...first, stderr };
}

async function failure(
  cluster: object,
  user: object,
  env: Record<string, string> = {},
): Promise<string> {
  write("config", kubeconfig("a", cluster, user));
  const { status, stderr } = await fetchCertificate(["--kubeconfig", "config"], env);
  expect(status, stderr).not.toBe(0);
  expect(stderr).not.toContain("hunter2");
  return stderr;
}

describe("several kubeconfigs", () => {
  it("the first that names a current context decides everything", async () => {
    write("a", kubeconfig("a", trusted(), { token: "of-a" }, { namespace: "ns-a" }));
    write(
      "b",
      kubeconfig("b", trusted({ server: other.url }), { token: "of-b" }, { namespace: "ns-b" }),
    );
    const { status, stderr } = await fetchCertificate([], { KUBECONFIG: "a:b" });
    expect(status, stderr).toBe(0);
    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer of-a",
      "Bearer of-a",
      "Bearer of-a",
    ]);
    expect(other.seen).toEqual([]);
  });

  it("of clusters and users with the same name the first is used", async () => {
    write("a", kubeconfig("default", trusted(), { token: "of-a" }));
    write("b", kubeconfig("default", { server: other.url }, { username: "b" }));
    const { status, stderr } = await fetchCertificate([], { KUBECONFIG: "a:b" });
    expect([status, server.seen.length], stderr).toEqual([0, 3]);
  });

  it("those that are missing or empty are skipped", async () => {
    write("empty", "");
    write("comment", "# nothing yet\n");
    write("a", kubeconfig("a", trusted(), { token: "of-a" }));
    const named = { KUBECONFIG: "none:empty::comment:a" };
    expect((await fetchCertificate([], named)).stderr).toBe("");
    const { status, stderr } = await fetchCertificate([], { KUBECONFIG: "none:empty" });
    expect([status, stderr.split("\n")[0]]).toEqual([
      2,
      "signet: error: invalid configuration: no configuration has been provided; not found: none, from KUBECONFIG",
    ]);
  });

  it("one that --kubeconfig names must be there", async () => {
    const { status, stderr } = await fetchCertificate(["--kubeconfig", "none"]);
    expect([status, stderr]).toEqual([
      1,
      "signet: error: none: cannot read: no such file or directory\n",
    ]);
  });

  it.each([
    [
      "of another shape",
      "users: [{name: u, user: {token: {hunter2: hunter2}}}]",
      "users[0].user.token",
    ],
    ["cut off", "users: [{name: hunter2", "line 1: users"],
    ["with a name twice", "users: [{name: u, user: {token: hunter2}}, {name: u}]", "users[1].name"],
    ["of another kind", "{apiVersion: v1, kind: hunter2}", "kind"],
    [
      "with a number for text",
      "clusters: [{name: c, cluster: {server: 1}}]",
      "clusters[0].cluster.server",
    ],
    [
      "that is base64 of nothing",
      "users: [{user: {client-key-data: hunter2}}]",
      "users[0].user.client-key-data",
    ],
  ])("a file %s is named, and its text is not shown", async (_, text, where) => {
    write("a", kubeconfig("a", trusted(), {}));
    write("b", text);
    const { status, stderr } = await fetchCertificate([], { KUBECONFIG: "a:b" });
    expect([status, stderr.includes("hunter2")]).toEqual([1, false]);
    expect(stderr).toContain(`signet: error: b: ${where}: this kubeconfig cannot be read`);
  });

  it("a pipe is read once and counts as a file", async () => {
    write("a", kubeconfig("a", trusted(), { token: "of-a" }, { namespace: "ns-a" }));
    const line = `exec ${process.execPath} ${resolve("dist/signet.cjs")} cert fetch --kubeconfig <(cat a)`;
    const { stdout, stderr } = await runToEnd(["bash", "-c", line], { cwd: folder });
    expect(stdout, stderr).toBe(CERTIFICATE);
  });

  it.each([
    [
      "contexts: [{name: a, context: {cluster: c}}]\ncurrent-context: a",
      'the context "a" names the cluster "c", which does not exist',
    ],
    ["current-context: gone", 'the current context "gone" does not exist'],
  ])("what %j lacks is named", async (text, words) => {
    write("config", text);
    const { status, stderr } = await fetchCertificate(["--kubeconfig", "config"]);
    expect([status, stderr]).toEqual([2, expect.stringContaining(words)]);
  });
});

describe("a login", () => {
  it("by a token in a file, beside the kubeconfig", async () => {
    write("sub/tok", "of-the-file\n");
    write("sub/config", kubeconfig("a", trusted(), { tokenFile: "tok", token: "older" }));
    expect((await fetchCertificate(["--kubeconfig", "sub/config"])).stderr).toBe("");
    expect(server.seen[0]?.headers.authorization).toBe("Bearer of-the-file");
  });

  it("impersonates the user with groups, uid and extra fields", async () => {
    const extra = { "example.org/Scopes": ["a", "b"], "ü%": ["c"] };
    const { headers } = await seenAs({
      as: "bob",
      "as-uid": "u1",
      "as-groups": ["g1", "g2"],
      "as-user-extra": extra,
    });
    expect(headers).toMatchObject({
      "impersonate-user": "bob",
      "impersonate-uid": "u1",
      "impersonate-group": "g1, g2",
      "impersonate-extra-example.org%2fscopes": "a, b",
      "impersonate-extra-%c3%bc%25": "c",
    });
  });

  it("is sent as UTF-8, as kubectl sends it", async () => {
    const { headers } = await seenAs({
      token: "tök李",
      as: "李",
      "as-uid": "ü",
      "as-groups": ["Ä", "a,b"],
      "as-user-extra": { x: ["ö"] },
    });
    const names = ["authorization", "user", "uid", "group", "extra-x"];
    const sent = names.map(
      (name) => headers[name === "authorization" ? name : `impersonate-${name}`],
    );
    // Node shows each byte of a header as a character.
    expect(sent.map((value) => Buffer.from(String(value), "latin1").toString())).toEqual([
      "Bearer tök李",
      "李",
      "ü",
      "Ä, a,b",
      "ö",
    ]);
  });

  it("keeps the client certificate beside a token of the command line", async () => {
    const { cert, key } = authority.client("me");
    write("cert", cert);
    write("key", key);
    write(
      "config",
      kubeconfig("a", trusted(), {
        "client-certificate": "cert",
        "client-key": "key",
        token: "old",
      }),
    );
    const command = [process.execPath, resolve("dist/kubeseal.cjs"), "--fetch-cert"];
    const flags = ["--kubeconfig", "config", "--token", "new"];
    expect((await runToEnd([...command, ...flags], { cwd: folder })).stderr).toBe("");
    expect(server.seen[0]).toMatchObject({
      client: "me",
      headers: { authorization: "Bearer new" },
    });
  });

  it.each([
    [{ token: "hunter2", username: "u" }, "a token and a password are both set"],
    [{ "as-groups": ["g"] }, "as-uid, as-groups or as-user-extra is set without as"],
    [
      exec("x", { apiVersion: "client.authentication.k8s.io/v1alpha1" }),
      "not one of client.authentication.k8s.io/v1,",
    ],
    [exec("x", { interactiveMode: "" }), "exec needs an interactiveMode"],
    [
      { "auth-provider": { name: "gcp", config: { "cmd-path": "touch ran" } } },
      'unsupported auth-provider "gcp"',
    ],
    [{ token: "hunter2\nX: y" }, "the token has a line break"],
    [{ as: "bob\nX: y" }, "the user to impersonate has a line break"],
    [{ as: "bob", "as-groups": ["g\0"] }, "the user to impersonate has a line break"],
    [{ tokenFile: "none" }, "none: cannot read: no such file or directory"],
  ])("with %j is refused, with the names", async (user, words) => {
    const stderr = await failure(trusted(), user);
    expect(stderr).toContain(words);
    expect([server.seen, existsSync(join(folder, "ran"))]).toEqual([[], false]);
  });

  it("is not sent without TLS to another machine, and is to this one", async () => {
    const plain = await startRecorder();
    const kubectlProxy = { server: plain.url };
    write("config", kubeconfig("a", kubectlProxy, { token: "of-a" }));
    await fetchCertificate(["--kubeconfig", "config"]);
    // A name that leads here by way of a proxy, as another machine's would.
    write(
      "config",
      kubeconfig(
        "a",
        { server: "http://api.test", "proxy-url": plain.url },
        { token: "of-a", as: "bob" },
      ),
    );
    await fetchCertificate(["--kubeconfig", "config"]);
    await plain.close();
    expect(plain.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer of-a",
      "Bearer of-a",
      "Bearer of-a",
    ]);
    expect(plain.connected).toEqual(["api.test:80"]);
  });
});

describe("a login plugin", () => {
  it("may talk to a person for longer than a request may take", async () => {
    const command = plugin(
      "login",
      `echo 'go to https://login.test, code AB-12' >&2; sleep 1; ${prints({ token: "t" })}`,
    );
    const { stderr, headers } = await seenAs(exec(command), ["--request-timeout", "900ms"]);
    expect(stderr).toBe("go to https://login.test, code AB-12\n");
    expect(headers.authorization).toBe("Bearer t");
  });

  it("asks a person in the terminal", async () => {
    const command = plugin(
      "login",
      `printf 'MFA code: ' >&2; read code; ${prints({ token: "T" }).replace("T", `'"$code"'`)}`,
    );
    write("config", kubeconfig("a", trusted(), exec(command, { interactiveMode: "IfAvailable" })));
    const terminal = signetInTerminal(["cert", "fetch", "--kubeconfig", "config"], { cwd: folder });
    await terminal.waitFor("MFA code:");
    terminal.type(`123456${ENTER}`);
    expect(await terminal.exited).toBe(0);
    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer 123456",
      "Bearer 123456",
      "Bearer 123456",
    ]);
  });

  it("that must ask a person is refused where there is no terminal", async () => {
    const command = plugin("login", prints({ token: "t" }));
    const stderr = await failure(trusted(), exec(command, { interactiveMode: "Always" }));
    expect(stderr).toContain("needs to ask questions, but standard input is not a terminal");
    expect(runs()).toBe(0);
  });

  it.each([
    [{ token: "t" }, 1],
    [{ token: "t", expirationTimestamp: "2999-01-01T00:00:00Z" }, 1],
    [{ token: "t", expirationTimestamp: "2001-01-01T00:00:00Z" }, 3],
  ])("that prints %j runs %i times for three requests", async (status, times) => {
    await seenAs(exec(plugin("login", prints(status))));
    expect([server.seen.length, runs()]).toEqual([3, times]);
  });

  it("finds its environment, arguments and the cluster, and runs without a shell", async () => {
    const script = `printf '%s\\n' "$1" "$A" "$KUBERNETES_EXEC_INFO" > ${folder}/told; ${prints({ token: "t" })}`;
    const env = [{ name: "A", value: "b" }];
    await seenAs(
      exec(plugin("login", script), { args: ["$(touch ran);x"], env, provideClusterInfo: true }),
    );
    const [argument, variable, info = ""] = readFileSync(join(folder, "told"), "utf8").split("\n");
    expect([argument, variable, existsSync(join(folder, "ran"))]).toEqual([
      "$(touch ran);x",
      "b",
      false,
    ]);
    expect(JSON.parse(info)).toEqual({
      kind: "ExecCredential",
      apiVersion: V1,
      spec: {
        interactive: false,
        cluster: { server: server.url, "certificate-authority-data": CA, config: null },
      },
    });
  });

  it("may give a client certificate", async () => {
    const { cert, key } = authority.client("by-plugin");
    const status = { clientCertificateData: cert, clientKeyData: key };
    expect((await seenAs(exec(plugin("login", prints(status))))).client).toBe("by-plugin");
  });

  it("is found beside the kubeconfig by a path, and never in the current folder by a name", async () => {
    const command = plugin("sub/cloud-login", prints({ token: "t" }));
    expect(command).toBe(join(folder, "sub/cloud-login"));
    write("sub/config", kubeconfig("a", trusted(), exec("./cloud-login")));
    expect((await fetchCertificate(["--kubeconfig", "sub/config"])).stderr).toBe("");
    plugin("cloud-login", prints({ token: "t" }));
    const stderr = await failure(trusted(), exec("cloud-login"), {
      PATH: `.::${process.env["PATH"] ?? ""}`,
    });
    expect(stderr).toContain('the login plugin "cloud-login" was not found');
    expect(runs()).toBe(1);
  });

  it.each([
    [
      "echo 'SSO session expired, run aws sso login' >&2; exit 255",
      "SSO session expired, run aws sso login\n",
      "failed with exit code 255",
    ],
    ["echo hunter2", "", "did not print an ExecCredential"],
    [
      prints({ token: "hunter2" }, "client.authentication.k8s.io/v1beta1"),
      "",
      `did not print an ExecCredential of ${V1}`,
    ],
    [prints({}), "", "printed neither a token nor a client certificate"],
    [
      prints({ token: "hunter2", clientKeyData: "x" }),
      "",
      "printed only one of client certificate and key",
    ],
    [
      prints({ token: "hunter2", expirationTimestamp: "soon" }),
      "",
      "printed an expirationTimestamp that is not a time",
    ],
    [prints({ token: { hunter2: 1 } }), "", "printed a status whose token is not text"],
    ["kill -9 $$", "", "was terminated by SIGKILL"],
    ["head -c 2000000 /dev/zero", "", "printed too much"],
  ])("that does %j is named, with the user", async (script, own, words) => {
    const command = plugin("login", script);
    const stderr = await failure(trusted(), exec(command));
    expect(stderr).toBe(
      `${own}signet: error: the login plugin "${command}" ${words}\n` +
        'signet: hint: it is for context "a", cluster "a", user "a" of config\n',
    );
  });

  it("that is not installed is named, with the kubeconfig's hint", async () => {
    const installHint = "get it at\nhttps://example.org\u001b[2J";
    const stderr = await failure(trusted(), exec("no-such-login", { installHint }));
    expect(stderr).toContain('signet: error: the login plugin "no-such-login" was not found\n');
    expect(stderr).toContain("signet: hint: get it at https://example.org");
    expect(stderr).not.toContain("\u001b");
  });
});

describe("a proxy", () => {
  const VARIABLES = ["HTTPS_PROXY", "https_proxy"];

  it.each(VARIABLES)("of %s is not asked for this machine", async (variable) => {
    const { stderr } = await seenAs({}, [], { [variable]: other.url });
    expect([stderr, other.connected]).toEqual(["", []]);
  });

  it("is named where it fails, without its password", async () => {
    const proxy = await startRecorder();
    const away = { server: "https://10.1.2.3:6443" };
    const address = proxy.url.replace("//", "//me:hunter2@");
    const refused = await failure(
      away,
      {},
      { HTTPS_PROXY: address, NO_PROXY: "10.0.0.0/24,10.1.2.3:80" },
    );
    expect(proxy.connected).toEqual(["10.1.2.3:6443"]);
    await proxy.close();
    const gone = await failure(away, {}, { HTTPS_PROXY: address });
    const ofCluster = await failure({ ...away, "proxy-url": address }, {});
    const named = `cannot reach the cluster at https://10.1.2.3:6443 through the proxy ${proxy.url} from`;
    expect(refused).toContain(`${named} HTTPS_PROXY: the proxy refused with status 502\n`);
    expect(gone).toContain(`${named} HTTPS_PROXY: connection refused (ECONNREFUSED)\n`);
    expect(ofCluster).toContain(`${named} the cluster's proxy-url: connection refused`);
    expect(gone).toContain('this address is from context "a", cluster "a", user "a" of config;');
  });
});

it("a SOCKS proxy is given the host's name, and not its address", async () => {
  const asked: string[] = [];
  const proxy = createServer((socket) => {
    socket.on("data", (data) => {
      // A greeting of SOCKS 5 is answered; a request ends the connection.
      if (data.length <= 4) socket.write(Buffer.from([5, 0]));
      else {
        asked.push(data.toString("latin1"));
        socket.destroy();
      }
    });
  });
  await new Promise<void>((done) => proxy.listen(0, "127.0.0.1", done));
  const { port } = proxy.address() as AddressInfo;
  const address = `socks5://127.0.0.1:${port}`;
  const stderr = await failure({ server: "https://api.test", "proxy-url": address }, {});
  proxy.close();
  expect(asked).toEqual([expect.stringContaining("api.test")]);
  expect(stderr).toContain(`through the proxy ${address} from the cluster's proxy-url`);
});

describe("the authorities of the machine", () => {
  const untold = (): object => ({ server: server.url });

  it.each(["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"])(
    "are those of %s",
    async (variable) => {
      const file = write("sub/ca.pem", `a comment\n${authority.certificate}`);
      write("config", kubeconfig("a", untold(), {}));
      const value = variable === "SSL_CERT_DIR" ? `/none:${join(folder, "sub")}` : file;
      expect(
        (await fetchCertificate(["--kubeconfig", "config"], { [variable]: value })).stderr,
      ).toBe("");
    },
  );

  it("are told where they signed nothing of the server's", async () => {
    expect(await failure(untold(), {})).toContain("not signed by an authority known here");
  });

  it("are not asked beside the kubeconfig's own, which need not be self-signed", async () => {
    const middle = authority.below("a middle one");
    const below = await startRecorder(middle.server());
    const cluster = { server: below.url, "certificate-authority": "ca.pem" };
    const env = { SSL_CERT_FILE: write("root.pem", authority.certificate) };
    write("ca.pem", createAuthority("another").certificate);
    const stderr = await failure(cluster, {}, env);
    write("ca.pem", middle.certificate);
    const { stdout } = await fetchCertificate(["--kubeconfig", "config"]);
    await below.close();
    expect(stderr).toContain("not signed by an authority known here");
    expect(stdout).toBe(CERTIFICATE);
  });

  it.each([
    ["nothing", "the certificate authority contains no valid certificate"],
    [undefined, "ca.pem: cannot read: no such file or directory"],
  ])("with the file %j is an error that names it", async (text, words) => {
    if (text !== undefined) write("ca.pem", text);
    expect(await failure({ server: server.url, "certificate-authority": "ca.pem" }, {})).toContain(
      words,
    );
  });
});
