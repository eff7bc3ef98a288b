// Runs jobs on untrusted input in worker threads; each job has a deadline and a heap limit.
// SPEC.md, "Limits".

import { setMaxListeners } from "node:events";
import { Worker } from "node:worker_threads";
import { SignetError } from "../shared/errors.ts";
import { Gate } from "./gate.ts";
import type { Answer, Job } from "./sandboxworker.ts";
import type { Submission } from "./submission.ts";

/** The worker's program, relative to this module. Set by build.mjs and vitest.config.ts. */
declare const __SANDBOX_WORKER__: string;

const WORKERS = 1;
/** Long enough for an honest job on a busy machine. The budgets within a job end earlier. */
const DEADLINE_MS = 10_000;
/**
 * A worker's limit in MiB; the memory limit in charts/signet/values.yaml has room for two
 * sandboxes.
 */
const HEAP_MIB = 64;
const YOUNG_MIB = 8;
/** An idle worker ends after this long, and gives its memory back. */
const IDLE_MS = 60_000;

/**
 * Why a job has no result.
 * - `deadline`: it took too long, which a busy machine may have caused.
 * - `memory`: it needed too much memory.
 * - `died`: its worker ended for another reason.
 * - `closed`: the sandbox was closed.
 */
export type Loss = "deadline" | "memory" | "died" | "closed";

const LOSSES: Readonly<Record<Loss, string>> = {
  deadline: "took too long",
  memory: "used too much memory",
  died: "crashed its worker",
  closed: "cancelled",
};

/** A job that ended without a result. The message contains nothing from the job. */
export class JobLost extends Error {
  override readonly name = "JobLost";
  readonly loss: Loss;
  constructor(loss: Loss) {
    super(LOSSES[loss]);
    this.loss = loss;
  }
}

export interface SandboxOptions {
  readonly workers?: number;
  readonly deadlineMs?: number;
  readonly heapMiB?: number;
  readonly idleMs?: number;
  /** As of a gate; by default, all sources are equal. */
  readonly busyShare?: number | undefined;
}

interface Task {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

interface Place {
  readonly worker: Worker;
  readonly ended: Promise<void>;
  task: Task | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Why it is being ended, if it is. */
  loss: Loss | undefined;
}

/**
 * Runs jobs in worker threads, which start on demand. A worker that dies is replaced for the next
 * job. The source (a namespace or an address) that recently used the least time comes first, so
 * that a source with many or long jobs delays others only by the job that is running.
 */
export class Sandbox {
  readonly #options: Required<SandboxOptions>;
  readonly #turns: Gate;
  readonly #places = new Set<Place>();
  readonly #closing = new AbortController();

  constructor(options: SandboxOptions = {}) {
    this.#options = {
      workers: WORKERS,
      deadlineMs: DEADLINE_MS,
      heapMiB: HEAP_MIB,
      idleMs: IDLE_MS,
      busyShare: undefined,
      ...options,
    };
    const { workers, busyShare } = this.#options;
    // Each job that waits listens.
    setMaxListeners(0, this.#closing.signal);
    this.#turns = new Gate(workers, Infinity, () => performance.now(), { busyShare });
  }

  /**
   * Parses the body of a request. `source`: whoever sent it. `body`: in a buffer of its own, which is
   * moved to the worker, so that it is empty afterwards.
   * @throws SignetError if it is not one SealedSecret or a List of them
   * @throws JobLost
   */
  async parse(source: string, body: Uint8Array<ArrayBuffer>): Promise<Submission> {
    const answer = await this.#run(source, { kind: "parse", body });
    if ("submission" in answer) return answer.submission;
    throw new JobLost("died");
  }

  /**
   * Renders all templates of one object. `source`: its namespace.
   * @throws SignetError template-failed
   * @throws JobLost
   */
  async render(
    source: string,
    templates: ReadonlyMap<string, string>,
    values: ReadonlyMap<string, Uint8Array>,
  ): Promise<ReadonlyMap<string, Uint8Array>> {
    const copies = new Map([...values].map(([item, bytes]) => [item, new Uint8Array(bytes)]));
    const answer = await this.#run(source, { kind: "render", templates, values: copies });
    if ("rendered" in answer) return answer.rendered;
    throw new JobLost("died");
  }

  /** Cancels all jobs, and ends the workers. */
  async close(): Promise<void> {
    this.#closing.abort(new JobLost("closed"));
    await Promise.all([...this.#places].map((place) => this.#end(place, "closed")));
  }

  async #run(source: string, job: Job): Promise<Answer> {
    const { signal } = this.#closing;
    const ticket = { address: source, client: "", signal };
    const answer = await this.#turns.run(ticket, () => this.#runInWorker(job));
    if (!("failure" in answer)) return answer;
    const { code, message, hint, place } = answer.failure;
    throw new SignetError(code, message, { place, ...(hint === undefined ? {} : { hint }) });
  }

  async #runInWorker(job: Job): Promise<Answer> {
    for (;;) {
      this.#closing.signal.throwIfAborted();
      const place =
        [...this.#places].find(({ task, loss }) => task === undefined && loss === undefined) ??
        (this.#places.size < this.#options.workers ? this.#start() : undefined);
      if (place !== undefined) {
        return new Promise((resolve, reject) => {
          this.#assign(place, job, { resolve, reject });
        });
      }
      // An idle worker is being ended: there are never more workers than allowed.
      await Promise.race([...this.#places].map(({ ended }) => ended));
    }
  }

  #assign(place: Place, job: Job, task: Task): void {
    clearTimeout(place.timer);
    place.task = task;
    place.timer = setTimeout(() => void this.#end(place, "deadline"), this.#options.deadlineMs);
    place.worker.ref();
    place.worker.postMessage(job, job.kind === "parse" ? [job.body.buffer] : []);
  }

  #start(): Place {
    const { heapMiB } = this.#options;
    const worker = new Worker(new URL(__SANDBOX_WORKER__, import.meta.url), {
      env: {},
      argv: [],
      execArgv: [],
      // Not the process's own streams, so that no output of a job gets there.
      stdin: false,
      stdout: true,
      stderr: true,
      resourceLimits: {
        maxOldGenerationSizeMb: heapMiB,
        maxYoungGenerationSizeMb: YOUNG_MIB,
      },
    });
    const place: Place = {
      worker,
      ended: new Promise((resolve) => {
        worker.once("exit", () => {
          resolve();
        });
      }),
      task: undefined,
      timer: undefined,
      loss: undefined,
    };
    this.#places.add(place);
    worker.on("message", (answer: Answer) => {
      const { task } = place;
      this.#rest(place);
      task?.resolve(answer);
    });
    worker.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") place.loss = "memory";
    });
    worker.on("exit", () => {
      this.#places.delete(place);
      clearTimeout(place.timer);
      place.task?.reject(new JobLost(place.loss ?? "died"));
      place.task = undefined;
    });
    return place;
  }

  /** An idle worker keeps neither the process alive nor its memory for long. */
  #rest(place: Place): void {
    clearTimeout(place.timer);
    place.task = undefined;
    place.worker.unref();
    place.timer = setTimeout(() => void this.#end(place, "closed"), this.#options.idleMs).unref();
  }

  /** Its job is lost once the thread has ended, so that there are never more workers than allowed. */
  async #end(place: Place, loss: Loss): Promise<void> {
    clearTimeout(place.timer);
    place.loss = loss;
    await place.worker.terminate();
  }
}
