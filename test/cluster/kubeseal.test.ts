// Every mode of our `kubeseal` that asks a cluster, where the Go controller runs and where ours
// does, beside the Go kubeseal; and the ways to log in.
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ControlPlane, type KubeObject, startControlPlane } from "./controlplane.ts";
import { certificateOf, readSecret, untilData } from "./objects.ts";
import { kubeseal as original, startOriginal } from "./original.ts";
import { type Finished, runToEnd } from "./program.ts";
import {
  addAccount,
  ensureNamespace,
  exposeController,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const SERVICE = { service: "sealed-secrets-controller", namespace: "kube-system" };

let plane: ControlPlane;
let kubeconfig: string;
let folder: string;

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
  kubeconfig = await plane.kubeconfig();
  folder = await mkdtemp(join(tmpdir(), "kubeseal-"));
});

afterAll(async () => {
  await plane.stop();
  await rm(folder, { recursive: true });
});

function kubeseal(args: string[], stdin = "", env: Record<string, string> = {}): Promise<Finished> {
  const command = [process.execPath, resolve("dist/kubeseal.cjs"), ...args];
  return runToEnd(command, { stdin, env: { KUBECONFIG: kubeconfig, ...env }, cwd: folder });
}

async function succeed(args: string[], stdin = ""): Promise<string> {
  const { status, stdout, stderr } = await kubeseal(args, stdin);
  expect([status, stderr], args.join(" ")).toEqual([0, ""]);
  return stdout;
}

