// JSON over HTTPS to a key service, with limits, and with errors that never quote a key or
// credential.

import { readFileSync } from "node:fs";
import type { Agent } from "node:http";
import { decodeBase64 } from "../../shared/base64.ts";
import { SignetError } from "../../shared/errors.ts";
import { type JsonObject, jsonObjectIn } from "../../shared/kubernetes/object.ts";
import type { KeyContext } from "../../shared/keys/keyservice.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { agentFor } from "../agents.ts";
import { send } from "../http.ts";
import { networkReason } from "../networkreason.ts";
import { environmentProxy } from "../proxies.ts";
import { certificatesIn, machineRoots } from "../trust.ts";

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 256 * 1024;
const MAX_WORDS = 300;

export interface Reply {
  readonly status: number;
  /** Empty if the answer is not a JSON object. */
  readonly body: JsonObject;
}

/** What a service binds a data key to, in one unambiguous text. */
export function contextText({ namespace, name, fingerprint }: KeyContext): string {
  return ["kube-signet/wrapped-key/1", namespace, name, fingerprint].join("\0");
}

/** The data key in a field of an answer. @throws SignetError network */
export function keyIn(value: Json | undefined, client: RestClient): Uint8Array {
  const bytes = typeof value === "string" ? decodeBase64(value) : null;
  if (bytes === null || bytes.length === 0) throw client.unexpected("no key");
  return bytes;
}

interface RestClientOptions {
  /** PEM certificates of the authorities to trust; undefined: the machine's. */
  readonly caFile?: string | undefined;
  readonly isDirect?: boolean;
}

/** Calls one service. `words` name it in messages. */
export class RestClient {
  readonly #words: string;
  readonly #caFile: string | undefined;
  readonly #isDirect: boolean;
  readonly #agents = new Map<string, { readonly agent: Promise<Agent>; readonly pem: string }>();

  /** `isDirect`: the server is on this machine, and is not reached through a proxy. */
  constructor(words: string, { caFile, isDirect = false }: RestClientOptions = {}) {
    this.#words = words;
    this.#caFile = caFile;
    this.#isDirect = isDirect;
  }

  post(url: URL, body: JsonObject, headers: Readonly<Record<string, string>>): Promise<Reply> {
    return this.request("POST", url, { ...headers, "content-type": "application/json" }, body);
  }

  /**
   * `body`: an object is sent as JSON, a text as it is. @throws SignetError network if there is no
   * response
   */
  async request(
    method: "GET" | "POST",
    url: URL,
    headers: Readonly<Record<string, string>>,
    body?: JsonObject | string,
  ): Promise<Reply> {
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const agent = await this.#agentFor(url);
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const options = {
        method,
        headers: { accept: "application/json", ...headers },
        agent,
        signal,
      };
      const answer = await send(url, options, text, { maxBytes: MAX_BYTES, isRepeatable: true });
      return { status: answer.status, body: jsonObjectIn(answer.text) ?? {} };
    } catch (error) {
      throw this.#away(networkReason(error, TIMEOUT_MS), error);
    }
  }

  /** Reads a credential from a file. @throws SignetError network: it may be written later */
  readSecret(file: string): string {
    try {
      const secret = readFileSync(file, "utf8").trim();
      if (secret !== "") return secret;
    } catch (error) {
      throw this.#away(`cannot read ${file}`, error);
    }
    throw this.#away(`${file} is empty`);
  }

  /**
   * The error for an unsuccessful response. `words`: the service's own, if they cannot contain a
   * secret.
   */
  failed({ status }: Reply, words = `status ${status}`): SignetError {
    const hint =
      status === 401 || status === 403
        ? {
            hint: "the controller's identity needs permission to encrypt and decrypt with this key",
          }
        : {};
    return new SignetError("network", `${this.#words}: ${bounded(words)}`, hint);
  }

  /** The error for input that the service refuses, and would refuse again. */
  refused(words: string): SignetError {
    return new SignetError("key-invalid", `${this.#words}: ${bounded(words)}`);
  }

  unexpected(what: string): SignetError {
    return new SignetError("network", `${this.#words}: ${what} in its answer`);
  }

  #away(reason: string, cause?: unknown): SignetError {
    return new SignetError("network", `${this.#words}: ${reason}`, { cause });
  }

  /** One agent for each origin, which keeps its connections alive until the CA file changes. */
  #agentFor(url: URL): Promise<Agent> {
    const isTls = url.protocol !== "http:";
    const pem = isTls && this.#caFile !== undefined ? this.readSecret(this.#caFile) : "";
    const known = this.#agents.get(url.origin);
    if (known?.pem === pem) return known.agent;
    const agent = agentFor(url, this.#isDirect ? undefined : environmentProxy(url), {
      keepAlive: true,
      ...(isTls ? this.#trust(pem) : {}),
    });
    this.#agents.set(url.origin, { agent, pem });
    return agent;
  }

  #trust(pem: string): { readonly ca: string[]; readonly allowPartialTrustChain: boolean } {
    const file = this.#caFile;
    const named = file === undefined ? machineRoots() : certificatesIn(pem);
    if (named.length === 0) throw this.#away(`${file ?? ""} does not contain a certificate`);
    return { ca: [...named], allowPartialTrustChain: true };
  }
}

/** Shortens words to one line of limited length, for a log line. */
function bounded(words: string): string {
  return words.replaceAll(/[^ -~]+/g, " ").slice(0, MAX_WORDS);
}
