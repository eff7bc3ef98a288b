// What `kubeseal` does over the network without a cluster, and with files that the original cannot
// take. Runs the built program, dist/kubeseal.cjs.

import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { encodeBase64 } from "../../shared/base64.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { encryptValue, envelopeBytes, importPublicKey } from "../../shared/envelopes/rsa.ts";
import { type Finished, runToEnd } from "../cluster/program.ts";

const CERTIFICATE = readFileSync("test/fixtures/cert.pem", "utf8");
const { fingerprint, spki } = parseCertificate(CERTIFICATE);
const VALUE = ["--raw", "--scope", "cluster-wide"];

let folder: string;
let server: Server;
let url: string;
const asked: IncomingMessage[] = [];
/** Statuses with which the next SealedSecrets are sent back. */
let refusals: number[] = [];
/** When they are to be sent again, as the header says. */
let retryAfter = "0";

function answer(request: IncomingMessage, response: ServerResponse): void {
  asked.push(request);
  const path = request.url ?? "";
  if (path.endsWith("/cert.pem")) response.end(CERTIFICATE);
  else if (path === "/moved") response.writeHead(302, { location: "/cert.pem" }).end();
  else if (path === "/round") response.writeHead(302, { location: "/round" }).end();
  else if (/^\/cluster\/.*\/sealed-secrets-controller$/.test(path)) response.end("{}");
  else if (path.endsWith("/v1/verify")) {
    response.writeHead(refusals.shift() ?? 200, { "retry-after": retryAfter }).end();
  } else if (path !== "/silence") response.writeHead(404).end();
}

/** As a proxy does: asked for any host, it hands on to the server itself. */
function tunnel(request: IncomingMessage, socket: Duplex): void {
  asked.push(request);
  const onward = connect((server.address() as AddressInfo).port, "127.0.0.1", () => {
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    socket.pipe(onward).pipe(socket);
  });
  for (const each of [socket, onward]) each.on("error", () => each.destroy());
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "kubeseal-"));
  server = createServer(answer).on("connect", tunnel);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

