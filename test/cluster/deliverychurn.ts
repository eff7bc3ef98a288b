// SealedSecrets that ask for deliveries, namespaces and people's own Secrets, all of which change at
// random; and whether the cluster is exactly as was declared last.
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import { sealed, SEALED_SECRETS } from "./objects.ts";
import { PATIENCE_MS } from "./program.ts";

const TO = "kube-signet/deliver-to";
const ACCEPT = "kube-signet/accept-deliveries";
const FROM = "kube-signet/delivered-from";

/** The namespaces of `--deliver-from`, which refuse deliveries; SealedSecrets in others ask in vain. */
export const HOMES = ["shared", "infra"];
/** Namespaces that stay as they are and accept deliveries. */
const OTHERS = ["unlisted", "default"];
const NAMES = ["login", "ca", "token"];
const LABELS = ["a", "b", "c"];
const SELECTORS = ["a", "b", "a,!b", "b in (yes)", "c notin (no),c", "kubernetes.io/metadata.name"];
/** What `shared/scoped` asks for, whose scope is the label a: never what its scope forbids. */
const WITHIN_SCOPE = ["a", "a,b", "a,!c"];

interface Source {
  readonly value: string;
  /** Null if it asks for nothing. */
  readonly selector: string | null;
}

interface Namespace {
  readonly labels: Set<string>;
  accepts: string | undefined;
}

/** Whether labels that all have the value "yes" match one of the selectors above. */
function matches(selector: string, labels: ReadonlySet<string>): boolean {
  switch (selector) {
    case "b in (yes)":
      return labels.has("b");
    case "c notin (no),c":
      return labels.has("c");
    case "kubernetes.io/metadata.name":
      return true;
    default:
      return selector
        .split(",")
        .every((each) => (each.startsWith("!") ? !labels.has(each.slice(1)) : labels.has(each)));
  }
}

interface Theirs {
  readonly uid: string;
  readonly resourceVersion: string;
}

export class DeliveryChurn {
  readonly #plane: ControlPlane;
  readonly #certificate: string;
  readonly #random: () => number;
  /** What is declared, by `NAMESPACE/NAME`. */
  readonly #sources = new Map<string, Source>();
  readonly #namespaces = new Map<string, Namespace>();
  /** Secrets that people made, by `NAMESPACE/NAME`, as they left them. */
  readonly #theirs = new Map<string, Theirs>();
  readonly #names: readonly string[];
  #turn = 0;
  /** How often each kind of change was made. */
  readonly done = new Map<string, number>();

  constructor(
    plane: ControlPlane,
    certificate: string,
    random: () => number,
    { namespaces }: { namespaces: number },
  ) {
    this.#plane = plane;
    this.#certificate = certificate;
    this.#random = random;
    this.#names = Array.from({ length: namespaces }, (_, index) => `n${index}`);
  }

