// `npm run soak`: our controller under churn and faults for minutes; exit 1 unless its memory and
// its open files stay flat and the cluster ends as declared.
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { obtainParts } from "../parts/build.ts";
import { PARTS_VARIABLE } from "../parts/parts.ts";
import { Churn, randomNumbers } from "./churn.ts";
import { startControlPlane } from "./controlplane.ts";
import { certificateOf } from "./objects.ts";
import { type OwnAnswer, startProxiedPlane } from "./proxy.ts";
import { ensureNamespace, installSignet, startSignet } from "./signet.ts";

const OBJECTS = 200;
const PAUSE_MS = 20;
const SAMPLE_MS = 2_000;
/** Of all calls, while there are faults. */
const FAULTS = 0.03;
/** Of the end held against the middle; the heap breathes by as much. */
const GROWTH_AT_MOST = 1.1;

interface Sample {
  readonly seconds: number;
  readonly residentMb: number;
  readonly files: number;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function sample(pid: number, startedMs: number): Promise<Sample> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kibibytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  return {
    seconds: Math.round((performance.now() - startedMs) / 1000),
    residentMb: (kibibytes * 1024) / 1e6,
    files: (await readdir(`/proc/${pid}/fd`)).length,
  };
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

/** What is wrong with the samples; the first third is the time in which the heap finds its size. */
function growth(samples: readonly Sample[]): string[] {
  const third = Math.floor(samples.length / 3);
  const of = (pick: (sample: Sample) => number): [number, number] => [
    median(samples.slice(third, 2 * third).map(pick)),
    median(samples.slice(2 * third).map(pick)),
  ];
  const memory = of(({ residentMb }) => residentMb);
  const files = of((each) => each.files);
  const most = Math.max(...samples.map(({ residentMb }) => residentMb));
  say(
    `memory, median: ${memory[0].toFixed(0)} MB in the second third, ` +
      `${memory[1].toFixed(0)} MB in the last; ${most.toFixed(0)} MB at most`,
  );
  say(`open files, median: ${files[0]}, ${files[1]}`);
  return [
    ...(memory[1] > memory[0] * GROWTH_AT_MOST ? ["the memory grows"] : []),
    ...(files[1] > files[0] + 10 ? ["open files pile up"] : []),
  ];
}

async function soak(minutes: number, seed: number): Promise<string[]> {
  const random = randomNumbers(seed);
  const plane = await startControlPlane();
  try {
    await installSignet(plane);
    await ensureNamespace(plane, "soak");
    let faulty = true;
    const answers: (OwnAnswer | "drop")[] = [
      "drop",
      { status: 429, reason: "TooManyRequests", retryAfter: 1 },
      { status: 503, reason: "ServiceUnavailable" },
      { status: 409, reason: "Conflict" },
    ];
    const proxy = await startProxiedPlane(plane, {
      before: () => {
        const fault = answers[Math.floor(random() * answers.length)] ?? "pass";
        return Promise.resolve(faulty && random() < FAULTS ? fault : "pass");
      },
    });
    const controller = await startSignet(proxy.plane, {
      flags: ["--key-size=2048", "--log-level=WARN"],
    });
    let ended: number | NodeJS.Signals | undefined;
    void controller.exited.then((status) => (ended = status));
    const churn = new Churn(plane, "soak", await certificateOf(controller), random);
    await churn.declareAll(OBJECTS);
    const stopping = new AbortController();
    const churning = churn.run(stopping.signal, PAUSE_MS);
    const startedMs = performance.now();
    const samples: Sample[] = [];
    let minute = 0;
    while (performance.now() - startedMs < minutes * 60_000 && ended === undefined) {
      await pause(SAMPLE_MS);
      const seen = await sample(controller.pid, startedMs);
      samples.push(seen);
      if (random() < 0.1) proxy.cutWatches();
      if (random() < 0.05) proxy.expireWatches();
      if (seen.seconds < (minute + 1) * 60) continue;
      minute++;
      say(
        `${minute} of ${minutes} min: ${churn.changes} changes, ` +
          `${seen.residentMb.toFixed(0)} MB, ${seen.files} open files`,
      );
      if (minute % 3 === 0 && minute < minutes) {
        say("the API server is killed and started again");
        await plane.stopApiServer("SIGKILL");
        await plane.startApiServer();
      }
    }
    faulty = false;
    stopping.abort();
    await churning;
    const wrong = growth(samples);
    if (ended === undefined) {
      await churn.declareAgain();
      await churn.settled(60_000).catch((error: unknown) => {
        wrong.push((error as Error).message);
      });
    } else {
      wrong.push(`the controller ended with ${ended}:\n${controller.logs().slice(-2_000)}`);
    }
    await controller.stop();
    await proxy.stop();
    return wrong;
  } finally {
    await plane.stop();
  }
}

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
process.env[PARTS_VARIABLE] ??= JSON.stringify(
  await obtainParts(say, ["etcd", "kube-apiserver", "kube-controller-manager"]),
);
say(`${values.minutes} minutes of churn and faults; the seed is ${values.seed}`);
const wrong = await soak(Number(values.minutes), Number(values.seed));
for (const what of wrong) say(`failed: ${what}`);
say(wrong.length === 0 ? "the cluster is as declared, and nothing grew" : "the soak failed");
process.exitCode = wrong.length === 0 ? 0 : 1;
