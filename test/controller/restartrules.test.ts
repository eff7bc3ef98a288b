// When a workload is restarted, as a table: what it asks for, what its pods have seen, what changed.
import { describe, expect, it } from "vitest";
import {
  compareSeen,
  digestOf,
  formatSeen,
  isPaused,
  parseRestartOn,
  parseSeen,
  referencedSecrets,
  restartedAtOf,
  restartPatch,
  rolloutState,
} from "../../controller/restartrules.ts";
import type { Keyring } from "../../shared/keys/keyring.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { keyringOf, testKey } from "../vectors/fixtures.ts";

const NOW = new Date("2026-11-24T12:00:00.700Z");

describe("what a workload asks for", () => {
  it.each([
    ["db", ["db"]],
    [" db , api.v2,db", ["api.v2", "db"]],
    ["*", "*"],
    [" * ", "*"],
    ["", null],
    ["db,", null],
    ["DB", null],
    ["db,*", null],
    ["shop/db", null],
    ["a".repeat(254), null],
    [Array.from({ length: 64 }, (_, at) => `s${at}`).join(","), expect.any(Array)],
    [Array.from({ length: 65 }, (_, at) => `s${at}`).join(","), null],
    ["db" + " ".repeat(4096), null],
  ])("%j", (text, expected) => {
    expect(parseRestartOn(text)).toEqual(expected);
  });

  it("finds the Secrets that pods read at their start, each once, and no others", () => {
    const workload = {
      spec: {
        template: {
          spec: {
            imagePullSecrets: [{ name: "registry" }],
            initContainers: [{ envFrom: [{ secretRef: { name: "init" } }] }],
            containers: [
              {
                env: [
                  { name: "A", valueFrom: { secretKeyRef: { name: "db", key: "password" } } },
                  { name: "B", valueFrom: { configMapKeyRef: { name: "no", key: "x" } } },
                  { name: "C", value: "plain" },
                ],
                envFrom: [{ configMapRef: { name: "no" } }, { secretRef: { name: "db" } }],
              },
            ],
            volumes: [
              { name: "a", secret: { secretName: "tls" } },
              { name: "b", projected: { sources: [{ secret: { name: "part" } }, {}] } },
              { name: "c", emptyDir: {} },
            ],
          },
        },
      },
    };
    expect(referencedSecrets(workload)).toEqual(["db", "init", "part", "tls"]);
  });

  it.each([[{}], [{ spec: null }], [{ spec: { template: { spec: { containers: "x" } } } }]])(
    "finds none in %j",
    (workload) => {
      expect(referencedSecrets(workload as JsonObject)).toEqual([]);
    },
  );

  it("finds no more than 64", () => {
    const volumes = Array.from({ length: 100 }, (_, at) => ({ secret: { secretName: `s${at}` } }));
    const found = referencedSecrets({ spec: { template: { spec: { volumes } } } });
    expect(found).toHaveLength(64);
  });
});

const secretWith = (password: string): JsonObject => ({ data: { user: "eA==", password } });

/** A look at one Secret `db`, of which `seen` is recorded. */
function look(password: string | null, seen: string, keyring: Keyring, namespace = "shop") {
  const digests =
    password === null
      ? new Map<string, string>()
      : new Map([["db", digestOf(secretWith(password))]]);
  return compareSeen({ namespace, names: ["db"], seen: parseSeen(seen), digests, keyring });
}

describe("what changed", () => {
  const keyring = keyringOf(["first"]);
  const seenOne = formatSeen(look("b25l", "", keyring).recorded);

  it("nothing at first sight, which is recorded", () => {
    expect(look("b25l", "", keyring).changed).toEqual([]);
    expect(seenOne).toMatch(/^db=[^=,.]{12}\.[\w-]{43}$/);
  });

  it("nothing while the data is the same, in whatever order", () => {
    const reordered = digestOf({ data: { password: "b25l", user: "eA==" } });
    expect(reordered).toBe(digestOf(secretWith("b25l")));
    const { changed, recorded } = look("b25l", seenOne, keyring);
    expect([changed, formatSeen(recorded)]).toEqual([[], seenOne]);
  });

  it("the Secret whose data differs; the record stays until the restart", () => {
    const { changed, recorded, afterRestart } = look("dHdv", seenOne, keyring);
    expect(changed).toEqual(["db"]);
    expect(formatSeen(recorded)).toBe(seenOne);
    expect(look("dHdv", formatSeen(afterRestart), keyring).changed).toEqual([]);
  });

  it("nothing while the present data is not known, and the record stays", () => {
    const { changed, recorded, afterRestart } = look(null, seenOne, keyring);
    expect([changed, formatSeen(recorded), formatSeen(afterRestart)]).toEqual([
      [],
      seenOne,
      seenOne,
    ]);
  });

  it("nothing when another key seals, by which the record is written again", () => {
    const both = keyringOf(["first", "second"]);
    const { changed, recorded } = look("b25l", seenOne, both);
    const renewed = formatSeen(recorded);
    expect(changed).toEqual([]);
    expect(renewed).not.toBe(seenOne);
    // Then the old key may go, and a change is still seen.
    const { fingerprint } = both.newest ?? {};
    const other = keyringOf(fingerprint === testKey("first").fingerprint ? ["first"] : ["second"]);
    expect(look("b25l", renewed, other).changed).toEqual([]);
    expect(look("dHdv", renewed, other).changed).toEqual(["db"]);
  });

  it("a change while another key came to seal", () => {
    expect(look("dHdv", seenOne, keyringOf(["first", "second"])).changed).toEqual(["db"]);
  });

  it("nothing if the key of the record is gone: nobody can tell", () => {
    const { changed, recorded } = look("dHdv", seenOne, keyringOf(["second"]));
    expect(changed).toEqual([]);
    expect(formatSeen(recorded)).not.toBe(seenOne);
  });

  it("nothing without a key that seals", () => {
    const { changed, recorded } = look("dHdv", seenOne, keyringOf([]));
    expect([changed, formatSeen(recorded)]).toEqual([[], seenOne]);
  });

  it("equal data has another tag in another namespace and under another name", () => {
    expect(formatSeen(look("b25l", "", keyring, "other").recorded)).not.toBe(seenOne);
    const digests = new Map([["api", digestOf(secretWith("b25l"))]]);
    const names = ["api"];
    const other = compareSeen({ namespace: "shop", names, seen: new Map(), digests, keyring });
    expect(other.recorded.get("api")).not.toBe(parseSeen(seenOne).get("db"));
  });

  it("a record has neither the data nor a hash of it", () => {
    expect(seenOne).not.toContain(digestOf(secretWith("b25l")));
    expect(seenOne).not.toContain("b25l");
  });

  it.each([["x"], ["=,="], ["db"], ["db=none"], ["DB=a.b"], ["a".repeat(40_000)]])(
    "a record that somebody made up restarts nothing by itself: %.20s",
    (seen) => {
      expect(look("b25l", seen, keyring).changed).toEqual([]);
    },
  );

  it("what is no longer asked for leaves the record", () => {
    const seen = parseSeen(`${seenOne},old=k.t`);
    const digests = new Map([["db", digestOf(secretWith("b25l"))]]);
    const compared = compareSeen({ namespace: "shop", names: ["db"], seen, digests, keyring });
    expect([...compared.recorded.keys()]).toEqual(["db"]);
  });
});

