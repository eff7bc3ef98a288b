// Measures the controllers under attack: hostile tenants and clients make every kind of expensive
// request at once, while honest tenants' Secrets change.
import { readFile } from "node:fs/promises";
import { load } from "js-yaml";
import type { Certificate } from "../shared/keys/keykind.ts";
import { formatKeySecret } from "../shared/keys/keyfile.ts";
import type { SealingKeyPair } from "../shared/keys/keypair.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import type { ControlPlane } from "../test/cluster/controlplane.ts";
import { startOriginal } from "../test/cluster/original.ts";
import { freePort, requireBed } from "../test/cluster/program.ts";
import { addTenant, ensureNamespace, exposeController } from "../test/cluster/signet.ts";
import { tell, type Found } from "./attackreport.ts";
import { type Attack, startAttackers } from "./attackers.ts";
import { type Running, startOurs } from "./contest.ts";
import { createTenants, startFleet } from "./honest.ts";
import { type Bench, benchKey, benchSecret } from "./measure.ts";
import { repeatedly } from "./pace.ts";
import { onBenchPlane } from "./plane.ts";
import { checkProbes, type Probe, startProbes } from "./probes.ts";
import type { PartReport } from "./report.ts";
import { supervise } from "./supervised.ts";

const ORIGINAL = "original, unlimited";
const MINUTES = { full: 10, quick: 1 };
const TENANTS = 200;
const HOSTILE_TENANTS = 10;
/** Former keys, which still open values. The hostile values are sealed with the oldest. */
const FORMER_KEYS = 8;
const MONTH_MS = 30 * 24 * 3_600_000;
const NAMESPACE = "kube-system";
const SERVICE = "sealed-secrets-controller";
const HONEST_ADDRESS = "127.0.0.100";
const FIRST_SECRETS_MS = 600_000;

/** The ports of the controller, which stay the same over restarts. */
interface Ports {
  readonly http: number;
  /** The port for health; the original has no separate port for it. */
  readonly health: number;
}

interface Contender {
  readonly program: string;
  readonly ports: () => Promise<Ports>;
  readonly start: (plane: ControlPlane, ports: Ports) => Promise<Running>;
}

export async function benchAttack(bench: Bench): Promise<PartReport> {
  const minutes = bench.minutes ?? (bench.quick ? MINUTES.quick : MINUTES.full);
  bench.say(`making ${FORMER_KEYS} keys`);
  const former = await Promise.all(
    Array.from({ length: FORMER_KEYS }, (_, index) => benchKey((index + 1) * MONTH_MS)),
  );
  const found = new Map<string, Found>();
  for (const contender of listContenders(bench)) {
    const { program } = contender;
    bench.say(`${program}: ${TENANTS} honest tenants, ${minutes} minutes of attack`);
    // A separate control plane for each, so that leftovers of an attack do not slow down the next
    // one.
    found.set(
      program,
      await onBenchPlane(bench, (plane, certificate) =>
        runAttack({ bench, plane, certificate, former, minutes }, contender),
      ),
    );
  }
  return tell({
    ...{ minutes, tenants: TENANTS, original: ORIGINAL, found },
    limitMb: await memoryLimitMb(),
  });
}

function listContenders({ nodes, oursOnly }: Bench): Contender[] {
  const host = requireBed("the attack");
  const ours = nodes.map((node): Contender => ({
    program: node.label,
    ports: async () => ({ http: await freePort(host), health: await freePort(host) }),
    start: (plane, { http, health }) => {
      const flags = [`--listen-health-addr=${host}:${health}`];
      return startOurs(plane, node, flags, { port: http });
    },
  }));
  const original: Contender = {
    program: ORIGINAL,
    ports: async () => {
      const http = await freePort(host);
      return { http, health: http };
    },
    start: (plane, { http }) =>
      startOriginal(plane, { flags: ["--kubeclient-qps=-1"], port: http }),
  };
  return oursOnly ? ours : [...ours, original];
}

interface Setting {
  readonly bench: Bench;
  readonly plane: ControlPlane;
  readonly certificate: Certificate;
  readonly former: readonly SealingKeyPair[];
  readonly minutes: number;
}

async function runAttack(setting: Setting, contender: Contender): Promise<Found> {
  const { bench, plane, certificate, former, minutes } = setting;
  const { program } = contender;
  for (const [index, pair] of former.entries()) {
    const metadata = { name: `sealed-secrets-key-former-${index}`, namespace: NAMESPACE };
    await plane.apply(formatKeySecret(pair, metadata));
  }
  const token = await honestAccount(plane);
  const tenants = await createTenants(plane, TENANTS, certificate);
  const ports = await contender.ports();
  const controller = await supervise(() => contender.start(plane, ports));
  const fleet = await startFleet(plane, tenants, token);
  try {
    await exposeController(plane, { service: SERVICE, namespace: NAMESPACE, port: ports.http });
    await fleet.untilServed(FIRST_SECRETS_MS);
    const probes = await probesOf(setting, ports, token);
    await checkProbes(probes);
    bench.say(`${program}: calm`);
    const calm = await fleet.change((minutes * 60_000) / 6);
    const attackers = await startAttackers(bench.scratch, await attacksOn(setting, ports));
    bench.say(`${program}: under attack`);
    const endProbes = startProbes(probes);
    const endLease = watchLease(plane);
    controller.begin();
    const attacked = await fleet.change(minutes * 60_000);
    return {
      ...{ calm: calm.changes, attacked: attacked.changes },
      refused: calm.refused + attacked.refused,
      usage: controller.usage(),
      shares: await endProbes(),
      holders: await endLease(),
      attack: await attackers.stop(),
    };
  } catch (error) {
    const logs = controller.logs().slice(-2000);
    throw new Error(`last log lines of ${program}:\n${logs}`, { cause: error });
  } finally {
    fleet.stop();
    await controller.stop();
  }
}

