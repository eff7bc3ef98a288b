// Wraps, re-wraps or unwraps stored keys, as annotations on their Secrets request.
// SPEC.md, "Wrapped keys".

import { randomBytes } from "node:crypto";
import { SignetError } from "../shared/errors.ts";
import {
  CONFIRMED_ANNOTATION,
  KEY_LABEL,
  type KeyOrder,
  readKeySecret,
  RESTORED_ANNOTATION,
} from "../shared/keys/keyfile.ts";
import type { KeyService } from "../shared/keys/keyservice.ts";
import {
  formatWrappedKey,
  formatWrappedKeySecret,
  isWrapped,
  openWrappedKey,
  plainSecret,
  readWrappedKey,
  WRAPPED_ITEM,
  WRAPPED_KEY_LABEL,
  WRAPPING_ANNOTATION,
  wrapKey,
} from "../shared/keys/wrappedkey.ts";
import { encodeBase64 } from "../shared/base64.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { formatSecret, parseSecret, type Secret } from "../shared/kubernetes/secret.ts";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { FIELD_MANAGER } from "./decide.ts";
import type { FoundKey } from "./foundkeys.ts";
import { SEALING_SINCE_ANNOTATION } from "./keychanges.ts";
import type { Log } from "./log.ts";
import type { WrappedKeys } from "./wrappedkeys.ts";

/** `wrap`: new keys are wrapped. `leave`: they are plain, and wrapped ones may be made plain again. */
export const WRAPPING_MODES = ["wrap", "leave"] as const;
export type WrappingMode = (typeof WRAPPING_MODES)[number];

interface KeyWrappingOptions {
  readonly namespace: string;
  readonly wrapping: WrappingMode;
  readonly order: KeyOrder;
}

interface KeyWrappingWiring {
  readonly client: KubernetesClient;
  readonly keyService: KeyService | null;
  readonly wrappedKeys: WrappedKeys;
  readonly log: Log;
  readonly now: () => Date;
  readonly guard: () => void;
}

/** Names have at most 253 characters: there is room for an ending. */
const MAX_BASE = 238;
const MAX_SHOWN = 20;
/** The annotations of a key that are copied to its next Secret. */
const KEPT_ANNOTATIONS = [CONFIRMED_ANNOTATION, RESTORED_ANNOTATION, SEALING_SINCE_ANNOTATION];

/**
 * To be used on the leader only. A key never gets lost: its next Secret is stored, read back and
 * opened before the previous one is deleted.
 */
export class KeyWrapping {
  readonly #options: KeyWrappingOptions;
  readonly #wiring: KeyWrappingWiring;
  /** Requests that were refused, as `UID REQUEST`, so that each is logged once. */
  readonly #refused = new Set<string>();

  constructor(options: KeyWrappingOptions, wiring: KeyWrappingWiring) {
    this.#options = options;
    this.#wiring = wiring;
  }

