// Writing the vector files that are missing, and the test keys.
// SPEC.md, "Conventions".

import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { HYBRID_CASES } from "./hybridcases.ts";
import { OBJECT_CASES, SECRET_CASES } from "./objectcases.ts";
import { CERTIFICATE_CASES, KEY_CASES } from "./othercases.ts";
import { RECOVERY_CASES, WRAPPED_CASES } from "./recoverycases.ts";
import { type Case, FOLDER, keyFile } from "./tools.ts";
import { VALUE_CASES } from "./valuecases.ts";
import { formatVector, KEY_NAMES, KINDS } from "./vectors.ts";

const WARNING = "TEST KEY of kube-signet's test vectors: public, protects nothing, not for use.";
const DAY_MS = 24 * 3600 * 1000;

async function makeKeys(): Promise<void> {
  mkdirSync(join(FOLDER, "keys"), { recursive: true });
  for (const [index, name] of KEY_NAMES.entries()) {
    if (existsSync(keyFile(name, "key"))) continue;
    const pair = await createSealingKey({
      bits: name === "wide" ? 4096 : 2048,
      notBefore: new Date(Date.UTC(2024, index, 1)),
      validForMs: 100 * 365 * DAY_MS,
      kinds: name === "both" ? ["hybrid"] : [],
    });
    writeFileSync(keyFile(name, "key"), `${WARNING}\n${pair.privateKeyPem}`);
    writeFileSync(keyFile(name, "crt"), `${WARNING}\n${pair.certificatePem}`);
  }
}

function wanted(vector: Case, file: string, forced: readonly string[] | undefined): boolean {
  const name = `${vector.kind}/${vector.name}`;
  if (!existsSync(file)) return true;
  if (forced === undefined) return false;
  return forced.length === 0 || forced.some((prefix) => name.startsWith(prefix));
}

const [flag, ...prefixes] = process.argv.slice(2);
const forced = flag === "--force" ? prefixes : undefined;
await makeKeys();

const cases = [
  ...VALUE_CASES,
  ...HYBRID_CASES,
  ...OBJECT_CASES,
  ...SECRET_CASES,
  ...CERTIFICATE_CASES,
  ...KEY_CASES,
  ...WRAPPED_CASES,
  ...RECOVERY_CASES,
];
let made = 0;
for (const vector of cases) {
  const file = join(FOLDER, vector.kind, `${vector.name}.txt`);
  if (!wanted(vector, file, forced)) continue;
  const { headers, sections } = await vector.make();
  mkdirSync(join(FOLDER, vector.kind), { recursive: true });
  const { comment, by } = vector;
  writeFileSync(file, formatVector({ comment, by, ...headers }, sections));
  made++;
}
process.stdout.write(`${made} made, ${cases.length - made} there already\n`);

for (const kind of KINDS) {
  const names = cases.filter((vector) => vector.kind === kind).map(({ name }) => name);
  if (new Set(names).size !== names.length) throw new Error(`two cases of ${kind} share a name`);
  mkdirSync(join(FOLDER, kind), { recursive: true });
  for (const file of readdirSync(join(FOLDER, kind))) {
    if (!names.includes(file.replace(/\.txt$/, ""))) {
      process.stdout.write(`${kind}/${file} belongs to no case\n`);
    }
  }
}