const secret = (name: string, more = ""): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: {name: ${name}, namespace: demo${more}}\nstringData: {password: hunter2}\n`;

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return name;
}

const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");

/** What `diff` would show: lines of `after` that are not in `before`. */
function changedLines(before: string, after: string): string[] {
  const old = new Set(before.split("\n"));
  return after.split("\n").filter((line) => !old.has(line));
}

const CONTROLLERS: [string, () => Promise<RunningController>][] = [
  ["the Go controller", () => startOriginal(plane, { flags: ["--key-size=2048"] })],
  ["our controller", () => startSignet(plane, { flags: ["--key-size=2048"] })],
];

describe.each(CONTROLLERS)("with %s", (_, start) => {
  let controller: RunningController;

  beforeAll(async () => {
    controller = await start();
    await exposeController(plane, { ...SERVICE, port: controller.port });
  });

  afterAll(async () => {
    await controller.stop();
  });

  it("fetches the certificate and seals with it, as the original does", async () => {
    const certificate = await certificateOf(controller);
    expect(await succeed(["--fetch-cert"])).toBe(certificate);
    expect((await original(["--fetch-cert"], { kubeconfig })).stdout).toBe(certificate);
    const name = `sealed-${controller.port}`;
    const made = await succeed([], secret(name));
    await plane.apply(JSON.parse(made) as KubeObject);
    await untilData(plane, "demo", name, { password: "hunter2" });
    expect(await readSecret(plane, "demo", name)).toBeDefined();
  });

  it("seals one value, and merges values, that the controller opens", async () => {
    const path = await file("merged.yaml", await succeed(["-o", "yaml"], secret("merged")));
    await succeed(["--merge-into", path], secret("whatever").replace("password", "token"));
    const value = await succeed(["--raw", "-n", "demo", "--name", "merged"], "one value");
    const text = (await read(path)).replace(
      "encryptedData:\n",
      `encryptedData:\n    raw: ${value}\n`,
    );
    await succeed(["--validate"], text);
    expect(text).toMatch(/\n {4}raw: [\s\S]*\n {4}password: [\s\S]*\n {4}token: /);
  });

  it("validates every object, and names all that do not open", async () => {
    const documents = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((each) => succeed(["-o", "yaml"], secret(`v${each}`))),
    );
    await succeed(["--validate"], documents.join(""));
    const list = {
      apiVersion: "v1",
      kind: "List",
      items: [JSON.parse(await succeed([], secret("l")))],
    };
    await succeed(["--validate"], JSON.stringify(list));
    const wrong = documents.map((text, index) =>
      index % 2 === 0 ? text : text.replace(/\n {2}name: v/, "\n  name: w"),
    );
    const { status, stderr } = await kubeseal(["--validate"], wrong.join(""));
    expect(status).toBe(1);
    expect(stderr.match(/error: unable to decrypt sealed secret: \w+/g)).toEqual(
      ["w2", "w4", "w6"].map((name) => `error: unable to decrypt sealed secret: ${name}`),
    );
    const theirs = await original(["--validate"], { kubeconfig, stdin: wrong[1] ?? "" });
    expect([theirs.status, theirs.stderr]).toEqual([
      1,
      "error: unable to decrypt sealed secret: w2\n",
    ]);
  });

  it("re-encrypts in place, and touches nothing but the values", async () => {
    const labelled = secret("rotated", ", labels: {keep: me}");
    const sealed = await succeed(["-o", "yaml"], labelled);
    const template = "    data:\n      greeting: 'hello {{ .password }}'\n    metadata:\n";
    const before = `# Owned by the shop team.\n${sealed.replace("    metadata:\n", template)}`;
    const path = await file("rotated.yaml", before);
    await chmod(join(folder, path), 0o640);
    const certificate = await certificateOf(controller);
    controller.kill("SIGUSR1");
    await plane.waitFor("a new certificate", async () =>
      (await certificateOf(controller)) === certificate ? undefined : true,
    );
    const printed = await succeed(["--re-encrypt", "-o", "yaml"], before);
    expect(printed).toMatch(/^---\napiVersion: bitnami.com\/v1alpha1\nkind: SealedSecret\n/);
    expect(printed).toContain("greeting: hello {{ .password }}");
    await succeed(["--re-encrypt", "-f", path]);
    const after = await read(path);
    const changed = changedLines(before, after);
    expect(changed.length).toBeLessThanOrEqual(2);
    for (const line of changed) expect(line).toMatch(/^ {4}(password|kube-signet\/sealed-under): /);
    expect(changed.some((line) => line.includes("password"))).toBe(true);
    expect((await stat(join(folder, path))).mode & 0o777).toBe(0o640);
    await succeed(["--validate", "-f", path]);
    const rotate = await kubeseal(["--rotate"], before);
    expect([rotate.status, rotate.stderr]).toEqual([
      0,
      "Flag --rotate has been deprecated, please use --re-encrypt instead\n",
    ]);
    expect(JSON.parse(rotate.stdout)).toMatchObject({
      kind: "SealedSecret",
      metadata: { name: "rotated" },
    });
    // JSON where it is asked for.
    await succeed(["--re-encrypt", "-f", path, "-o", "json", "-w", "converted.json"]);
    expect(JSON.parse(await read("converted.json"))).toMatchObject({
      spec: {
        template: {
          metadata: { labels: { keep: "me" } },
          data: { greeting: "hello {{ .password }}" },
        },
      },
    });
  });

  it("leaves a file alone that is broken, or does not open", async () => {
    const broken = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: [\n";
    const path = await file("broken.yaml", broken);
    const refused = await kubeseal(["--re-encrypt", "-f", path]);
    expect([refused.status, await read(path)]).toEqual([1, broken]);
    const foreign = (await succeed(["-o", "yaml"], secret("mine"))).replace(
      /\n {2}name: mine/,
      "\n  name: other",
    );
    const second = await file("foreign.yaml", foreign);
    const failed = await kubeseal(["--re-encrypt", "-f", second]);
    expect([failed.status, await read(second)]).toEqual([1, foreign]);
    expect(failed.stderr).toMatch(/error: .*(unable to rotate secret|cannot re-encrypt secret)/);
    // What the original does with the first.
    const theirs = await original(["--re-encrypt", "-f", path], { kubeconfig, cwd: folder });
    expect([theirs.status, await read(path)]).toEqual([0, ""]);
  });
});

