// A set of SealedSecrets that change all the time, and whether the cluster ends as declared.
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import { inLanes } from "./lanes.ts";
import { sealed, SEALED_SECRETS } from "./objects.ts";
import { PATIENCE_MS } from "./program.ts";
import { slowness } from "./slowness.ts";

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Declared {
  readonly value: string;
  readonly label: string;
}

/** SealedSecrets in one namespace, by what was last declared. */
export class Churn {
  readonly #plane: ControlPlane;
  readonly #namespace: string;
  readonly #certificate: string;
  readonly #random: () => number;
  readonly #declared = new Map<string, Declared>();
  #turn = 0;
  /** Changes made so far. */
  changes = 0;

  constructor(plane: ControlPlane, namespace: string, certificate: string, random: () => number) {
    this.#plane = plane;
    this.#namespace = namespace;
    this.#certificate = certificate;
    this.#random = random;
  }

  async declareAll(count: number): Promise<void> {
    const names = Array.from({ length: count }, (_, index) => `churn-${index}`);
    await inLanes(10, names, (name) => this.#declare(name));
  }

  /** Changes something at random: a declaration, or what others must not touch. */
  async step(): Promise<void> {
    const names = [...this.#declared.keys()];
    const name = names[Math.floor(this.#random() * names.length)] ?? "";
    const path = `/api/v1/namespaces/${this.#namespace}/secrets/${name}`;
    const kind = Math.floor(this.#random() * 5);
    this.changes++;
    if (kind === 0) {
      await this.#plane.request("PATCH", path, { stringData: { value: "drift" } }, MERGE);
    } else if (kind === 1) {
      await this.#plane.request("DELETE", path);
    } else if (kind === 2) {
      await this.#plane.request("DELETE", this.#sealedPath(name));
      await this.#declare(name);
    } else {
      await this.#declare(name);
    }
  }

  /**
   * Performs steps until it is stopped. A step that fails because the API server is down does not
   * count.
   */
  async run(signal: AbortSignal, pauseMs: number): Promise<void> {
    while (!signal.aborted) {
      await this.step().catch(() => undefined);
      await new Promise((done) => setTimeout(done, pauseMs));
    }
  }

  /** Everything once more, so that what a fault swallowed is declared for sure. */
  async declareAgain(): Promise<void> {
    await inLanes(10, [...this.#declared.keys()], (name) => this.#declare(name));
  }

  /**
   * Waits until the cluster is as declared.
   * @param soonMs how long that may take on an idle machine
   * @throws Error with what is not, or with the time where it took longer
   */
  async settled(soonMs: number): Promise<void> {
    const startedMs = performance.now();
    for (;;) {
      const wrong = await this.#wrong().catch((error: unknown) => [(error as Error).message]);
      const tookMs = performance.now() - startedMs;
      if (wrong.length === 0) {
        if (tookMs < soonMs || tookMs < soonMs * (await slowness())) return;
        throw new Error(`it took ${tookMs} ms until all was as declared`);
      }
      if (tookMs > Math.max(soonMs, PATIENCE_MS)) {
        throw new Error(
          `${wrong.length} things are not as declared:\n  ${wrong.slice(0, 10).join("\n  ")}`,
        );
      }
      await new Promise((done) => setTimeout(done, 250));
    }
  }

  async #wrong(): Promise<string[]> {
    const items = async (path: string): Promise<Map<string, KubeObject>> => {
      const { status, body } = await this.#plane.request("GET", path);
      if (status !== 200) throw new Error(`the API server answered ${status}`);
      return new Map((body.items ?? []).map((item) => [item.metadata?.name ?? "", item]));
    };
    const secrets = await items(`/api/v1/namespaces/${this.#namespace}/secrets?limit=5000`);
    const sealedSecrets = await items(this.#sealedPath());
    const wrong: string[] = [];
    for (const [name, { value, label }] of this.#declared) {
      const secret = secrets.get(name);
      const { status, metadata } = (sealedSecrets.get(name) ?? {}) as KubeObject & {
        status?: { observedGeneration?: number; conditions?: { type: string; status: string }[] };
      };
      const synced = status?.conditions?.find(({ type }) => type === "Synced")?.status;
      const data = Buffer.from(value).toString("base64");
      const { labels = {}, ownerReferences = [] } = secret?.metadata ?? {};
      const owner = ownerReferences[0] as { uid?: string } | undefined;
      if (secret === undefined) wrong.push(`${name}: no Secret`);
      else if (JSON.stringify(secret.data) !== JSON.stringify({ value: data }))
        wrong.push(`${name}: stale data`);
      else if (labels["turn"] !== label) wrong.push(`${name}: stale label`);
      else if (ownerReferences.length !== 1 || owner?.uid !== metadata?.uid)
        wrong.push(`${name}: owner`);
      else if (synced !== "True") wrong.push(`${name}: Synced is ${synced}`);
      else if (status?.observedGeneration !== metadata?.generation)
        wrong.push(`${name}: old status`);
    }
    for (const [name, secret] of secrets) {
      const ours = secret.metadata?.labels?.["kube-signet/secret"] !== undefined;
      if (ours && !this.#declared.has(name)) wrong.push(`${name}: a Secret too many`);
    }
    return wrong;
  }

  async #declare(name: string): Promise<void> {
    const turn = ++this.#turn;
    const declared = { value: `value-${turn}`, label: `t${turn}` };
    const object = await sealed(this.#certificate, {
      namespace: this.#namespace,
      name,
      stringData: { value: declared.value },
      labels: { turn: declared.label },
    });
    this.#declared.set(name, declared);
    await this.#plane.apply(object);
  }

  #sealedPath(name?: string): string {
    const path = `${SEALED_SECRETS}/namespaces/${this.#namespace}/sealedsecrets`;
    return name === undefined ? `${path}?limit=5000` : `${path}/${name}`;
  }
}
