// Measures the rate at which a keyring opens values, with 1 key and with 60.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseCertificate } from "../shared/keys/certificate.ts";
import type { Certificate } from "../shared/keys/keykind.ts";
import type { SealingKeyPair } from "../shared/keys/keypair.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { STAMP_ANNOTATION } from "../shared/sealing/stamp.ts";
import { cleanEnvironment } from "../test/cluster/program.ts";
import { type Bench, benchKey, benchSecret, ITEMS_PER_SECRET } from "./measure.ts";
import type { NodeProgram } from "./nodes.ts";
import type { OpenerResult, OpenerWork } from "./opener.ts";
import { median, type PartReport, ratioCheck } from "./report.ts";

/** One key a month for five years. */
const KEYS = 60;
/** The rate with 60 keys should equal the rate with 1, except for variation between runs. */
const AT_LEAST = 0.9;
const CASES = {
  one: "open a value, 1 key",
  wrapped: "open a value, 1 wrapped key",
  many: `open a value, ${KEYS} keys`,
  unstamped: `open a value, ${KEYS} keys, no stamp`,
};

export async function benchKeyring(bench: Bench): Promise<PartReport> {
  bench.say(`making ${KEYS} keys, about a minute`);
  const keys = await Promise.all(Array.from({ length: KEYS }, () => benchKey()));
  const file = join(bench.scratch, "opener.json");
  writeFileSync(file, JSON.stringify(await prepare(keys, bench.quick)), { mode: 0o600 });
  const results = new Map<string, Record<string, number[]>>(
    bench.nodes.map(({ label }) => [label, {}]),
  );
  // Alternate between processes, and between the cases within each process.
  for (let turn = 0; turn < (bench.quick ? 1 : 3); turn++) {
    for (const { path, label } of bench.nodes) {
      bench.say(`opening values, ${label}`);
      const found = await runOpenerWith(path, file);
      const all = results.get(label) ?? {};
      for (const [name, { perSecond }] of Object.entries(found)) {
        (all[name] ??= []).push(...perSecond);
      }
    }
  }
  const rates = (label: string, name: string): number[] => results.get(label)?.[name] ?? [];
  return {
    title: "Keyring",
    figures: bench.nodes.flatMap(({ label }) =>
      Object.values(CASES).map((task) => ({
        task,
        program: label,
        unit: "per s" as const,
        samples: rates(label, task),
      })),
    ),
    checks: bench.nodes.flatMap(({ label: program }) => {
      const one = median(rates(program, CASES.one));
      const against = "the rate with 1 key";
      return [
        ratioCheck(
          { task: CASES.many, program, against },
          median(rates(program, CASES.many)) / one,
          { atLeast: AT_LEAST },
        ),
        ratioCheck(
          { task: CASES.wrapped, program, against },
          median(rates(program, CASES.wrapped)) / one,
          { atLeast: AT_LEAST },
        ),
        ratioCheck(
          { task: CASES.unstamped, program, against },
          median(rates(program, CASES.unstamped)) / one,
        ),
      ];
    }),
    notes: [
      `RSA-4096; SealedSecrets of ${ITEMS_PER_SECRET} values, spread evenly over all keys.`,
      "Without a stamp each key is tried in turn: what sealing with `kubeseal` costs, once.",
      `"The same" is at least ${AT_LEAST}: runs of one program differ by as much.`,
    ],
  };
}

/** Returns how many values per second `node` opens with one key, on all otherwise idle cores. */
export async function openRate(bench: Bench, node: NodeProgram, rounds = 3): Promise<number> {
  const key = await benchKey();
  const cases = [
    { name: "one", keys: 1, sealed: await sealUnder([certificateOf(key)], KEYS), forMs: 2000 },
  ];
  const rates = await openRates(bench, node, { keys: [key], cases, rounds });
  return median(rates["one"]?.perSecond ?? []);
}

/** Has `node` do this work in a process of its own. */
export async function openRates(
  bench: Bench,
  node: NodeProgram,
  work: OpenerWork,
): Promise<OpenerResult> {
  const file = join(bench.scratch, "open-rate.json");
  writeFileSync(file, JSON.stringify(work), { mode: 0o600 });
  return runOpenerWith(node.path, file);
}

async function prepare(keys: readonly SealingKeyPair[], quick: boolean): Promise<OpenerWork> {
  const certificates = keys.map(certificateOf);
  const one = await sealUnder(certificates.slice(0, 1), KEYS);
  const many = await sealUnder(certificates, KEYS);
  const unstamped = many.filter((_, index) => index % (quick ? 12 : 6) === 0).map(withoutStamp);
  const forMs = quick ? 1000 : 2000;
  return {
    keys,
    cases: [
      { name: CASES.one, keys: 1, sealed: one, forMs },
      { name: CASES.wrapped, keys: 1, sealed: one, forMs, wrapped: true },
      { name: CASES.many, keys: KEYS, sealed: many, forMs },
      { name: CASES.unstamped, keys: KEYS, sealed: unstamped, forMs: 0 },
    ],
    rounds: quick ? 3 : 5,
  };
}

const certificateOf = ({ certificatePem }: SealingKeyPair): Certificate =>
  parseCertificate(certificatePem);

/** Seals `count` SealedSecrets, cycling through the keys of the certificates. */
export function sealUnder(
  certificates: readonly Certificate[],
  count: number,
): Promise<JsonObject[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const certificate = certificates[index % certificates.length];
      if (certificate === undefined) throw new Error("no key to seal with");
      return formatSealedSecret(
        await seal(benchSecret("bench", `secret-${index}`), certificate, "strict"),
      );
    }),
  );
}

function withoutStamp(sealed: JsonObject): JsonObject {
  const metadata = sealed["metadata"] as JsonObject;
  const annotations = Object.fromEntries(
    Object.entries(metadata["annotations"] as JsonObject).filter(
      ([name]) => name !== STAMP_ANNOTATION,
    ),
  );
  return { ...sealed, metadata: { ...metadata, annotations } };
}

async function runOpenerWith(node: string, file: string): Promise<OpenerResult> {
  const [, script = ""] = process.argv;
  const { stdout } = await promisify(execFile)(node, [script, "--opener", file], {
    env: cleanEnvironment(),
  });
  return JSON.parse(stdout) as OpenerResult;
}
