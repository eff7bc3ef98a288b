// An API server's side of HTTP for tests in this process: collections with versions, pages, watches,
// conflicts; and any answer that a test puts in place of its own.
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { KubernetesClient } from "../../host/kubernetes/apiclient.ts";
import { NO_CLUSTER, NO_USER } from "../../host/kubernetes/kubeconfigentries.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";

/** A request as it came in. */
interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage["headers"];
  readonly body: JsonObject;
}

type Answer = (response: ServerResponse, seen: Seen) => void;

interface Watch {
  readonly seen: Seen;
  readonly response: ServerResponse;
}

export interface ApiServer {
  /** Every request in order. */
  readonly seen: Seen[];
  /** Objects by path. */
  readonly objects: ReadonlyMap<string, JsonObject>;
  /** Watches that are open. */
  readonly watches: Set<Watch>;
  /** Connections made so far. */
  readonly connections: number;
  /** A client of this server. */
  client(limits?: { qps: number; burst: number }, identity?: string): KubernetesClient;
  /** What someone else writes; watches tell of it. */
  put(path: string, object: JsonObject): JsonObject;
  /** What someone else deletes. */
  remove(path: string): void;
  /** Makes changes that open watches do not receive, as if the connection had already been lost. */
  unheard(work: () => void): void;
  /** Forgets all versions so far, as after etcd's compaction. */
  compact(): void;
  /** Answers the next request of this method and path (or `watch PATH`) in place of the server. */
  once(method: string, path: string, answer: Answer): void;
  /** Answers every such request so, until `undefined` takes it back. */
  always(method: string, path: string, answer: Answer | undefined): void;
  close(): Promise<void>;
}

const fixture = (name: string): string => readFileSync(`test/fixtures/${name}`, "utf8");

/** Answers with a Status, as the API server refuses. */
export function refuse(
  code: number,
  reason: string,
  more: { headers?: Record<string, string>; details?: JsonObject } = {},
): Answer {
  const { headers = {}, details = {} } = more;
  return (response) => {
    response.writeHead(code, headers);
    response.end(JSON.stringify({ kind: "Status", code, reason, details, message: "quotes-all" }));
  };
}

/** One line of a watch. */
export function watchLine(type: string, object: JsonObject): string {
  return `${JSON.stringify({ type, object })}\n`;
}

