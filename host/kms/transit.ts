// The transit engine of HashiCorp Vault and OpenBao as a key service.
// SPEC.md, "Wrapped keys".

import { encodeBase64 } from "../../shared/base64.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import type { KeyContext, KeyService, WrappedDataKey } from "../../shared/keys/keyservice.ts";
import { AccessToken, type FetchedToken } from "./accesstoken.ts";
import { contextText, keyIn, type Reply, RestClient } from "./restclient.ts";

/**
 * How to log in. `file` holds the account's JWT, the token, or the SecretID; it is read on each
 * use.
 */
type TransitLogin =
  | {
      readonly method: "kubernetes" | "approle";
      readonly role: string;
      readonly file: string;
      readonly mount: string;
    }
  | { readonly method: "token"; readonly file: string };

interface TransitOptions {
  readonly address: URL;
  /** The path of the engine, such as `transit`. */
  readonly mount: string;
  readonly key: string;
  /** A namespace of Vault Enterprise or OpenBao; empty: the root namespace. */
  readonly namespace: string;
  readonly login: TransitLogin;
  /** PEM certificates of the authorities to trust; undefined: the machine's. */
  readonly caFile: string | undefined;
}

/** A token is renewed by a new login when only this share of its lifetime remains. */
const LEAST_LIFE = 0.2;
/** The form of the engine's ciphertexts. */
const CIPHERTEXT = /^vault:v(\d{1,9}):[A-Za-z0-9+/=]+$/;

export class Transit implements KeyService {
  readonly provider = "transit";
  readonly #options: TransitOptions;
  readonly #http: RestClient;
  readonly #token = new AccessToken(() => this.#logIn());

  constructor(options: TransitOptions) {
    this.#options = options;
    this.#http = new RestClient(this.describe(), { caFile: options.caFile });
  }

  describe(): string {
    const { address, mount, key, namespace } = this.#options;
    const place = namespace === "" ? "" : `namespace ${namespace}, `;
    return `transit at ${address.origin} (${place}${mount}/${key})`;
  }

  async wrap(dataKey: Uint8Array, context: KeyContext): Promise<WrappedDataKey> {
    const answer = await this.#call("encrypt", {
      plaintext: encodeBase64(dataKey),
      associated_data: associatedData(context),
    });
    const { ciphertext } = answer;
    const version = typeof ciphertext === "string" ? CIPHERTEXT.exec(ciphertext)?.[1] : undefined;
    if (version === undefined) throw this.#http.unexpected("no ciphertext");
    const { mount, key } = this.#options;
    return {
      key: `${mount}/${key} v${version}`,
      ciphertext: new TextEncoder().encode(ciphertext as string),
    };
  }

  async unwrap({ ciphertext }: WrappedDataKey, context: KeyContext): Promise<Uint8Array> {
    const text = new TextDecoder().decode(ciphertext);
    if (!CIPHERTEXT.test(text)) throw this.#http.refused("it is not a transit ciphertext");
    const answer = await this.#call("decrypt", {
      ciphertext: text,
      associated_data: associatedData(context),
    });
    return keyIn(answer["plaintext"], this.#http);
  }

  /** Calls the engine, and retries once with a new token if the cached one is rejected. */
  async #call(operation: "encrypt" | "decrypt", body: JsonObject): Promise<JsonObject> {
    const { mount, key } = this.#options;
    const path = `/v1/${mount}/${operation}/${encodeURIComponent(key)}`;
    const hadToken = this.#token.isKept;
    let reply = await this.#post(path, body, await this.#currentToken());
    if (reply.status === 403 && hadToken) {
      this.#token.forget();
      reply = await this.#post(path, body, await this.#currentToken());
    }
    // The engine returns 400 for a ciphertext or associated data that do not match, and for old
    // versions.
    if (reply.status === 400 && operation === "decrypt") throw this.#http.refused(wordsOf(reply));
    if (reply.status !== 200) throw this.#http.failed(reply, wordsOf(reply));
    return asObject(reply.body["data"] ?? null) ?? {};
  }

  #post(path: string, body: JsonObject, token: string | undefined): Promise<Reply> {
    const { address, namespace } = this.#options;
    return this.#http.post(new URL(path, address), body, {
      "x-vault-request": "true",
      ...(namespace === "" ? {} : { "x-vault-namespace": namespace }),
      ...(token === undefined ? {} : { "x-vault-token": token }),
    });
  }

  /** The token that a person put into the file, or that of the last login. */
  #currentToken(): Promise<string> | string {
    const { login } = this.#options;
    return login.method === "token" ? this.#http.readSecret(login.file) : this.#token.get();
  }

  async #logIn(): Promise<FetchedToken> {
    const { login } = this.#options;
    if (login.method === "token") throw new Error("the token method has no login");
    const secret = this.#http.readSecret(login.file);
    const body =
      login.method === "kubernetes"
        ? { role: login.role, jwt: secret }
        : { role_id: login.role, secret_id: secret };
    const reply = await this.#post(`/v1/auth/${login.mount}/login`, body, undefined);
    if (reply.status !== 200) throw this.#http.failed(reply, `login refused: ${wordsOf(reply)}`);
    const { client_token: text, lease_duration: seconds } =
      asObject(reply.body["auth"] ?? null) ?? {};
    if (typeof text !== "string") throw this.#http.unexpected("no token");
    const lifeMs = typeof seconds === "number" && seconds > 0 ? seconds * 1000 : Infinity;
    return { text, goodForMs: lifeMs * (1 - LEAST_LIFE) };
  }
}

/** In base64, as the engine requires. */
function associatedData(context: KeyContext): string {
  return encodeBase64(new TextEncoder().encode(contextText(context)));
}

/**
 * The engine's errors contain no secret: they are about permissions, versions and authentication.
 */
function wordsOf({ status, body }: Reply): string {
  const { errors } = body;
  const texts = Array.isArray(errors) ? errors.filter((each) => typeof each === "string") : [];
  return texts.length === 0 ? `status ${status}` : `${texts.join("; ")} (status ${status})`;
}
