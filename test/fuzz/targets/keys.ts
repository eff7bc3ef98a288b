// Private keys: PEM files, key Secrets, lists of them.

import { readKeyFile } from "../../../shared/keys/keyfile.ts";
import { openWith } from "../../../shared/keys/sealingkey.ts";
import { flipBytes, mutateBytes, mutateManifest } from "../mutate.ts";
import { fixture, SEALED_WORDS, seedsOf, vectorTexts } from "../material.ts";
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
const PEM = /^(-----BEGIN [A-Z ]*PRIVATE KEY-----)\n([A-Za-z0-9+/=\n]+)\n(-----END [A-Z ]*-----)/m;

/** Lines of private keys in the seeds: an error must not quote them. */
const secretLines = new Set<string>();

export const keys: Target = {
  name: "keys",
  seeds: () => {
    const texts = [
      ...vectorTexts("key"),
      fixture("key.pem"),
      fixture("key.pem") + fixture("cert.pem"),
    ];
    for (const line of texts.join("\n").split("\n")) if (line.length > 60) secretLines.add(line);
    return seedsOf(texts);
  },
  generate: (random, seeds) => {
    const kind = random.fraction();
    if (kind < 0.3) return mutateBytes(random, seeds, WORDS);
    if (kind < 0.6) return mutateManifest(random, seeds, WORDS);
    // A block of PEM whose bytes are others.
    const pem = textOf(random.pick(seeds.filter((seed) => PEM.test(textOf(seed)))));
    return bytesOf(
      pem.replace(PEM, (_, head: string, body: string, tail: string) => {
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
      const envelope = {
        kind: "rsa",
        wrappedKey: new Uint8Array(256),
        ciphertext: new Uint8Array(16),
      };
      const opened = await openWith(key, envelope, bytesOf("demo/db"));
      if (opened !== null) throw new Find("zeros opened");
    }
  },
};