describe("the way to the cluster", () => {
  let controller: RunningController;
  let server: string;
  let authority: string;
  let token: string;

  beforeAll(async () => {
    controller = await startSignet(plane, { flags: ["--key-size=2048"] });
    await exposeController(plane, { ...SERVICE, port: controller.port });
    server = `https://${plane.host}:${plane.port}`;
    authority = await file("ca.crt", plane.certificateAuthority);
    await ensureNamespace(plane, "people");
    await addAccount(plane, { namespace: "people", name: "dev", role: "cluster-admin" });
    token = await plane.serviceAccountToken("people", "dev");
  });

  afterAll(async () => {
    await controller.stop();
  });

  const NONE = { KUBECONFIG: "/nonexistent" };

  it("is told by flags alone, or by the environment", async () => {
    const flags = ["--fetch-cert", "--server", server, "--certificate-authority", authority];
    const certificate = await certificateOf(controller);
    const byFlag = await kubeseal([...flags, "--token", token], "", NONE);
    expect([byFlag.status, byFlag.stdout, byFlag.stderr]).toEqual([0, certificate, ""]);
    const byEnvironment = await kubeseal(["--fetch-cert"], "", {
      ...NONE,
      SEALED_SECRETS_SERVER: server,
      SEALED_SECRETS_CERTIFICATE_AUTHORITY: authority,
      SEALED_SECRETS_TOKEN: token,
    });
    expect(byEnvironment.stdout).toBe(certificate);
    const unchecked = ["--fetch-cert", "--server", server, "--token", token];
    expect((await kubeseal(unchecked, "", NONE)).stderr).toContain(
      "error: cannot reach the cluster",
    );
    expect((await kubeseal([...unchecked, "--insecure-skip-tls-verify"], "", NONE)).stdout).toBe(
      certificate,
    );
    const detailed = await kubeseal([...flags, "--token", token, "-v", "1"], "", NONE);
    expect(detailed.stderr).toContain("GET https://");
    expect(detailed.stderr).not.toContain(token);
  });

  it("is told by a plugin of the kubeconfig", async () => {
    const plugin = await file(
      "login.sh",
      `#!/bin/sh\necho '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"${token}"}}'\n`,
    );
    await chmod(join(folder, plugin), 0o700);
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: join(folder, plugin),
      interactiveMode: "Never",
    };
    const config = await file(
      "exec.json",
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "here",
        contexts: [{ name: "here", context: { cluster: "c", user: "u" } }],
        clusters: [
          {
            name: "c",
            cluster: {
              server,
              "certificate-authority-data": Buffer.from(plane.certificateAuthority).toString(
                "base64",
              ),
            },
          },
        ],
        users: [
          { name: "u", user: { exec } },
          { name: "nobody", user: { token: "wrong" } },
        ],
      }),
    );
    const certificate = await certificateOf(controller);
    expect(await succeed(["--fetch-cert", "--kubeconfig", config])).toBe(certificate);
    const nobody = await kubeseal(["--fetch-cert", "--kubeconfig", config, "--user", "nobody"]);
    expect([nobody.status, nobody.stderr.split("\n")[0]]).toEqual([
      1,
      "error: cannot get sealed secret service: 401 Unauthorized (kube-system/sealed-secrets-controller)",
    ]);
    const as = await kubeseal(["--fetch-cert", "--kubeconfig", config, "--as", "system:anonymous"]);
    expect(as.stderr).toMatch(/error: cannot get sealed secret service: 403 .*"system:anonymous"/);
    for (const flag of ["--user", "--cluster", "--context"]) {
      const none = await kubeseal(["--fetch-cert", "--kubeconfig", config, flag, "none"]);
      expect([none.status, none.stderr.includes("none")]).toEqual([1, true]);
    }
  });

  it("that ends at no controller says how to name it", async () => {
    const args = ["--fetch-cert", "--controller-name", "elsewhere"];
    const { status, stderr } = await kubeseal(args);
    expect([status, stderr]).toEqual([
      1,
      'error: cannot get sealed secret service: 404 services "elsewhere" not found (kube-system/elsewhere); ' +
        "ConfigMap kube-system/elsewhere-certificates: not found\n" +
        "hint: use --controller-name and --controller-namespace to say where the controller runs\n",
    ]);
    const theirs = await original(args, { kubeconfig });
    expect([theirs.status, theirs.stderr.slice(0, 41)]).toEqual([
      1,
      "error: cannot get sealed secret service: ",
    ]);
  });
});