/** The account that changes the honest tenants' SealedSecrets, as a program for GitOps does. */
async function honestAccount(plane: ControlPlane): Promise<string> {
  const metadata = { name: "gitops", namespace: "gitops" };
  const apiGroup = "rbac.authorization.k8s.io";
  await ensureNamespace(plane, metadata.namespace);
  await plane.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata });
  await plane.apply({
    ...{ apiVersion: `${apiGroup}/v1`, kind: "ClusterRole", metadata: { name: "gitops" } },
    rules: [{ apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["get", "patch"] }],
  });
  await plane.apply({
    ...{ apiVersion: `${apiGroup}/v1`, kind: "ClusterRoleBinding", metadata: { name: "gitops" } },
    roleRef: { apiGroup, kind: "ClusterRole", name: "gitops" },
    subjects: [{ kind: "ServiceAccount", ...metadata }],
  });
  return plane.serviceAccountToken(metadata.namespace, metadata.name);
}

/** What a hostile tenant may do in its own namespace. */
const HOSTILE_RULES = [
  {
    ...{ apiGroups: ["bitnami.com"], resources: ["sealedsecrets", "sealedsecrets/status"] },
    verbs: ["get", "list", "create", "update", "patch", "delete"],
  },
  { apiGroups: [""], resources: ["secrets"], verbs: ["get", "list"] },
];

async function attacksOn({ plane, certificate, former }: Setting, ports: Ports): Promise<Attack[]> {
  const tenants: { namespace: string; token: string }[] = [];
  for (let index = 0; index < HOSTILE_TENANTS; index++) {
    const namespace = `hostile-${index}`;
    await ensureNamespace(plane, namespace);
    const token = await addTenant(plane, { namespace, name: "hostile", rules: HOSTILE_RULES });
    tenants.push({ namespace, token });
  }
  const formerCertificate = former.at(-1)?.certificatePem ?? "";
  const { host, certificateAuthority: ca } = plane;
  const proxy = { url: proxyUrl(plane), ca, token: tenants[0]?.token ?? "" };
  const url = `http://${requireBed("the attack")}:${ports.http}`;
  return [
    { kind: "http", url, formerCertificate, proxy },
    {
      ...{ kind: "objects", tenants, formerCertificate, certificate: certificate.pem },
      api: { host, port: plane.port, ca },
    },
  ];
}

const proxyUrl = ({ url }: ControlPlane): string =>
  `${url}/api/v1/namespaces/${NAMESPACE}/services/http:${SERVICE}:http/proxy`;

async function probesOf(
  { plane, certificate }: Setting,
  ports: Ports,
  token: string,
): Promise<Record<keyof Found["shares"], Probe>> {
  const host = requireBed("the attack");
  const url = `http://${host}:${ports.http}`;
  const sealed = await seal(benchSecret("honest-0", "app"), certificate);
  const body = JSON.stringify(formatSealedSecret(sealed));
  const direct = { withinMs: 2_000, options: { localAddress: HONEST_ADDRESS } };
  const proxied = {
    withinMs: 2_000,
    options: {
      ca: plane.certificateAuthority,
      headers: { authorization: `Bearer ${token}` },
    },
  };
  return {
    health: { ...direct, url: `http://${host}:${ports.health}/healthz`, withinMs: 1_000 },
    certificate: { ...direct, url: `${url}/v1/cert.pem` },
    verify: { ...direct, url: `${url}/v1/verify`, body },
    proxiedCertificate: { ...proxied, url: `${proxyUrl(plane)}/v1/cert.pem` },
    proxiedVerify: { ...proxied, url: `${proxyUrl(plane)}/v1/verify`, body },
  };
}

/** Checks the controller's Lease every second. Returns its holders, in order. */
function watchLease(plane: ControlPlane): () => Promise<string[]> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
  const holders: string[] = [];
  const end = repeatedly(1, 1, async () => {
    const { body } = await plane.request("GET", path);
    const { holderIdentity = "", leaseTransitions = 0 } = (body.items?.[0]?.["spec"] ?? {}) as {
      holderIdentity?: string;
      leaseTransitions?: number;
    };
    const holder = `${holderIdentity} ${leaseTransitions}`;
    if (body.items?.length !== 0 && holder !== holders.at(-1)) holders.push(holder);
  });
  return async () => {
    await end();
    return holders;
  };
}

/** The chart's memory limit for the controller, in 10^6 bytes. */
async function memoryLimitMb(): Promise<number> {
  const values = load(await readFile("charts/signet/values.yaml", "utf8")) as {
    resources: { limits: { memory: string } };
  };
  const mebibytes = /^(\d+)Mi$/.exec(values.resources.limits.memory)?.[1];
  if (mebibytes === undefined) throw new Error("the chart's memory limit is not in Mi");
  return (Number(mebibytes) * 1024 * 1024) / 1e6;
}