/** Starts a server on a free port. */
export async function startApiServer(): Promise<ApiServer> {
  const objects = new Map<string, JsonObject>();
  const seenAll: Seen[] = [];
  const watches = new Set<Watch>();
  const planned: { method: string; path: string; answer: Answer; once: boolean }[] = [];
  const history: { version: number; path: string; type: string; object: JsonObject }[] = [];
  let version = 0;
  let compacted = 0;
  let heard = true;

  const tell = (watch: Watch, { path, type, object }: (typeof history)[number]): void => {
    const { seen, response } = watch;
    if (collectionOf(path) !== seen.path || !isSelected(object, seen.query)) return;
    response.write(watchLine(type, object));
  };
  const record = (path: string, type: string, object: JsonObject): void => {
    const event = { version, path, type, object };
    history.push(event);
    if (heard) for (const watch of watches) tell(watch, event);
  };
  const put = (path: string, object: JsonObject): JsonObject => {
    const resourceVersion = String(++version);
    const uid = metadataOf(objects.get(path) ?? {})["uid"] ?? `uid-${resourceVersion}`;
    const namespace = /\/namespaces\/([^/]+)\//.exec(path)?.[1];
    const metadata = {
      ...(namespace === undefined ? {} : { namespace }),
      name: nameOf(path),
      ...metadataOf(object),
      uid,
      resourceVersion,
    };
    const stored = { ...object, metadata };
    const type = objects.has(path) ? "MODIFIED" : "ADDED";
    objects.set(path, stored);
    record(path, type, stored);
    return stored;
  };
  const remove = (path: string): void => {
    const object = objects.get(path) ?? {};
    objects.delete(path);
    const metadata = { ...metadataOf(object), resourceVersion: String(++version) };
    record(path, "DELETED", { ...object, metadata });
  };

  const list = (response: ServerResponse, { path, query }: Seen): void => {
    const all = [...objects]
      .filter(([each, object]) => collectionOf(each) === path && isSelected(object, query))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      // As in a real list, whose items say neither.
      .map(([, { apiVersion: _apiVersion, kind: _kind, ...object }]) => object);
    const from = Number(query["continue"] ?? 0);
    const to = from + Number(query["limit"] ?? all.length);
    const more = to < all.length ? { continue: String(to) } : {};
    const metadata = { resourceVersion: String(version), ...more };
    const items = all.slice(from, to);
    send(response, 200, { kind: "List", metadata, items: items.length === 0 ? null : items });
  };
  const watch = (response: ServerResponse, seen: Seen): void => {
    const since = Number(seen.query["resourceVersion"]);
    response.writeHead(200).flushHeaders();
    if (since < compacted) {
      response.end(watchLine("ERROR", { kind: "Status", code: 410, reason: "Expired" }));
      return;
    }
    const opened = { seen, response };
    for (const event of history) if (event.version > since) tell(opened, event);
    watches.add(opened);
    response.on("close", () => watches.delete(opened));
  };
  const write = (response: ServerResponse, { method, path, body }: Seen): void => {
    const at = method === "POST" ? `${path}/${nameIn(body)}` : path;
    const found = objects.get(at);
    const refused = (code: number, reason: string): void => {
      refuse(code, reason)(response, { method, path, body, query: {}, headers: {} });
    };
    if (method === "POST") {
      if (found !== undefined) refused(409, "AlreadyExists");
      else send(response, 201, put(at, body));
      return;
    }
    if (found === undefined) {
      refused(404, "NotFound");
      return;
    }
    const given = asObject(body[method === "PUT" ? "metadata" : "preconditions"] ?? null) ?? {};
    const now = metadataOf(found);
    if ((given["resourceVersion"] ?? now["resourceVersion"]) !== now["resourceVersion"]) {
      refused(409, "Conflict");
    } else if (method === "PUT") send(response, 200, put(at, body));
    else {
      remove(at);
      send(response, 200, { kind: "Status", status: "Success" });
    }
  };
  const answer: Answer = (response, seen) => {
    if (seen.method !== "GET") write(response, seen);
    else if (seen.query["watch"] === "true") watch(response, seen);
    else if (objects.has(seen.path)) send(response, 200, objects.get(seen.path) ?? {});
    else if (["limit", "fieldSelector"].some((name) => name in seen.query)) list(response, seen);
    else refuse(404, "NotFound")(response, seen);
  };

  const tls = { cert: fixture("cert.pem"), key: fixture("key.pem") };
  const server = createServer(tls, (request, response) => {
    void readJson(request).then((body) => {
      const url = new URL(request.url ?? "", "https://server");
      const query = Object.fromEntries(url.searchParams);
      const { method = "", headers } = request;
      const seen = { method, path: url.pathname, query, headers, body };
      seenAll.push(seen);
      const verb = query["watch"] === "true" ? "watch" : method;
      const at = planned.findIndex((plan) => plan.method === verb && plan.path === seen.path);
      const plan = planned[at];
      if (plan?.once === true) planned.splice(at, 1);
      (plan?.answer ?? answer)(response, seen);
    });
  });
  let connections = 0;
  server.on("secureConnection", () => connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const clients: KubernetesClient[] = [];

  return {
    seen: seenAll,
    objects,
    watches,
    get connections() {
      return connections;
    },
    put,
    remove,
    unheard: (work) => {
      heard = false;
      work();
      heard = true;
    },
    compact: () => {
      compacted = version;
    },
    client: (limits = { qps: -1, burst: 0 }, identity = "") => {
      const server = new URL(`https://127.0.0.1:${port}`);
      const connection = {
        server,
        // The certificate is one of the sealing keys' of the tests, so for no host at all.
        cluster: { ...NO_CLUSTER, server: server.href, insecureSkipTlsVerify: true },
        user: { ...NO_USER, token: "token-of-the-test" },
        proxy: undefined,
        words: "test",
      };
      const client = new KubernetesClient(connection, limits, identity);
      clients.push(client);
      return client;
    },
    once: (method, path, given) => planned.push({ method, path, answer: given, once: true }),
    always: (method, path, given) => {
      const at = planned.findIndex((plan) => plan.method === method && plan.path === path);
      if (at >= 0) planned.splice(at, 1);
      if (given !== undefined) planned.push({ method, path, answer: given, once: false });
    },
    close: async () => {
      for (const client of clients) client.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function send(response: ServerResponse, code: number, object: JsonObject): void {
  response.writeHead(code, { "content-type": "application/json" });
  response.end(JSON.stringify(object));
}

async function readJson(request: IncomingMessage): Promise<JsonObject> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return text === "" ? {} : (JSON.parse(text) as JsonObject);
}

const collectionOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));
const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
const nameIn = (body: JsonObject): string => metadataOf(body)["name"] as string;

/** `KEY in (A,B)`, `!KEY`, `KEY`, `KEY=VALUE`, and the field selector `metadata.name=NAME`. */
function isSelected(object: JsonObject, query: Seen["query"]): boolean {
  const { labels = null, name } = metadataOf(object);
  const { labelSelector, fieldSelector } = query;
  if (fieldSelector !== undefined && fieldSelector !== `metadata.name=${name as string}`) {
    return false;
  }
  const [, not, key = "", equal, among] =
    /^(!?)([^ =]+)(?:=(.*)| in \((.*)\))?$/.exec(labelSelector ?? "") ?? [];
  if (key === "") return true;
  const label = asObject(labels)?.[key];
  if (not === "!") return label === undefined;
  if (equal !== undefined) return label === equal;
  return among === undefined ? label !== undefined : among.split(",").includes(label as string);
}