  /**
   * Handles the requests, one key after the other. A key that fails does not stop the others.
   * @throws ApiError or SignetError, the first one; call it again
   */
  async look(found: readonly FoundKey[]): Promise<void> {
    const failures: unknown[] = [];
    for (const each of found) {
      const { secret, wrapping: request, key, waiting } = each;
      if (request === "" || secret === undefined || key === null || waiting !== undefined) continue;
      const { name } = secret.metadata;
      const reason = this.#reasonAgainst(each);
      if (reason !== null) {
        this.#refuse(secret, request, reason);
        continue;
      }
      try {
        if (request === "wrap") await this.#wrap(name, key.fingerprint, found);
        else if (request === "rewrap") await this.#rewrap(name);
        else await this.#unwrap(name, key.fingerprint, found);
      } catch (error) {
        if (!(error instanceof ApiError) && !(error instanceof SignetError)) throw error;
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Why a request is refused; null if it is accepted. */
  #reasonAgainst({ wrapping: request, wrapped }: FoundKey): string | null {
    const { wrapping: mode, order } = this.#options;
    if (this.#wiring.keyService === null) return "--kms-provider is not set";
    if (request === "unwrap") {
      // Someone who may annotate Secrets must not be able to have a key stored in plain text.
      if (mode !== "leave") return "--kms-mode is not leave";
      if (wrapped === undefined) return "it is not wrapped";
      return order === "CertNotBefore" ? null : `with ${order} it would become the newest key`;
    }
    if (mode !== "wrap") return "--kms-mode is not wrap";
    if (request === "wrap") return wrapped === undefined ? null : "it is already wrapped";
    if (request === "rewrap") return wrapped === undefined ? "it is not wrapped" : null;
    return "it is not wrap, rewrap or unwrap";
  }

  #refuse(refused: Secret, request: string, reason: string): void {
    const { name } = refused.metadata;
    const id = `${textOfField(refused, "uid")} ${request}`;
    if (this.#refused.has(id)) return;
    this.#refused.add(id);
    const secret = `${this.#options.namespace}/${name}`;
    const asked = request.slice(0, MAX_SHOWN);
    this.#wiring.log.warn(`annotation ${WRAPPING_ANNOTATION} ignored`, { secret, asked, reason });
  }

  async #wrap(name: string, fingerprint: string, found: readonly FoundKey[]): Promise<void> {
    const plain = await this.#get(name);
    const pem = plain === null ? undefined : textOf(plain, "tls.key");
    if (plain === null || pem === undefined) return;
    if (readKeySecret(plain).fingerprint !== fingerprint) return;
    // Left behind by an interrupted attempt.
    const copy = found.find(({ key, wrapped, waiting }) => {
      return wrapped !== undefined && waiting === undefined && key?.fingerprint === fingerprint;
    });
    const { namespace } = this.#options;
    const { [KEY_LABEL]: state = "active", ...labels } = plain.metadata.labels;
    const created = new Date(textOfField(plain, "creationTimestamp"));
    const format = async (target: string): Promise<JsonObject> => {
      const context = { namespace, name: target, fingerprint };
      const moment = { since: this.#wiring.now(), created };
      const body = formatWrappedKeySecret(
        {
          certificatePem: textOf(plain, "tls.crt"),
          wrapped: await wrapKey(pem, context, this.#service, moment),
        },
        { name: target, namespace },
        state,
        labels,
        keptOf(plain),
      );
      this.#wiring.wrappedKeys.remember(parseSecret(body), pem);
      return body;
    };
    const target =
      copy?.secret?.metadata.name ?? (await this.#store(name, "-plain", "-wrapped", format));
    const stored = await this.#get(target);
    const again = stored === null ? undefined : await this.#open(stored);
    if (stored === null || again !== pem) throw unlike(target);
    await this.#mark(stored, { [WRAPPED_KEY_LABEL]: state }, keptOf(plain));
    await this.#delete(plain, "sealing key wrapped", target, fingerprint);
  }

  async #unwrap(name: string, fingerprint: string, found: readonly FoundKey[]): Promise<void> {
    const wrapped = await this.#get(name);
    if (wrapped === null || !isWrapped(wrapped)) return;
    const pem = await this.#open(wrapped);
    const copy = found.find(
      (each) => each.wrapped === undefined && each.key?.fingerprint === fingerprint,
    );
    const state = wrapped.metadata.labels[WRAPPED_KEY_LABEL] ?? "active";
    const format = (target: string): Promise<JsonObject> => {
      const { metadata, ...rest } = plainSecret(wrapped, readWrappedKey(wrapped), pem);
      const kept = { ...metadata, name: target, annotations: keptOf(wrapped), rest: {} };
      return Promise.resolve(formatSecret({ ...rest, immutable: undefined, metadata: kept }));
    };
    const target =
      copy?.secret?.metadata.name ?? (await this.#store(name, "-wrapped", "-plain", format));
    const stored = await this.#get(target);
    if (stored === null || textOf(stored, "tls.key") !== pem) throw unlike(target);
    await this.#mark(stored, { [KEY_LABEL]: state }, keptOf(wrapped));
    await this.#delete(wrapped, "sealing key stored in plain text", target, fingerprint);
  }

  /** In place, in one write. */
  async #rewrap(name: string): Promise<void> {
    const { client, guard, log, now, wrappedKeys } = this.#wiring;
    const { namespace } = this.#options;
    const object = await this.#getObject(name);
    if (object === null) return;
    const secret = parseSecret(object);
    if (!isWrapped(secret)) return;
    const pem = await this.#open(secret);
    const { fingerprint, created } = readWrappedKey(secret);
    const context = { namespace, name, fingerprint };
    const moment = { since: now(), created: new Date(created) };
    const wrapped = await wrapKey(pem, context, this.#service, moment);
    const metadata = metadataOf(object);
    const { [WRAPPING_ANNOTATION]: _, ...annotations } =
      asObject(metadata["annotations"] ?? {}) ?? {};
    const text = encodeBase64(new TextEncoder().encode(formatWrappedKey(wrapped)));
    const body = {
      ...object,
      data: { ...asObject(object["data"] ?? {}), [WRAPPED_ITEM]: text },
      metadata: { ...metadata, annotations },
    };
    wrappedKeys.remember(parseSecret(body), pem);
    await client.call("PUT", this.#path(name), {
      query: { fieldManager: FIELD_MANAGER },
      body,
      guard,
    });
    log.info("sealing key re-wrapped", { secret: `${namespace}/${name}`, key: wrapped.key });
  }

  get #service(): KeyService {
    const { keyService } = this.#wiring;
    if (keyService === null) throw new Error("there is no key service");
    return keyService;
  }

  /** From the key service, not from memory: it shows that the Secret as it is stored opens. */
  #open(secret: Secret): Promise<string> {
    const wrapped = readWrappedKey(secret);
    const { namespace, name } = secret.metadata;
    const { fingerprint } = wrapped;
    return openWrappedKey(wrapped, { namespace, name, fingerprint }, this.#service);
  }

  /** Creates the next Secret of a key, and returns its name. */
  async #store(
    name: string,
    from: string,
    to: string,
    format: (name: string) => Promise<JsonObject>,
  ): Promise<string> {
    const { client, guard } = this.#wiring;
    const base = name.endsWith(from)
      ? name.slice(0, -from.length)
      : `${name.slice(0, MAX_BASE)}${to}`;
    for (const target of [base, `${base.slice(0, MAX_BASE)}-${randomBytes(6).toString("hex")}`]) {
      try {
        await client.call("POST", this.#path(), {
          query: { fieldManager: FIELD_MANAGER },
          body: await format(target),
          guard,
        });
        return target;
      } catch (error) {
        if (!(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
      }
    }
    throw new SignetError(
      "key-invalid",
      "every candidate name for the next Secret of this key is taken",
      {
        place: { object: name },
      },
    );
  }

  /** The annotations of the previous Secret may have changed since the next one was stored. */
  async #mark(
    { metadata: { name } }: Secret,
    labels: Readonly<Record<string, string>>,
    annotations: Readonly<Record<string, string>>,
  ): Promise<void> {
    const object = await this.#getObject(name);
    if (object === null) throw unlike(name);
    const metadata = metadataOf(object);
    const before = { ...asObject(metadata["labels"] ?? {}) };
    const noted = asObject(metadata["annotations"] ?? {}) ?? {};
    const others = Object.entries(noted).filter(([each]) => !KEPT_ANNOTATIONS.includes(each));
    const after = { ...Object.fromEntries(others), ...annotations };
    const isSame = (a: JsonObject, b: JsonObject): boolean =>
      Object.keys({ ...a, ...b }).every((each) => a[each] === b[each]);
    if (isSame(before, { ...before, ...labels }) && isSame(noted, after)) return;
    await this.#wiring.client.call("PUT", this.#path(name), {
      query: { fieldManager: FIELD_MANAGER },
      body: {
        ...object,
        metadata: { ...metadata, labels: { ...before, ...labels }, annotations: after },
      },
      guard: this.#wiring.guard,
    });
  }

