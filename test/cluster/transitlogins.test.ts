// How a controller logs in to a real OpenBao: as a Kubernetes service account, by AppRole, with a token; over
// HTTPS with an authority of its own, in a namespace of it; and what is said where that is refused.
// SPEC.md, "Wrapped keys".
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { WRAPPED_KEY_LABEL } from "../../shared/keys/wrappedkey.ts";
import { type ControlPlane, startControlPlane } from "./controlplane.ts";
import { type OpenBao, startOpenBao } from "./keyservices.ts";
import { certificateOf, metricOf, sealed, untilData } from "./objects.ts";
import {
  addAccount,
  ensureNamespace,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const SECRETS = `/api/v1/namespaces/kube-system/secrets?labelSelector=${WRAPPED_KEY_LABEL}`;
const ACCOUNT = "signet-controller";
const NAMESPACE = "team-a";

let plane: ControlPlane;
let bao: OpenBao;
let jwtFile: string;
let count = 0;
const running: RunningController[] = [];
/** None of these may be in a log. */
const credentials: string[] = [];

beforeAll(async () => {
  bao = await startOpenBao({ tls: true, namespace: NAMESPACE });
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
  // Whoever asks the API server whose token it is needs that right.
  const reviewer = { namespace: "kube-system", name: "openbao", role: "system:auth-delegator" };
  await addAccount(plane, reviewer);
  await bao.administer("POST", "sys/auth/kubernetes", { type: "kubernetes" });
  await bao.administer("POST", "auth/kubernetes/config", {
    kubernetes_host: plane.url,
    kubernetes_ca_cert: plane.certificateAuthority,
    token_reviewer_jwt: await plane.serviceAccountToken("kube-system", "openbao"),
    disable_iss_validation: true,
  });
  await allow({});
  jwtFile = join(plane.directory, "jwt");
  const jwt = await plane.serviceAccountToken("kube-system", ACCOUNT);
  credentials.push(jwt);
  await writeFile(jwtFile, jwt, { mode: 0o600 });
});

afterAll(async () => {
  await plane.stop();
  await bao.stop();
});

beforeEach(async () => {
  expect((await plane.request("DELETE", SECRETS)).status).toBe(200);
});

afterEach(async () => {
  for (const controller of running.splice(0)) {
    await controller.stop();
    for (const credential of credentials) expect(controller.logs()).not.toContain(credential);
  }
});

/** The role by which the controller's account may use the key. */
async function allow(more: Record<string, unknown>): Promise<void> {
  await bao.administer("POST", "auth/kubernetes/role/signet", {
    bound_service_account_names: [ACCOUNT],
    bound_service_account_namespaces: ["kube-system"],
    token_policies: ["signet"],
    token_ttl: "1h",
    token_max_ttl: "24h",
    ...more,
  });
}

async function start(
  flags: readonly string[],
  waitFor: "ready" | "alive" = "ready",
): Promise<RunningController> {
  const all = ["--key-size=2048", "--kms-backup-verified", ...flags];
  const controller = await startSignet(plane, { flags: all, waitFor });
  running.push(controller);
  return controller;
}

const asAccount = (): string[] => [
  ...bao.place,
  ...["--kms-transit-login=kubernetes", "--kms-transit-role=signet"],
  `--kms-transit-login-file=${jwtFile}`,
];
const withToken = (file = bao.tokenFile): string[] => [
  ...bao.place,
  ...["--kms-transit-login=token", `--kms-transit-login-file=${file}`],
];

async function opensWith(controller: RunningController, certificate: string): Promise<void> {
  const name = `login-${++count}`;
  const stringData = { value: name };
  await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData }));
  await untilData(plane, "demo", name, { value: name });
  expect(await certificateOf(controller)).toBe(certificate);
}

const wrappedCount = async (): Promise<number> =>
  ((await plane.request("GET", SECRETS)).body.items ?? []).length;

describe("a controller with keys in OpenBao", () => {
  it.each([
    ["as its service account", asAccount],
    ["by AppRole", () => [...bao.flags]],
    ["with a token", withToken],
  ])("logs in %s, and again after a restart", async (_how, flags) => {
    const first = await start(flags());
    const certificate = await certificateOf(first);
    await opensWith(first, certificate);
    expect(await wrappedCount()).toBe(1);
    await running.splice(0)[0]?.stop();
    await opensWith(await start(flags()), certificate);
  });

  it("logs in again when its token ends", async () => {
    await allow({ token_ttl: "2s", token_max_ttl: "2s" });
    try {
      const controller = await start(asAccount());
      await pause(2_500);
      controller.kill("SIGUSR1");
      await plane.waitFor("a second key", async () => (await wrappedCount()) === 2);
      // Also one that was taken back before its time.
      await bao.administer("POST", "sys/leases/revoke-prefix/auth/kubernetes/login");
      controller.kill("SIGUSR1");
      await plane.waitFor("a third key", async () => (await wrappedCount()) === 3);
      expect(
        await metricOf(controller, "kms_requests_total", { operation: "wrap", outcome: "failed" }),
      ).toBe(0);
    } finally {
      await allow({});
    }
  });

  it("takes a token that was written into the file since", async () => {
    const file = join(plane.directory, "token");
    await writeFile(file, "s.of-yesterday", { mode: 0o600 });
    const controller = await start(withToken(file), "alive");
    await plane.waitFor("it to say so", () => controller.logs().includes("permission denied"));
    expect(await wrappedCount()).toBe(0);
    expect((await fetch(`${controller.url}/readyz`)).status).toBe(503);
    const made = (await bao.administer("POST", "auth/token/create", { policies: ["signet"] })) as {
      auth: { client_token: string };
    };
    credentials.push(made.auth.client_token);
    await writeFile(file, made.auth.client_token);
    await plane.waitFor("it to be ready", async () => (await fetch(`${controller.url}/readyz`)).ok);
  });

  it("takes another authority that was written into the file since", async () => {
    const flag = bao.place.find((each) => each.startsWith("--kms-ca-file=")) ?? "";
    const right = await readFile(flag.slice(flag.indexOf("=") + 1), "utf8");
    const file = join(plane.directory, "authority.pem");
    await writeFile(file, plane.certificateAuthority);
    const flags = withToken().map((each) => (each === flag ? `--kms-ca-file=${file}` : each));
    const controller = await start(flags, "alive");
    await plane.waitFor("it to say so", () => controller.logs().includes("certificate"));
    expect(await wrappedCount()).toBe(0);
    await writeFile(file, right);
    await plane.waitFor("it to be ready", async () => (await fetch(`${controller.url}/readyz`)).ok);
  });

  it.each<[string, string, (flags: string[]) => string[]]>([
    [
      "a role that is for another account",
      "login refused",
      (flags) => flags.map((flag) => flag.replace("-role=signet", "-role=other")),
    ],
    [
      "an authority that it does not trust",
      "certificate",
      (flags) => flags.filter((flag) => !flag.startsWith("--kms-ca-file")),
    ],
    [
      "another namespace",
      "login refused",
      (flags) => flags.filter((flag) => !flag.startsWith("--kms-transit-namespace")),
    ],
  ])("says what is wrong with %s, and makes no key", async (_what, words, change) => {
    await bao.administer("POST", "auth/kubernetes/role/other", {
      bound_service_account_names: ["someone-else"],
      bound_service_account_namespaces: ["kube-system"],
      token_policies: ["signet"],
    });
    const controller = await start(change(asAccount()), "alive");
    await plane.waitFor("it to say so", () => controller.logs().includes(words));
    expect(await wrappedCount()).toBe(0);
  });
});