beforeEach(() => {
  asked.length = 0;
  [refusals, retryAfter] = [[], "0"];
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

function kubeseal(args: string[], stdin = "", env: Record<string, string> = {}): Promise<Finished> {
  const command = [process.execPath, resolve("dist/kubeseal.cjs"), ...args];
  return runToEnd(command, { stdin, cwd: folder, env: { HOME: folder, ...env } });
}

const SEALED = /^A[A-Za-z0-9+/]{300,}=*$/;

it("warns of a certificate whose key is too short, and seals all the same", async () => {
  const cert = resolve("test/fixtures/short-cert.pem");
  const { status, stdout, stderr } = await kubeseal([...VALUE, "--cert", cert], "x");
  const told = `warning: ${cert}: the certificate's key has 1024 bits, which is too short: it could be broken; ask for a longer one\n`;
  expect([status, stderr]).toEqual([0, told]);
  expect(stdout.length).toBeGreaterThan(150);
});

it.each([
  [[], {}, /^AQ/],
  [["--algorithm", "hybrid"], {}, /^PQ1A/],
  [["--algorithm", "rsa"], { SIGNET_ALGORITHM: "hybrid" }, /^AQ/],
  [[], { SIGNET_ALGORITHM: "hybrid" }, /^PQ1A/],
] as const)("seals with %j and %j for a key of two halves", async (flags, env, beginning) => {
  const cert = resolve("test/fixtures/hybrid-cert.pem");
  const { status, stdout, stderr } = await kubeseal([...VALUE, "--cert", cert, ...flags], "x", env);
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(beginning);
});

it("seals names that Helm renders later, without a word to a script", async () => {
  const cert = ["--cert", resolve("test/fixtures/cert.pem"), "-o", "yaml"];
  const names = "name: '{{ .Release.Name }}-DB', namespace: '{{ .Release.Namespace }}'";
  const secret = `apiVersion: v1\nkind: Secret\nmetadata: {${names}}\nstringData: {a: hunter2}\n`;
  const { status, stdout, stderr } = await kubeseal(cert, secret);
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout.match(/\{\{ \.Release\.Name \}\}-DB/g)?.length).toBeGreaterThan(1);
  const signet = [process.execPath, resolve("dist/signet.cjs"), "seal", ...cert];
  const refused = await runToEnd(signet, { stdin: secret, cwd: folder, env: { HOME: folder } });
  expect([refused.status, refused.stdout]).toEqual([1, ""]);
  expect(refused.stderr).toContain("metadata.name: is not a valid Kubernetes name");
});

it.each(["", "{{ not YAML", "a: b\n"])(
  "reports a missing certificate whatever its input is: %j",
  async (stdin) => {
    const { status, stderr } = await kubeseal(["--cert", "missing.pem"], stdin);
    expect([status, stderr]).toEqual([1, expect.stringContaining("missing.pem")]);
  },
);

describe("a certificate's address", () => {
  it("without TLS is warned about", async () => {
    const { status, stdout, stderr } = await kubeseal([...VALUE, "--cert", `${url}/cert.pem`], "x");
    expect([status, stderr]).toEqual([
      0,
      `warning: ${url}/cert.pem is fetched without TLS: anyone who can change the traffic can read what you seal\n`,
    ]);
    expect(stdout).toMatch(SEALED);
  });

  it("needs no warning where the fingerprint is pinned, by flag or environment", async () => {
    const cert = ["--cert", `${url}/cert.pem`];
    const pinned = await kubeseal([...VALUE, ...cert, "--cert-fingerprint", fingerprint], "x");
    expect([pinned.status, pinned.stderr]).toEqual([0, ""]);
    const env = { SEALED_SECRETS_CERT_FINGERPRINT: "SHA256:another" };
    const refused = await kubeseal([...VALUE, ...cert], "x", env);
    expect([refused.status, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toContain(
      `error: ${url}/cert.pem: the certificate is ${fingerprint}, which does not match the expected fingerprint\n`,
    );
  });

  it("is followed where it leads, not for ever", async () => {
    const moved = await kubeseal(["--fetch-cert", "--cert", `${url}/moved`]);
    expect([moved.status, moved.stdout]).toEqual([0, CERTIFICATE]);
    const round = await kubeseal(["--fetch-cert", "--cert", `${url}/round`]);
    expect(round.status).toBe(1);
    expect(round.stderr).toContain(`cannot fetch "${url}/round": 302 Found`);
    expect(asked.length).toBeLessThan(20);
  });

  it("that does not exist, or does not answer, is an error in time", async () => {
    const gone = await kubeseal(["--fetch-cert", "--cert", `${url}/gone`]);
    expect(gone.stderr).toContain(`cannot fetch "${url}/gone": 404 Not Found`);
    const silent = ["--cert", `${url}/silence`, "--request-timeout", "300ms"];
    const late = await kubeseal(["--fetch-cert", ...silent]);
    expect(late.status).toBe(1);
    expect(late.stderr).toContain("no response within 0.3 s");
  });

  it("shows no password", async () => {
    const secret = url.replace("//", "//me:hunter2@");
    const { stderr } = await kubeseal(["--fetch-cert", "--cert", `${secret}/gone`, "-v", "9"]);
    expect(stderr).toContain("404 Not Found");
    expect(stderr).not.toContain("hunter2");
    expect(asked[0]?.headers.authorization).toBe(
      `Basic ${Buffer.from("me:hunter2").toString("base64")}`,
    );
  });

  it("is reached through the proxy of the environment", async () => {
    const cert = ["--fetch-cert", "--cert", "http://certificates.example/cert.pem"];
    const proxied = await kubeseal(cert, "", { HTTP_PROXY: url, http_proxy: url });
    expect([proxied.status, proxied.stdout]).toEqual([0, CERTIFICATE]);
    expect(asked.map((request) => request.url)).toEqual(["certificates.example:80", "/cert.pem"]);
  });
});

describe("the API server", () => {
  it("that does not answer is given up in time", async () => {
    const args = ["--fetch-cert", "--server", `${url}/silence`, "--request-timeout", "300ms"];
    asked.length = 0;
    const late = await kubeseal(args);
    expect(late.status).toBe(1);
    expect(late.stderr).toMatch(/error: cannot (reach the cluster|get sealed secret service)/);
  });

  it("is reached through HTTPS_PROXY as well, and as NO_PROXY says", async () => {
    const args = ["--fetch-cert", "--server", "http://cluster.example"];
    await kubeseal(args, "", { HTTP_PROXY: url, http_proxy: url });
    expect(asked.map((request) => request.url)).toEqual([
      "cluster.example:80",
      "/api/v1/namespaces/kube-system/configmaps/sealed-secrets-controller-certificates",
      "cluster.example:80",
      "/api/v1/namespaces/kube-system/services/sealed-secrets-controller",
    ]);
    asked.length = 0;
    const env = { HTTP_PROXY: url, http_proxy: url, NO_PROXY: ".example", no_proxy: ".example" };
    const { status } = await kubeseal([...args, "--request-timeout=2s"], "", env);
    expect([status, asked]).toEqual([1, []]);
  });

  describe("with a controller", () => {
    const sealed =
      "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a, namespace: b}\nspec: {encryptedData: {c: AAAA}}\n";
    const posted = (): number => asked.filter(({ method }) => method === "POST").length;

    it("that is asked too often is asked again", async () => {
      refusals = [429, 429];
      const { status, stderr } = await kubeseal(
        ["--validate", "--server", `${url}/cluster`],
        sealed,
      );
      expect([status, stderr, posted()]).toEqual([0, "", 3]);
    });

    it.for([
      ["3600", 10],
      ["Wed, 21 Oct 2015 07:28:00 GMT", 1],
    ] as const)("that says %s is asked again after %i s, as is told", async ([said, seconds]) => {
      [refusals, retryAfter] = [[429], said];
      const started = Date.now();
      const { status, stderr } = await kubeseal(
        ["--validate", "--server", `${url}/cluster`, "-v", "1"],
        sealed,
      );
      expect(Date.now() - started).toBeGreaterThanOrEqual(seconds * 1000);
      expect(stderr).toContain(`too many requests; waiting for ${seconds} s\n`);
      expect([status, posted()]).toEqual([0, 2]);
    });

    it("that is away tells so at once", async () => {
      refusals = [503];
      const { status, stderr } = await kubeseal(
        ["--validate", "--server", `${url}/cluster`],
        sealed,
      );
      expect([status, stderr, posted()]).toEqual([
        1,
        "error: cannot validate sealed secret: status 503\n",
        1,
      ]);
    });
  });

  it("is no place to send a plain Secret to", async () => {
    const plain =
      "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\nstringData: {c: hunter2}\n";
    for (const mode of ["--validate", "--re-encrypt"]) {
      const { status, stderr } = await kubeseal([mode, "--server", url], plain);
      expect(status).toBe(1);
      expect(stderr).toContain("expected a SealedSecret");
    }
    for (const mode of ["--validate", "--re-encrypt"]) {
      const { status, stderr } = await kubeseal([mode, "--server", url], "# nothing\n");
      expect([status, stderr.includes("no sealed secrets found")]).toEqual([1, true]);
    }
    expect(asked).toEqual([]);
  });
});

describe("files", () => {
  it("that a link in a repository leads out to are not written, but read", async () => {
    const at = (path: string): string => join(folder, path);
    const cert = ["--cert", "cert.pem"];
    const secret = JSON.stringify({
      kind: "Secret",
      metadata: { name: "db", namespace: "demo" },
      stringData: { a: "hunter2" },
    });
    mkdirSync(at("repository/.git"), { recursive: true });
    mkdirSync(at("outside"));
    writeFileSync(at("outside/cert.pem"), CERTIFICATE);
    writeFileSync(at("outside/secret.json"), secret);
    symlinkSync("../outside", at("repository/linked"));
    symlinkSync("../outside/cert.pem", at("repository/cert.pem"));
    symlinkSync("../outside/sealed.json", at("repository/sealed.json"));
    const run = (...args: string[]): Promise<Finished> =>
      runToEnd([process.execPath, resolve("dist/kubeseal.cjs"), ...cert, ...args], {
        stdin: "",
        cwd: at("repository"),
        env: { HOME: folder },
      });
    const { status, stdout } = await run("-f", "linked/secret.json");
    expect(status).toBe(0);
    writeFileSync(at("outside/sealed.json"), stdout);
    for (const [flag, path] of [
      ["-w", "sealed.json"],
      ["-w", "linked/new.json"],
      ["--merge-into", "sealed.json"],
    ] as const) {
      expect(await run("-f", "linked/secret.json", flag, path)).toMatchObject({
        status: 1,
        stdout: "",
        stderr: expect.stringContaining(
          `error: ${path}: cannot use this path: a link in this path leads outside the repository`,
        ) as string,
      });
    }
    expect(readdirSync(at("outside"))).toEqual(["cert.pem", "sealed.json", "secret.json"]);
    expect(readFileSync(at("outside/sealed.json"), "utf8")).toBe(stdout);
  });

  it("a folder as --secret-file is an error, at once", async () => {
    const { status, stderr } = await kubeseal([
      "--cert",
      resolve("test/fixtures/cert.pem"),
      "-f",
      ".",
    ]);
    expect([status, stderr]).toEqual([
      1,
      "error: Could not read file specified with --secret-file\nhint: .: it is a directory\n",
    ]);
  });

  it("the form from before 2019 is opened", async () => {
    const key = await importPublicKey(spki);
    const secret = JSON.stringify({
      metadata: { name: "old", namespace: "demo" },
      data: { a: "eA==" },
    });
    const label = new TextEncoder().encode("demo/old");
    const sealed = envelopeBytes(await encryptValue(key, new TextEncoder().encode(secret), label));
    writeFileSync(
      join(folder, "old.yaml"),
      `apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: old, namespace: demo}\nspec: {data: ${encodeBase64(sealed)}}\n`,
    );
    const args = ["--recovery-unseal", "--recovery-private-key", resolve("test/fixtures/key.pem")];
    const { status, stdout, stderr } = await kubeseal([...args, "-f", "old.yaml"]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ kind: "Secret", data: { a: "eA==" } });
  });
});

describe("completion", () => {
  /** What bash offers for the last of the words. */
  async function offered(...words: string[]): Promise<string[]> {
    const { stdout } = await kubeseal(["--completion", "bash"]);
    const line = words.map((word) => `'${word}'`).join(" ");
    const ask = `COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _kubeseal`;
    const script = `${stdout}\n${stdout}\n${ask}\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
    const signet = `signet() { ${process.execPath} ${resolve("dist/signet.cjs")} "$@"; }`;
    const env = { HOME: folder, KUBECONFIG: "contexts" };
    const told = await runToEnd(["bash", "-c", `${signet}\n${script}`], { cwd: folder, env });
    expect(told.stderr).toBe("");
    return told.stdout.split("\n").filter((each) => each !== "");
  }

  it("offers flags, and values of those that take no file", async () => {
    expect(await offered("kubeseal", "--cer")).toEqual([
      "--cert",
      "--cert-fingerprint",
      "--certificate-authority",
    ]);
    expect(await offered("kubeseal", "-o", "")).toEqual(["json", "yaml"]);
    expect(await offered("kubeseal", "--scope", "n")).toEqual(["namespace-wide"]);
    expect(await offered("kubeseal", "--algorithm", "")).toEqual(["hybrid", "rsa"]);
    expect(await offered("kubeseal", "")).toEqual([]);
  });

  it("offers the contexts of the kubeconfig", async () => {
    const contexts = { contexts: [{ name: "kind-dev", context: { cluster: "a", user: "a" } }] };
    writeFileSync(join(folder, "contexts"), JSON.stringify(contexts));
    expect(await offered("kubeseal", "--context", "")).toEqual(["kind-dev"]);
  });

  it("is there for other shells, and says which", async () => {
    const zsh = await kubeseal(["--completion", "zsh"]);
    expect(zsh.stdout).toMatch(/^#compdef kubeseal\n/);
    expect(zsh.stdout).toContain("'--scope[strict, ");
    const fish = await kubeseal(["--completion", "fish"]);
    expect(fish.stdout).toContain("complete -c kubeseal -l cert -r -d '");
    const powershell = await kubeseal(["--completion", "powershell"]);
    expect(powershell.stdout).toContain("-Native -CommandName 'kubeseal' -ScriptBlock {");
    expect(powershell.stdout).toContain(
      "'--scope' = @('strict', 'namespace-wide', 'cluster-wide')",
    );
    for (const shell of ["tcsh", "constructor"]) {
      const other = await kubeseal(["--completion", shell]);
      expect([other.status, other.stdout]).toEqual([1, ""]);
      expect(other.stderr).toContain("known are bash, zsh, fish, powershell");
    }
  });
});
