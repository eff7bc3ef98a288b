// Google Cloud KMS as a key service, over its REST API, authenticated by the pod's workload
// identity.
// SPEC.md, "Wrapped keys".

import { decodeBase64, encodeBase64 } from "../../shared/base64.ts";
import type { KeyContext, KeyService, WrappedDataKey } from "../../shared/keys/keyservice.ts";
import { AccessToken, type FetchedToken, tokenIn } from "./accesstoken.ts";
import { contextText, keyIn, type Reply, RestClient } from "./restclient.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";

/**
 * Where a GKE pod gets tokens. The host belongs to the node, so it is not reached through a proxy.
 */
const METADATA = new URL(
  "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token",
);
const KMS = new URL("https://cloudkms.googleapis.com");

interface GcpOptions {
  /** `projects/P/locations/L/keyRings/R/cryptoKeys/K`. */
  readonly key: string;
  /** For tests. */
  readonly endpoint?: URL;
  readonly metadata?: URL;
}

export const GCP_KEY = /^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/;

export class GcpKms implements KeyService {
  readonly provider = "gcp";
  readonly #options: GcpOptions;
  readonly #http: RestClient;
  readonly #node: RestClient;
  readonly #token = new AccessToken(() => this.#fetchToken());

  constructor(options: GcpOptions) {
    this.#options = options;
    this.#http = new RestClient(this.describe());
    this.#node = new RestClient("the metadata server of Google Cloud", { isDirect: true });
  }

  describe(): string {
    return `Google Cloud KMS (${this.#options.key})`;
  }

  async wrap(dataKey: Uint8Array, context: KeyContext): Promise<WrappedDataKey> {
    const { body } = await this.#call("encrypt", { plaintext: encodeBase64(dataKey) }, context);
    const { ciphertext, name } = body;
    const bytes = typeof ciphertext === "string" ? decodeBase64(ciphertext) : null;
    if (bytes === null) throw this.#http.unexpected("no ciphertext");
    return { key: typeof name === "string" ? name : this.#options.key, ciphertext: bytes };
  }

  async unwrap({ ciphertext }: WrappedDataKey, context: KeyContext): Promise<Uint8Array> {
    const request = { ciphertext: encodeBase64(ciphertext) };
    const { body } = await this.#call("decrypt", request, context);
    return keyIn(body["plaintext"], this.#http);
  }

  async #call(
    operation: "encrypt" | "decrypt",
    request: JsonObject,
    context: KeyContext,
  ): Promise<Reply> {
    const { key, endpoint = KMS } = this.#options;
    const bound = encodeBase64(new TextEncoder().encode(contextText(context)));
    const url = new URL(`/v1/${key}:${operation}`, endpoint);
    const body = { ...request, additionalAuthenticatedData: bound };
    const headers = { authorization: `Bearer ${await this.#token.get()}` };
    const reply = await this.#http.post(url, body, headers);
    if (reply.status === 200) return reply;
    if (reply.status === 401) this.#token.forget();
    const status = asObject(reply.body["error"] ?? null)?.["status"];
    const words = `${typeof status === "string" ? status : "refused"} (status ${reply.status})`;
    // 400 INVALID_ARGUMENT: a damaged ciphertext, or authenticated data that differs from that at
    // encryption.
    if (reply.status === 400 && operation === "decrypt") throw this.#http.refused(words);
    throw this.#http.failed(reply, words);
  }

  async #fetchToken(): Promise<FetchedToken> {
    const url = this.#options.metadata ?? METADATA;
    return tokenIn(
      await this.#node.request("GET", url, { "metadata-flavor": "Google" }),
      this.#node,
    );
  }
}
