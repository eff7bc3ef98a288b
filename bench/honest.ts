// Honest tenants whose Secrets change all the time, and how long each change takes to arrive.
import type { Certificate } from "../shared/keys/keykind.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { type ControlPlane, MERGE } from "../test/cluster/controlplane.ts";
import { inLanes } from "../test/cluster/lanes.ts";
import { ensureNamespace } from "../test/cluster/signet.ts";
import { benchSecret } from "./measure.ts";
import { repeatedly } from "./pace.ts";
import { watchSecrets } from "./secretwatch.ts";

/** Each tenant's Secret changes once in this time, unless it still waits for a change. */
const CHANGE_EVERY_MS = 10_000;
export const GIVE_UP_MS = 60_000;
/** Sealed in advance, so that sealing takes no CPU time from the controllers. */
const VERSIONS = 6;
const CALLS_AT_ONCE = 16;
const NAME = "app";
const LABEL = "bench";

interface Version {
  /** What a merge patch changes in the SealedSecret. */
  readonly patch: JsonObject;
  /** The Secret's data, as `textOf` writes it. */
  readonly data: string;
}

export interface Tenant {
  readonly namespace: string;
  /** Whether its Secret has an item that a template renders. */
  readonly hasTemplate: boolean;
  readonly sealed: JsonObject;
  readonly versions: readonly Version[];
}

/** One change of a SealedSecret. */
export interface Change {
  readonly hasTemplate: boolean;
  /**
   * From the API server's answer to the change until its watch reports a Secret with the new
   * values; `GIVE_UP_MS` if that takes longer.
   */
  readonly ms: number;
  readonly served: boolean;
  /** When it was made, in milliseconds since the changes began. */
  readonly atMs: number;
  /** How long the API server took for the change itself. */
  readonly apiMs: number;
}

/** Creates tenants, each with a namespace and a SealedSecret. Every second one uses a template. */
export async function createTenants(
  plane: ControlPlane,
  count: number,
  certificate: Certificate,
): Promise<Tenant[]> {
  const tenants: Tenant[] = [];
  await inLanes(CALLS_AT_ONCE, Array(count).keys(), async (index) => {
    const tenant = await sealTenant(`honest-${index}`, index % 2 === 1, certificate);
    await ensureNamespace(plane, tenant.namespace);
    const answer = await plane.request("POST", sealedPath(tenant.namespace), tenant.sealed);
    if (answer.status !== 201) throw new Error(`creating a SealedSecret: ${answer.text}`);
    tenants.push(tenant);
  });
  return tenants;
}

async function sealTenant(
  namespace: string,
  hasTemplate: boolean,
  certificate: Certificate,
): Promise<Tenant> {
  const versions: Version[] = [];
  let first: JsonObject | undefined;
  for (let index = 0; index < VERSIONS; index++) {
    const secret = benchSecret(namespace, NAME);
    const metadata = { ...secret.metadata, labels: { [LABEL]: "honest" } };
    const object = formatSealedSecret(await seal({ ...secret, metadata }, certificate));
    const spec = object["spec"] as JsonObject;
    const template = spec["template"] as JsonObject;
    const values = [...secret.data].map(
      ([item, value]) => [item, Buffer.from(value).toString()] as const,
    );
    const [[item, value] = ["", ""]] = values;
    if (hasTemplate) template["data"] = { url: `db://app:{{ index . "${item}" }}@db` };
    const data = hasTemplate ? [...values, ["url", `db://app:${value}@db`] as const] : values;
    first ??= object;
    versions.push({
      patch: { spec: { encryptedData: spec["encryptedData"] ?? null } },
      data: textOf(data.map(([name, text]) => [name, Buffer.from(text).toString("base64")])),
    });
  }
  return { namespace, hasTemplate, sealed: first ?? {}, versions };
}

const textOf = (data: readonly (readonly [string, string])[]): string =>
  JSON.stringify([...data].sort(([a], [b]) => (a < b ? -1 : 1)));