  /** All there is at first: every namespace, every SealedSecret, and Secrets of people. */
  async begin(): Promise<void> {
    for (const name of HOMES) {
      const metadata = { name, labels: { a: "yes" }, annotations: { [ACCEPT]: "false" } };
      await this.#plane.apply({ apiVersion: "v1", kind: "Namespace", metadata });
    }
    const metadata = { name: "unlisted" };
    await this.#plane.apply({ apiVersion: "v1", kind: "Namespace", metadata });
    for (const name of this.#names) await this.#createNamespace(name);
    for (const from of this.#keys()) await this.#declare(from);
    for (const name of this.#names) await this.#theirsIn(`${name}/bystander`, {});
  }

  /** Makes changes until it is stopped, one after the other. @throws Error if one is refused */
  async run(signal: AbortSignal, pauseMs: number): Promise<void> {
    while (!signal.aborted) {
      await this.#step();
      await new Promise((done) => setTimeout(done, pauseMs));
    }
  }

  /** The number of changes so far. */
  get changes(): number {
    return [...this.done.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Waits until all is as declared. @throws Error with what is not */
  async settled(): Promise<void> {
    const startedMs = performance.now();
    for (;;) {
      const wrong = await this.wrong();
      if (wrong.length === 0) return;
      if (performance.now() - startedMs > PATIENCE_MS) {
        throw new Error(
          `${wrong.length} things are not as declared:\n  ${wrong.slice(0, 20).join("\n  ")}`,
        );
      }
      await new Promise((done) => setTimeout(done, 250));
    }
  }

  /** What is not as declared. */
  async wrong(): Promise<string[]> {
    const wrong: string[] = [];
    const { body } = await this.#plane.request("GET", "/api/v1/secrets?limit=5000");
    const found = new Map<string, KubeObject>();
    for (const secret of body.items ?? []) {
      const { namespace = "", name = "" } = secret.metadata ?? {};
      if (namespace !== "kube-system") found.set(`${namespace}/${name}`, secret);
    }
    for (const [key, { uid, resourceVersion }] of this.#theirs) {
      const { metadata } = found.get(key) ?? {};
      if (metadata?.uid !== uid) wrong.push(`${key}: a Secret of somebody else was deleted`);
      else if (metadata.resourceVersion !== resourceVersion)
        wrong.push(`${key}: a Secret of somebody else was changed`);
      found.delete(key);
    }
    for (const [key, { value }] of this.#sources) {
      if (valueIn(found.get(key)) !== value) wrong.push(`${key}: not what was declared`);
      found.delete(key);
    }
    for (const [key, wanted] of this.#wanted()) {
      const secret = found.get(key);
      found.delete(key);
      const from = secret?.metadata?.annotations?.[FROM] ?? "";
      const value = wanted.get(from);
      if (secret === undefined) wrong.push(`${key}: missing`);
      else if (value === undefined) wrong.push(`${key}: from "${from}", which does not want it`);
      else if (valueIn(secret) !== value) wrong.push(`${key}: not the value of ${from}`);
    }
    for (const key of found.keys()) wrong.push(`${key}: one too many`);
    return [...wrong, ...(await this.#wrongStatus())];
  }

  /** How many namespaces each SealedSecret of a listed namespace says it has reached. */
  async #wrongStatus(): Promise<string[]> {
    const wrong: string[] = [];
    const wanted = this.#wanted();
    const { body } = await this.#plane.request("GET", `${SEALED_SECRETS}/sealedsecrets?limit=5000`);
    for (const { metadata, ...rest } of body.items ?? []) {
      const from = `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;
      const source = this.#sources.get(from);
      const { status } = rest as { status?: { conditions?: Record<string, string>[] } };
      const condition = status?.conditions?.find(({ type }) => type === "Delivered");
      if (source === undefined || source.selector === null) {
        if (condition !== undefined) wrong.push(`${from}: says something of deliveries`);
        continue;
      }
      if (!HOMES.includes(metadata?.namespace ?? "")) continue;
      const keys = [...this.#targets(from, source.selector)];
      // Which of two SealedSecrets has a name is a matter of chance.
      if (keys.some((key) => (wanted.get(key)?.size ?? 0) > 1)) continue;
      const taken = keys.filter((key) => this.#theirs.has(key)).length;
      const message = deliveredWords(keys.length, taken);
      const says = condition?.["message"] ?? "";
      if (taken === 0 ? says !== message : !says.startsWith(message))
        wrong.push(`${from}: says "${says}", and should say "${message}"`);
    }
    return wrong;
  }

  /** The Secrets that there must be, each with those of whom it may be and their values. */
  #wanted(): Map<string, Map<string, string>> {
    const wanted = new Map<string, Map<string, string>>();
    for (const [from, { value, selector }] of this.#sources) {
      if (selector === null || !HOMES.includes(homeOf(from))) continue;
      for (const key of this.#targets(from, selector)) {
        if (this.#theirs.has(key)) continue;
        wanted.set(key, (wanted.get(key) ?? new Map<string, string>()).set(from, value));
      }
    }
    return wanted;
  }

  *#targets(from: string, selector: string): Generator<string> {
    const name = nameOf(from);
    for (const other of OTHERS) if (matches(selector, new Set())) yield `${other}/${name}`;
    for (const [namespace, { labels, accepts }] of this.#namespaces) {
      const refuses = accepts !== undefined && accepts !== "true";
      if (!refuses && matches(selector, labels)) yield `${namespace}/${name}`;
    }
  }

  async #step(): Promise<void> {
    const from = this.#pick(this.#keys());
    const namespace = this.#pick(this.#names);
    const key = `${namespace}/${this.#pick(NAMES)}`;
    const steps: [what: string, weight: number, step: () => Promise<boolean>][] = [
      ["declared", 6, () => this.#declare(from)],
      ["deleted", 2, () => this.#delete(from)],
      ["replaced", 1, async () => (await this.#delete(from)) && this.#declare(from)],
      ["relabelled", 5, () => this.#relabel(namespace)],
      ["refused or accepted", 3, () => this.#setAccepts(namespace)],
      ["namespace deleted or created", 2, () => this.#toggleNamespace(namespace)],
      ["edited by others", 2, () => this.#tamper(key)],
      ["deleted by others", 2, () => this.#deleteDelivered(key)],
      ["taken or given up by people", 3, () => this.#toggleTheirs(key)],
    ];
    let at = this.#random() * steps.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [what, weight, step] of steps) {
      at -= weight;
      if (at >= 0) continue;
      if (await step()) this.done.set(what, (this.done.get(what) ?? 0) + 1);
      return;
    }
  }

  #keys(): string[] {
    const listed = HOMES.flatMap((home) => NAMES.map((name) => `${home}/${name}`));
    return [...listed, "shared/scoped", "unlisted/vain"];
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }

  /** Another value, other namespaces, or both. */
  async #declare(from: string): Promise<boolean> {
    const before = this.#sources.get(from);
    const isScoped = from.endsWith("/scoped");
    const another = this.#random() < 0.15 ? null : this.#pick(isScoped ? WITHIN_SCOPE : SELECTORS);
    const keeps = before !== undefined && this.#random() < 0.5;
    const selector = keeps ? before.selector : another;
    const value = before !== undefined && !keeps ? before.value : `value-${++this.#turn}`;
    const object = await sealed(this.#certificate, {
      namespace: homeOf(from),
      name: nameOf(from),
      stringData: { value },
      scope: isScoped ? "selector a" : "cluster-wide",
      annotations: selector === null ? {} : { [TO]: selector },
    });
    await this.#plane.apply(object);
    this.#sources.set(from, { value, selector });
    return true;
  }

  async #delete(from: string): Promise<boolean> {
    const path = `${SEALED_SECRETS}/namespaces/${homeOf(from)}/sealedsecrets/${nameOf(from)}`;
    await this.#ask("DELETE", path, undefined, [200, 404]);
    return this.#sources.delete(from);
  }

  async #relabel(name: string): Promise<boolean> {
    const namespace = this.#namespaces.get(name);
    if (namespace === undefined) return false;
    const label = this.#pick(LABELS);
    const has = namespace.labels.has(label);
    await this.#changeNamespace(name, { labels: { [label]: has ? null : "yes" } });
    if (has) namespace.labels.delete(label);
    else namespace.labels.add(label);
    return true;
  }

  async #setAccepts(name: string): Promise<boolean> {
    const namespace = this.#namespaces.get(name);
    if (namespace === undefined) return false;
    const accepts = namespace.accepts === "false" ? this.#pick([undefined, "true"]) : "false";
    await this.#changeNamespace(name, { annotations: { [ACCEPT]: accepts ?? null } });
    namespace.accepts = accepts;
    return true;
  }

  async #changeNamespace(name: string, metadata: object): Promise<void> {
    await this.#ask("PATCH", `/api/v1/namespaces/${name}`, { metadata }, [200]);
  }

  /** One that is being deleted takes its time, and may not be back at once. */
  async #toggleNamespace(name: string): Promise<boolean> {
    if (!this.#namespaces.has(name)) return this.#createNamespace(name);
    await this.#ask("DELETE", `/api/v1/namespaces/${name}`, undefined, [200]);
    this.#namespaces.delete(name);
    for (const key of [...this.#theirs.keys()]) {
      if (homeOf(key) === name) this.#theirs.delete(key);
    }
    return true;
  }

  async #createNamespace(name: string): Promise<boolean> {
    const labels = new Set(LABELS.filter(() => this.#random() < 0.5));
    const metadata = { name, labels: Object.fromEntries([...labels].map((each) => [each, "yes"])) };
    const object = { apiVersion: "v1", kind: "Namespace", metadata };
    const status = await this.#ask("POST", "/api/v1/namespaces", object, [201, 409]);
    if (status === 201) this.#namespaces.set(name, { labels, accepts: undefined });
    return status === 201;
  }

  async #tamper(key: string): Promise<boolean> {
    if (this.#theirs.has(key)) return false;
    const change = { stringData: { value: "evil" } };
    return (await this.#ask("PATCH", secretPath(key), change, [200, 404, 409])) === 200;
  }

  async #deleteDelivered(key: string): Promise<boolean> {
    if (this.#theirs.has(key)) return false;
    return (await this.#ask("DELETE", secretPath(key), undefined, [200, 404, 409])) === 200;
  }

  /** A Secret of the name of a delivery, if the name is free; or its end, by whoever made it. */
  async #toggleTheirs(key: string): Promise<boolean> {
    if (!this.#theirs.has(key)) {
      // A copy of what was delivered to another namespace, with its marks, is somebody's too.
      const another = `${this.#pick(this.#names)}/${nameOf(key)}`;
      const { body } = await this.#plane.request("GET", secretPath(another));
      const isCopy = homeOf(another) !== homeOf(key) && this.#random() < 0.5;
      const { labels = {}, annotations = {} } = body.metadata ?? {};
      return this.#theirsIn(key, isCopy ? { labels, annotations } : {});
    }
    await this.#ask("DELETE", secretPath(key), undefined, [200]);
    return this.#theirs.delete(key);
  }

  async #theirsIn(key: string, more: object): Promise<boolean> {
    if (!this.#namespaces.has(homeOf(key))) return false;
    const { status, body } = await this.#plane.request("POST", parentOf(secretPath(key)), {
      ...{ apiVersion: "v1", kind: "Secret", stringData: { value: "theirs" } },
      metadata: { name: nameOf(key), ...more },
    });
    if (status !== 201) return false;
    const { uid = "", resourceVersion = "" } = body.metadata ?? {};
    this.#theirs.set(key, { uid, resourceVersion });
    return true;
  }

  async #ask(
    method: string,
    path: string,
    body: unknown,
    expected: readonly number[],
  ): Promise<number> {
    const options = method === "PATCH" ? MERGE : {};
    const { status, text } = await this.#plane.request(method, path, body, options);
    if (!expected.includes(status)) throw new Error(`${method} ${path}: ${status} ${text}`);
    return status;
  }
}

function valueIn(secret: KubeObject | undefined): string | undefined {
  const { value, ...others } = secret?.data ?? {};
  if (value === undefined || Object.keys(others).length > 0) return undefined;
  return Buffer.from(value, "base64").toString();
}

/** The beginning of what the condition says. */
function deliveredWords(count: number, taken: number): string {
  if (count === 0) return "no other namespace matches";
  const namespaces = `namespace${count === 1 ? "" : "s"}`;
  if (taken === 0) return `delivered to ${count} ${namespaces}`;
  return `delivered to ${count - taken} of ${count} ${namespaces}, not to `;
}

function homeOf(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

function nameOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}

function secretPath(key: string): string {
  return `/api/v1/namespaces/${homeOf(key)}/secrets/${nameOf(key)}`;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