  /** Deletes only the version that was read, because a change since then was deliberate. */
  async #delete(
    secret: Secret,
    message: string,
    target: string,
    fingerprint: string,
  ): Promise<void> {
    const { client, guard, log } = this.#wiring;
    const { name } = secret.metadata;
    const uid = textOfField(secret, "uid");
    const resourceVersion = textOfField(secret, "resourceVersion");
    await client.call("DELETE", this.#path(name), {
      query: { fieldManager: FIELD_MANAGER },
      body: { kind: "DeleteOptions", apiVersion: "v1", preconditions: { uid, resourceVersion } },
      guard,
    });
    const place = `${this.#options.namespace}/${target}`;
    log.info(message, { secret: place, before: name, fingerprint });
  }

  async #get(name: string): Promise<Secret | null> {
    const object = await this.#getObject(name);
    return object === null ? null : parseSecret(object);
  }

  async #getObject(name: string): Promise<JsonObject | null> {
    try {
      const object = await this.#wiring.client.call("GET", this.#path(name));
      return { ...object, apiVersion: "v1", kind: "Secret" };
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  #path(name?: string): string {
    const path = `/api/v1/namespaces/${this.#options.namespace}/secrets`;
    return name === undefined ? path : `${path}/${name}`;
  }
}

function textOf({ data }: Secret, item: string): string | undefined {
  const bytes = data.get(item);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

function textOfField({ metadata: { rest } }: Secret, field: string): string {
  const value = rest[field];
  return typeof value === "string" ? value : "";
}

function keptOf({ metadata: { annotations } }: Secret): Record<string, string> {
  const entries = Object.entries(annotations);
  return Object.fromEntries(entries.filter(([name]) => KEPT_ANNOTATIONS.includes(name)));
}

function unlike(name: string): SignetError {
  return new SignetError("key-invalid", "does not contain the key that was stored in it", {
    place: { object: name },
  });
}