const sealedPath = (namespace: string): string =>
  `/apis/bitnami.com/v1alpha1/namespaces/${namespace}/sealedsecrets`;

/** The current state of a tenant's Secret, and the callback that waits for a change. */
interface Place {
  readonly tenant: Tenant;
  version: number;
  data: string;
  waiting: { readonly data: string; readonly arrived: () => void } | null;
}

export interface Fleet {
  /** Waits until every tenant has its first Secret. */
  readonly untilServed: (timeoutMs: number) => Promise<void>;
  /** Changes the tenants' SealedSecrets in turn for this long, and waits for pending changes. */
  readonly change: (forMs: number) => Promise<{ changes: Change[]; refused: number }>;
  readonly stop: () => void;
}

/**
 * Watches the tenants' Secrets with one watch. `token`: of the account that changes their
 * SealedSecrets.
 */
export async function startFleet(
  plane: ControlPlane,
  tenants: readonly Tenant[],
  token: string,
): Promise<Fleet> {
  const places = tenants.map((tenant): Place => ({ tenant, version: 0, data: "", waiting: null }));
  const byNamespace = new Map(places.map((place) => [place.tenant.namespace, place]));
  const stop = await watchSecrets(
    plane,
    `${LABEL}=honest`,
    ({ metadata, data = {} }, isDeleted) => {
      if (isDeleted) return;
      const place = byNamespace.get(metadata?.namespace ?? "");
      if (place === undefined || metadata?.name !== NAME) return;
      place.data = textOf(Object.entries(data));
      if (place.data === place.waiting?.data) place.waiting.arrived();
    },
  );

  const change = async (forMs: number): Promise<{ changes: Change[]; refused: number }> => {
    const changes: Change[] = [];
    const beganMs = performance.now();
    let refused = 0;
    let next = 0;
    const turn = async (): Promise<void> => {
      const place = places[next++ % places.length];
      // The tenant waits until its previous change arrives before it makes another one.
      if (place === undefined || place.waiting !== null) return;
      const atMs = performance.now() - beganMs;
      const changed = await changeOne(plane, place, token);
      if (changed === null) refused++;
      else changes.push({ ...changed, atMs });
    };
    const end = repeatedly((places.length * 1000) / CHANGE_EVERY_MS, Infinity, turn);
    await new Promise((done) => setTimeout(done, forMs));
    await end();
    return { changes, refused };
  };

  return {
    change,
    stop,
    untilServed: async (timeoutMs) => {
      const first = ({ data, tenant }: Place): boolean => data === tenant.versions[0]?.data;
      await plane.waitFor("the tenants' Secrets", () => places.every(first), timeoutMs);
    },
  };
}

/** Returns null if the API server refuses the change. */
async function changeOne(
  plane: ControlPlane,
  place: Place,
  token: string,
): Promise<Omit<Change, "atMs"> | null> {
  const { namespace, hasTemplate, versions } = place.tenant;
  place.version = (place.version + 1) % versions.length;
  const version = versions[place.version];
  if (version === undefined) throw new Error("a tenant without versions");
  const arrival = new Promise<number>((done) => {
    const arrived = (): void => {
      done(performance.now());
    };
    place.waiting = { data: version.data, arrived };
  });
  const startedMs = performance.now();
  try {
    const path = `${sealedPath(namespace)}/${NAME}`;
    const answer = await plane.request("PATCH", path, version.patch, { ...MERGE, token });
    if (answer.status !== 200) return null;
    const answeredMs = performance.now();
    const apiMs = answeredMs - startedMs;
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<null>((done) => {
      timer = setTimeout(done, GIVE_UP_MS, null);
    });
    const arrivedMs = await Promise.race([arrival, tooLate]);
    clearTimeout(timer);
    if (arrivedMs === null) return { hasTemplate, ms: GIVE_UP_MS, served: false, apiMs };
    return { hasTemplate, ms: Math.max(0, arrivedMs - answeredMs), served: true, apiMs };
  } catch {
    return null;
  } finally {
    place.waiting = null;
  }
}
