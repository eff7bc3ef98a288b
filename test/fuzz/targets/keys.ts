// Private keys: PEM files, key Secrets, lists of them.

import { readKeyFile } from "../../../shared/keys/keyfile.ts";
import { kindsOf, openWith } from "../../../shared/keys/sealingkey.ts";
import { flipBytes, mutateBytes, mutateManifest } from "../mutate.ts";
import { fixture, keyManifest, keyText, SEALED_WORDS, seedsOf, vectorTexts } from "../material.ts";
import { attempt, bytesOf, checkUntold, Find, type Target, textOf, toldBy } from "../target.ts";

const WORDS = [
  ...[
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----",
  ],
  ...[
    "-----END PRIVATE KEY-----",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "tls.key",
    "tls.crt",
    "MII",
  ],
  ...SEALED_WORDS,
];
const NAME = "keys.yaml";
const PEM = /^(-----BEGIN [A-Z ]*PRIVATE KEY-----)\n([A-Za-z0-9+/=\n]+)\n(-----END [A-Z ]*-----)/gm;
const ZEROS = [
  { kind: "rsa", wrappedKey: new Uint8Array(256), ciphertext: new Uint8Array(16) },
  {
    kind: "hybrid",
    head: new Uint8Array(12),
    encapsulated: new Uint8Array(1120),
    ciphertext: new Uint8Array(80),
  },
];

/** Lines of private keys in the seeds: an error must not quote them. */
const secretLines = new Set<string>();

export const keys: Target = {
  name: "keys",
  seeds: () => {
    const texts = [
      ...vectorTexts("key"),
      fixture("key.pem"),
      fixture("key.pem") + fixture("cert.pem"),
      keyText("both", "key"),
      keyText("both", "key") + keyText("first", "key"),
      keyManifest("both"),
    ];
    for (const line of texts.join("\n").split("\n")) if (line.length > 60) secretLines.add(line);
    return seedsOf(texts);
  },
  generate: (random, seeds) => {
    const kind = random.fraction();
    if (kind < 0.3) return mutateBytes(random, seeds, WORDS);
    if (kind < 0.6) return mutateManifest(random, seeds, WORDS);
    // A block of PEM whose bytes are others.
    const pem = textOf(random.pick(seeds.filter((seed) => textOf(seed).search(PEM) !== -1)));
    let left = random.below(pem.match(PEM)?.length ?? 1);
    return bytesOf(
      pem.replace(PEM, (whole, head: string, body: string, tail: string) => {
        if (left-- !== 0) return whole;
        const der = new Uint8Array(Buffer.from(body, "base64"));
        const other = random.chance(0.7)
          ? flipBytes(random, [der])
          : mutateBytes(random, [der], []);
        return `${head}\n${Buffer.from(other).toString("base64")}\n${tail}`;
      }),
    );
  },
  short: 150,
  run: async (input) => {
    const read = await attempt(() => readKeyFile(textOf(input), NAME));
    if ("errors" in read) {
      for (const error of read.errors) {
        const told = toldBy(error);
        checkUntold(told, "an error");
        for (const line of secretLines) {
          if (told.includes(line.trim().slice(0, 60))) throw new Find("an error quotes a key");
        }
      }
      return;
    }
    for (const key of read.value) {
      if (!/^SHA256:[A-Za-z0-9+/]{43}$/.test(key.fingerprint)) throw new Find("no fingerprint");
      const held = kindsOf(key);
      const lacks = key.certificate?.kinds.filter((kind) => !held.includes(kind)) ?? [];
      if (lacks.length > 0) throw new Find(`lacks ${lacks.join()} of its certificate`);
      for (const envelope of ZEROS) {
        const opened = await openWith(key, envelope, bytesOf("demo/db"));
        if (opened !== null) throw new Find("zeros opened");
      }
    }
  },
};
