// A Kubernetes KMS v2 plugin as a key service: gRPC on a unix socket.
// SPEC.md, "Wrapped keys"; k8s.io/kms/apis/v2/api.proto.

import { randomUUID } from "node:crypto";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import protobuf from "protobufjs/minimal.js";
import { decodeBase64, encodeBase64 } from "../../shared/base64.ts";
import { SignetError } from "../../shared/errors.ts";
import type { KeyService, WrappedDataKey } from "../../shared/keys/keyservice.ts";

const { Reader, Writer } = protobuf;

const TIMEOUT_MS = 10_000;
/** The interface's own limits, and room for the rest of the message. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_CIPHERTEXT_BYTES = 1024;
const MAX_KEY_ID_BYTES = 1024;
const MAX_ANNOTATION_BYTES = 32 * 1024;

/** Codes with which a plugin, or gRPC itself, says that it cannot answer now or denies access. */
const AWAY = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.UNIMPLEMENTED,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
]);

/** Messages of the interface: numbers of fields, and their bytes. */
type Fields = readonly (readonly [number, Uint8Array])[];

export class KmsV2 implements KeyService {
  readonly provider = "kmsv2";
  readonly #socket: string;
  readonly #client: Client;

  /** `socket`: the path of the plugin's socket. */
  constructor(socket: string) {
    this.#socket = socket;
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_reconnect_backoff_ms": 2_000,
      // A plugin has no host name, and gRPC would send the socket's path instead.
      "grpc.default_authority": "localhost",
    });
  }

  describe(): string {
    return `KMS v2 plugin at ${this.#socket}`;
  }

  /** The interface cannot bind a context, so the key's own cipher does. */
  async wrap(dataKey: Uint8Array): Promise<WrappedDataKey> {
    const fields = await this.#call("Encrypt", [
      [1, dataKey],
      [2, utf8(randomUUID())],
    ]);
    const ciphertext = fields.find(([number]) => number === 1)?.[1] ?? new Uint8Array();
    const keyId = fields.find(([number]) => number === 2)?.[1] ?? new Uint8Array();
    const key = new TextDecoder().decode(keyId);
    if (ciphertext.length === 0 || ciphertext.length > MAX_CIPHERTEXT_BYTES) {
      throw this.#unexpected("a ciphertext that is empty or longer than 1 kB");
    }
    if (keyId.length > MAX_KEY_ID_BYTES || !/^[ -~]+$/.test(key)) {
      throw this.#unexpected("a key id that is empty, longer than 1 kB or not plain text");
    }
    const entries = fields.filter(([number]) => number === 3).map(([, entry]) => entry);
    if (entries.reduce((sum, { length }) => sum + length, 0) > MAX_ANNOTATION_BYTES) {
      throw this.#unexpected("more than 32 kB of annotations");
    }
    const annotations = Object.fromEntries(entries.map(annotationOf));
    return { key, ciphertext, ...(entries.length === 0 ? {} : { annotations }) };
  }

  async unwrap({ key, ciphertext, annotations = {} }: WrappedDataKey): Promise<Uint8Array> {
    const fields = await this.#call("Decrypt", [
      [1, ciphertext],
      [2, utf8(randomUUID())],
      [3, utf8(key)],
      ...Object.entries(annotations).map(
        ([name, text]) => [4, annotationEntry(name, text)] as const,
      ),
    ]);
    return fields.find(([number]) => number === 1)?.[1] ?? new Uint8Array();
  }

  #call(method: "Encrypt" | "Decrypt", request: Fields): Promise<Fields> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/v2.KeyManagementService/${method}`,
        encode,
        decode,
        request,
        { deadline: Date.now() + TIMEOUT_MS },
        (error: ServiceError | null, answer?: Fields) => {
          if (error !== null) reject(this.#errorOf(error));
          else resolve(answer ?? []);
        },
      );
    });
  }

  /** Omits the plugin's own message, because it may quote anything. */
  #errorOf({ code, details }: ServiceError): SignetError {
    const name = status[code] as string | undefined;
    const reason = AWAY.has(code) && /ENOENT|ECONNREFUSED|EACCES/.exec(details)?.[0];
    const words = reason ? `no response (${reason})` : `it returned ${name ?? String(code)}`;
    const message = `${this.describe()}: ${words}`;
    return new SignetError(AWAY.has(code) ? "network" : "key-invalid", message);
  }

  #unexpected(what: string): SignetError {
    return new SignetError("network", `${this.describe()}: ${what} in its answer`);
  }
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** All fields of these messages are bytes, text or messages: wire type 2. */
function encode(fields: Fields): Buffer {
  const writer = Writer.create();
  for (const [number, bytes] of fields) writer.uint32((number << 3) | 2).bytes(bytes);
  return Buffer.from(writer.finish());
}

function decode(message: Uint8Array): Fields {
  const reader = Reader.create(message);
  const fields: [number, Uint8Array][] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if ((tag & 7) === 2) fields.push([tag >>> 3, Uint8Array.from(reader.bytes())]);
    else reader.skipType(tag & 7);
  }
  return fields;
}

function annotationOf(entry: Uint8Array): [string, string] {
  const fields = new Map(decode(entry));
  const name = new TextDecoder().decode(fields.get(1) ?? new Uint8Array());
  return [name, encodeBase64(fields.get(2) ?? new Uint8Array())];
}

function annotationEntry(name: string, text: string): Uint8Array {
  return encode([
    [1, utf8(name)],
    [2, decodeBase64(text) ?? new Uint8Array()],
  ]);
}
