// The input of hostile clients and tenants: bodies and objects that are as expensive as possible.
import type { Certificate } from "../shared/keys/keykind.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { benchSecret } from "./measure.ts";

const MIB = 1024 * 1024;
/** As many as fit into an object that etcd accepts. */
const VALUES = 1_500;
const BOMB_ITEMS = [60, 150, 400] as const;

/** Few steps, much work. */
const WORK = `{{ $t := repeat 9000 "x" }}{{ range until 900 }}{{ $x := sha256sum $t }}{{ end }}`;
const TEXT = `{{ repeat 1000000 "x" }}`;

/** A complete body of the largest size that the controller accepts. */
export const LARGE_BODY = "- a: b\n".repeat(Math.floor((2 * MIB) / 7));

/** Bodies that are slow to parse, or grow, or are nested. */
export const BOMB_BODIES: readonly string[] = [
  "\t".repeat(40_000),
  aliases(),
  "[".repeat(100_000),
  '{"a":'.repeat(50_000),
  "- ".repeat(20_000),
  "? ".repeat(20_000),
  `{${Array.from({ length: 60_000 }, (_, index) => `"k${index}":{}`).join()}}`,
  `a: "${"\\\n  ".repeat(50_000)}"`,
  `a: ${"!!binary ".repeat(10_000)}`,
  `a: |\n${" \n".repeat(100_000)}`,
];

/** Each level refers to the previous level nine times. */
function aliases(): string {
  const lines = ['a0: &a0 ["x"]'];
  for (let level = 1; level < 12; level++) {
    const names = Array(9)
      .fill(`*a${level - 1}`)
      .join();
    lines.push(`a${level}: &a${level} [${names}]`);
  }
  return lines.join("\n");
}

const named = (count: number, text: string): JsonObject =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`item-${index}`, text]));

/** A valid SealedSecret, as the basis of hostile ones. */
async function plainOne(
  namespace: string,
  name: string,
  certificate: Certificate,
): Promise<{ object: JsonObject; spec: JsonObject; template: JsonObject }> {
  const object = formatSealedSecret(await seal(benchSecret(namespace, name), certificate));
  const spec = object["spec"] as JsonObject;
  return { object, spec, template: spec["template"] as JsonObject };
}

/** SealedSecrets that exceed the limits for rendering. */
export async function templateBombs(
  namespace: string,
  certificate: Certificate,
): Promise<JsonObject[]> {
  const bombs: JsonObject[] = [];
  for (const text of [WORK, TEXT]) {
    for (const count of BOMB_ITEMS) {
      const made = await plainOne(namespace, `bomb-${bombs.length}`, certificate);
      made.template["data"] = named(count, text);
      bombs.push(made.object);
    }
  }
  return bombs;
}

/**
 * A SealedSecret with very many values that are sealed with `certificate`, without a stamp that
 * says so.
 */
export async function manyValues(
  namespace: string,
  name: string,
  certificate: Certificate,
): Promise<JsonObject> {
  const secret = benchSecret(namespace, name);
  const value = new TextEncoder().encode("hostile");
  const data = new Map(Array.from({ length: VALUES }, (_, index) => [`item-${index}`, value]));
  const object = formatSealedSecret(await seal({ ...secret, data }, certificate));
  return { ...object, metadata: { name, namespace } };
}

type Spoil = (spec: JsonObject, template: JsonObject) => void;

/** Each makes a SealedSecret invalid in a different way, so that it gets no Secret. */
const SPOILED: readonly Spoil[] = [
  (spec) => {
    spec["encryptedData"] = named(100, "AgA=");
  },
  (spec) => {
    spec["encryptedData"] = named(20, "A".repeat(1000));
  },
  (spec) => {
    spec["encryptedData"] = { ["x".repeat(300)]: "AgA=" };
  },
  (_spec, template) => {
    template["data"] = { item: "{{" };
  },
  (_spec, template) => {
    template["data"] = { item: "{{ fail .item }}" };
  },
  (_spec, template) => {
    template["metadata"] = { labels: { "-": "x".repeat(2000) } };
  },
  (_spec, template) => {
    template["type"] = "x".repeat(100_000);
  },
  (_spec, template) => {
    template["type"] = "kubernetes.io/service-account-token";
  },
];

/** SealedSecrets that get no Secret. */
export function badObjects(namespace: string, certificate: Certificate): Promise<JsonObject[]> {
  return Promise.all(
    SPOILED.map(async (spoil) => {
      const { object, spec, template } = await plainOne(namespace, "bad", certificate);
      spoil(spec, template);
      return object;
    }),
  );
}
