// Recovery files in a repository: whoever writes to it writes them, and recipients are public, so that a
// stranger can make one that opens.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { recoverKeys, readIdentities } from "../../../cli/repository/recoveredkeys.ts";
import type { ClusterKeys } from "../../../cli/repository/clustercertificates.ts";
import type { Project, ProjectCluster } from "../../../cli/repository/projectfile.ts";
import { ageFileFor } from "../../../shared/keys/agefile.ts";
import { parseCertificate } from "../../../shared/keys/certificate.ts";
import { repositoryName } from "../../../shared/keys/recoverynames.ts";
import { mutateBytes, mutateManifest } from "../mutate.ts";
import { fixture, keyManifest, SEALED_WORDS, seedsOf } from "../material.ts";
import { checkUntold, Find, type Target, textOf, toldBy } from "../target.ts";

const FINGERPRINT = parseCertificate(keyCertificate()).fingerprint;
const FOLDER = "recovery";
const NAME = repositoryName(FINGERPRINT, "key.age");
/** The input that begins so is the file itself; any other is what a stranger encrypts. */
const ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----";

let root: string | undefined;
let identity = "";
let recipient = "";

function keyCertificate(): string {
  const { data } = JSON.parse(keyManifest()) as { data: Record<string, string> };
  return atob(data["tls.crt"] ?? "");
}

export const recoveries: Target = {
  name: "recoveries",
  seeds: async () => {
    identity = await generateX25519Identity();
    recipient = await identityToRecipient(identity);
    const file = await ageFileFor(keyManifest(), [recipient]);
    return seedsOf([keyManifest(), keyManifest(), fixture("key.pem"), file]);
  },
  generate: (random, all) =>
    random.chance(0.5)
      ? mutateBytes(random, all, [...SEALED_WORDS, ARMOR])
      : mutateManifest(random, all, SEALED_WORDS),
  short: 60,
  run: async (input) => {
    root ??= mkdtempSync(join(tmpdir(), "signet-fuzz-recovery-"));
    mkdirSync(join(root, FOLDER), { recursive: true });
    const text = textOf(input);
    const file = text.startsWith(ARMOR) ? text : await ageFileFor(text, [recipient]);
    writeFileSync(join(root, FOLDER, NAME), file);
    writeFileSync(join(root, "identity"), `${identity}\n`);
    const cluster = { name: "prod", certificate: "prod.pem", recovery: FOLDER } as ProjectCluster;
    const project = { root, clusters: new Map([["prod", cluster]]) } as unknown as Project;
    const certificate = parseCertificate(keyCertificate());
    const known = new Map([[FINGERPRINT, certificate]]);
    const keys = { cluster, current: certificate, known } as unknown as ClusterKeys;
    const identities = await readIdentities([join(root, "identity")]);
    for (const { key, error } of await recoverKeys(project, [keys], identities)) {
      if (error !== null) {
        checkUntold(toldBy(error), "an error");
        if (toldBy(error).includes(identity)) throw new Find("an error quotes an identity");
      }
      if (key !== null && key.fingerprint !== FINGERPRINT) throw new Find("another key came out");
    }
  },
  close: () => {
    if (root !== undefined) rmSync(root, { recursive: true, force: true });
    root = undefined;
    return Promise.resolve();
  },
};
