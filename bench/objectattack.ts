// Hostile tenants, each of which may write SealedSecrets and their status in its own namespace.
import { Agent, request as httpsRequest } from "node:https";
import { parseCertificate } from "../shared/keys/certificate.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { badObjects, manyValues, templateBombs } from "./hostile.ts";
import { repeatedly } from "./pace.ts";

export interface ObjectTarget {
  readonly api: { readonly host: string; readonly port: number; readonly ca: string };
  readonly tenants: readonly { readonly namespace: string; readonly token: string }[];
  /** PEM certificates of the current and of a former key. */
  readonly certificate: string;
  readonly formerCertificate: string;
}

type Count = (what: string) => void;
type Tenant = ObjectTarget["tenants"][number];

/** How many tenants change an object with many values, and how often. */
const VALUE_TENANTS = 4;
const VALUES_A_SECOND = 0.4;
const BOMBS_A_SECOND = 5;
/** Bad objects, each created, changed and deleted. */
const FLOODS_A_SECOND = 15;
const FORGERIES_A_SECOND = 10;
const AT_ONCE = 8;
const ANSWER_TIMEOUT_MS = 60_000;

const SEALED_SECRETS = "/apis/bitnami.com/v1alpha1";
const FORGED_UID = "11111111-1111-1111-1111-111111111111";

/** Attacks until the process ends. Resolves when the attack is under way. */
export async function runObjectAttack(target: ObjectTarget, count: Count): Promise<void> {
  const call = callerOf(target, count);
  const certificate = parseCertificate(target.certificate);
  const former = parseCertificate(target.formerCertificate);
  const bombs: [Tenant, string][] = [];
  const values: [Tenant, string][] = [];
  const floods: [Tenant, readonly JsonObject[]][] = [];
  for (const [index, tenant] of target.tenants.entries()) {
    const { namespace } = tenant;
    for (const bomb of await templateBombs(namespace, certificate)) {
      await call(tenant, { method: "POST", body: bomb, kind: "template bomb" });
      bombs.push([tenant, (bomb["metadata"] as { name: string }).name]);
    }
    if (index < VALUE_TENANTS) {
      const object = await manyValues(namespace, "values", former);
      await call(tenant, { method: "POST", body: object, kind: "values of a former key" });
      values.push([tenant, "values"]);
    }
    floods.push([tenant, await badObjects(namespace, certificate)]);
  }
  const inTurn = <T>(of: readonly T[], work: (one: T, turn: number) => Promise<void>) => {
    let turn = 0;
    return async (): Promise<void> => {
      const one = of[turn % of.length];
      if (one !== undefined) await work(one, turn++);
    };
  };
  /** The generation changes, so that the controller has to look again. */
  const change = (kind: string) => (one: [Tenant, string], turn: number) => {
    const annotations = { turn: String(turn) };
    const body = { spec: { template: { metadata: { annotations } } } };
    return call(one[0], { method: "PATCH", name: one[1], body, kind });
  };
  const create = async ([tenant, bad]: (typeof floods)[number], turn: number): Promise<void> => {
    const kind = "bad object";
    const object = bad[Math.floor(turn / floods.length) % bad.length] ?? {};
    const name = `bad-${turn}`;
    const metadata = { name, namespace: tenant.namespace };
    await call(tenant, { method: "POST", body: { ...object, metadata }, kind });
    await change(kind)([tenant, name], turn);
    await call(tenant, { method: "DELETE", name, kind });
  };
  const forge = async ([tenant, name]: [Tenant, string]): Promise<void> => {
    const condition = { type: "Synced", status: "True", lastUpdateTime: new Date().toISOString() };
    const secret = { uid: FORGED_UID, resourceVersion: "1", patched: false };
    const body = { status: { conditions: [condition], observedGeneration: 1e6, secret } };
    const subresource = "/status";
    await call(tenant, { method: "PATCH", name: name + subresource, body, kind: "forged status" });
  };
  repeatedly(BOMBS_A_SECOND, AT_ONCE, inTurn(bombs, change("template bomb")));
  repeatedly(VALUES_A_SECOND, AT_ONCE, inTurn(values, change("values of a former key")));
  repeatedly(FLOODS_A_SECOND, AT_ONCE, inTurn(floods, create));
  repeatedly(FORGERIES_A_SECOND, AT_ONCE, inTurn(bombs, forge));
}

interface Call {
  readonly method: string;
  readonly name?: string;
  readonly body?: JsonObject;
  readonly kind: string;
}

/** Calls the API server as a tenant, and counts calls and refusals. */
function callerOf(
  { api }: ObjectTarget,
  count: Count,
): (tenant: Tenant, call: Call) => Promise<void> {
  const agent = new Agent({ keepAlive: true, ca: api.ca });
  return ({ namespace, token }, { method, name, body, kind }) => {
    count(kind);
    const root = `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets`;
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const options = {
      ...{ host: api.host, port: api.port, method, agent, timeout: ANSWER_TIMEOUT_MS },
      path: name === undefined ? root : `${root}/${name}`,
      headers: { authorization: `Bearer ${token}`, "content-type": type },
    };
    return new Promise((done) => {
      const asked = httpsRequest(options, (response) => {
        const { statusCode = 0 } = response;
        if (statusCode > 299) count(`${kind}: ${statusCode}`);
        response.on("error", () => undefined);
        response.resume();
      });
      asked.on("timeout", () => asked.destroy());
      asked.on("error", () => undefined).on("close", done);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  };
}