it.each([
  [undefined, null],
  ["", null],
  ["soon db", null],
  ["2026-11-24T11:59:00Z db,api", new Date("2026-11-24T11:59:00Z")],
  // No controller wrote that.
  ["2026-11-24T12:00:01Z db", null],
])("the last restart by %j", (text, expected) => {
  expect(restartedAtOf(text, NOW)).toEqual(expected);
});

describe("a restart", () => {
  const workload = { metadata: { uid: "u1" } };
  const restart = { seen: new Map([["db", "k.t"]]), names: ["db"], now: NOW };

  it("changes the pod template, the record, and nothing else", () => {
    expect(restartPatch("Deployment", workload, restart)).toEqual({
      metadata: {
        uid: "u1",
        annotations: {
          "kube-signet/restart-seen": "db=k.t",
          "kube-signet/restarted": "2026-11-24T12:00:00Z db",
        },
      },
      spec: {
        template: {
          metadata: { annotations: { "kube-signet/restarted-at": "2026-11-24T12:00:00Z" } },
        },
      },
    });
  });

  it("of a Rollout is asked of Argo Rollouts", () => {
    const patch = restartPatch("Rollout", workload, restart);
    expect(patch["spec"]).toEqual({ restartAt: "2026-11-24T12:00:00Z" });
  });
});

const done = { observedGeneration: 2, replicas: 2, updatedReplicas: 2, readyReplicas: 2 };
const failed = [{ type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" }];

it.each([
  ["Deployment", { replicas: 2 }, { ...done, availableReplicas: 2 }, "complete"],
  ["Deployment", { replicas: 2 }, { ...done, availableReplicas: 1 }, "progressing"],
  ["Deployment", { replicas: 2 }, { ...done, replicas: 3, availableReplicas: 2 }, "progressing"],
  ["Deployment", {}, { observedGeneration: 1 }, "progressing"],
  ["Deployment", { replicas: 0 }, { observedGeneration: 2 }, "complete"],
  ["Deployment", {}, undefined, "progressing"],
  ["Deployment", { replicas: 2 }, { ...done, conditions: failed }, "failed"],
  ["StatefulSet", { replicas: 2 }, done, "complete"],
  ["StatefulSet", { replicas: 2 }, { ...done, updatedReplicas: 1 }, "progressing"],
  ["StatefulSet", { replicas: 2 }, { ...done, readyReplicas: 1 }, "progressing"],
  [
    "StatefulSet",
    { replicas: 2, updateStrategy: { rollingUpdate: { partition: 1 } } },
    { ...done, updatedReplicas: 1 },
    "complete",
  ],
  [
    "StatefulSet",
    { replicas: 2, updateStrategy: { type: "OnDelete" } },
    { observedGeneration: 2 },
    "complete",
  ],
  [
    "DaemonSet",
    {},
    {
      observedGeneration: 2,
      desiredNumberScheduled: 3,
      updatedNumberScheduled: 3,
      numberAvailable: 3,
    },
    "complete",
  ],
  [
    "DaemonSet",
    {},
    {
      observedGeneration: 2,
      desiredNumberScheduled: 3,
      updatedNumberScheduled: 2,
      numberAvailable: 3,
    },
    "progressing",
  ],
  ["Rollout", { restartAt: "t2" }, { restartedAt: "t1" }, "progressing"],
  ["Rollout", { restartAt: "t2" }, { restartedAt: "t2" }, "complete"],
] as const)("a %s with %j and status %j is %s", (kind, spec, status, expected) => {
  const object = { metadata: { generation: 2 }, spec, ...(status === undefined ? {} : { status }) };
  expect(rolloutState(kind, object as unknown as JsonObject)).toBe(expected);
});

it("only a Deployment can be paused", () => {
  expect(isPaused("Deployment", { spec: { paused: true } })).toBe(true);
  expect(isPaused("Deployment", { spec: {} })).toBe(false);
  expect(isPaused("Rollout", { spec: { paused: true } })).toBe(false);
});
