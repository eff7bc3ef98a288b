// Wrapped keys: whoever may write key Secrets writes them, and the key service of this target hides nothing,
// so that every step behind it is reached.

import {
  formatWrappedKey,
  openWrappedKey,
  readClosedKey,
  readWrappedKey,
  WRAPPED_ITEM,
  wrapKey,
} from "../../../shared/keys/wrappedkey.ts";
import {
  KMS_PROVIDERS,
  type KeyService,
  type KmsProvider,
} from "../../../shared/keys/keyservice.ts";
import type { Secret } from "../../../shared/kubernetes/secret.ts";
import { fixture, seedsOf } from "../material.ts";
import { mutateBytes } from "../mutate.ts";
import {
  attempt,
  bytesOf,
  CANARY,
  checkSame,
  checkUntold,
  type Target,
  toldBy,
} from "../target.ts";

const CONTEXT = { namespace: "demo", name: "key", fingerprint: `SHA256:${"A".repeat(43)}` };
const MOMENT = { since: new Date("2026-11-29T20:00:00Z"), created: new Date(0) };
/** Not one of a key: nothing here parses it. */
const PEM = `-----BEGIN PRIVATE KEY-----\n${CANARY}\n-----END PRIVATE KEY-----\n`;
const CERTIFICATE = fixture("cert.pem");

const WORDS = [
  ...['"version":1', '"version":2', '"provider":"aws"', '"key":', '"fingerprint":', '"since":'],
  ...['"created":', '"wrappedDataKey":', '"nonce":', '"ciphertext":', '"annotations":{"a":"AA=="}'],
  ...["AAAA", "==", "=", "null", "[]", "{}", '""', "__proto__", "\\u0000", "2026-11-29T20:00:00Z"],
];

function serviceOf(provider: KmsProvider): KeyService {
  return {
    provider,
    describe: () => "a service that hides nothing",
    wrap: (dataKey) => Promise.resolve({ key: "key v1", ciphertext: Uint8Array.from(dataKey) }),
    unwrap: ({ ciphertext }) => Promise.resolve(Uint8Array.from(ciphertext)),
  };
}

async function seeds(): Promise<Uint8Array[]> {
  const texts: string[] = [];
  for (const provider of KMS_PROVIDERS) {
    const wrapped = await wrapKey(PEM, CONTEXT, serviceOf(provider), MOMENT);
    const annotations = { "a.example.org": "AA==" };
    texts.push(formatWrappedKey(provider === "kmsv2" ? { ...wrapped, annotations } : wrapped));
  }
  return seedsOf(texts);
}

function secretOf(text: Uint8Array): Secret {
  const { namespace, name } = CONTEXT;
  return {
    type: "kube-signet/wrapped-key",
    immutable: undefined,
    data: new Map([
      [WRAPPED_ITEM, text],
      ["tls.crt", bytesOf(CERTIFICATE)],
    ]),
    metadata: { namespace, name, labels: {}, annotations: {}, rest: {} },
  };
}

export const wrappedKeys: Target = {
  name: "wrappedkeys",
  seeds,
  generate: (random, all) => mutateBytes(random, all, WORDS),
  short: 400,
  run: async (input) => {
    const secret = secretOf(input);
    const read = await attempt(() => readWrappedKey(secret));
    if ("errors" in read) {
      for (const error of read.errors) checkUntold(toldBy(error), "an error");
      return;
    }
    const { value: wrapped } = read;
    // What was read is one text, whoever wrote it.
    const again = secretOf(bytesOf(formatWrappedKey(wrapped)));
    checkSame(readWrappedKey(again), wrapped, "a wrapped key that was read and written");
    const closed = await attempt(() => readClosedKey(secret));
    if ("errors" in closed) for (const each of closed.errors) checkUntold(toldBy(each), "an error");
    const opened = await attempt(() =>
      openWrappedKey(wrapped, CONTEXT, serviceOf(wrapped.provider)),
    );
    if ("value" in opened) checkSame(opened.value, PEM, "the content of a changed wrapped key");
    else for (const error of opened.errors) checkUntold(toldBy(error), "an error");
  },
};
