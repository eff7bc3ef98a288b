// Runs jobs on untrusted input in worker threads; each job has a deadline and a heap limit.
// SPEC.md, "Limits".

import { Worker } from "node:worker_threads";
import { SignetError } from "../shared/errors.ts";
import type { Answer, Job } from "./sandboxworker.ts";
import type { Submission } from "./submission.ts";
import { Usage } from "./usage.ts";

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
}

interface Task {
  readonly source: string;
  readonly job: Job;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

interface Place {
  readonly worker: Worker;
  task: Task | undefined;
  startedMs: number;
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
  /** By source. */
  readonly #waiting = new Map<string, Task[]>();
  /** Milliseconds of workers, by source. A job counts for one at least. */
  readonly #used = new Usage(() => performance.now());
  readonly #places = new Set<Place>();
  #closed = false;

  constructor(options: SandboxOptions = {}) {
    this.#options = {
      workers: WORKERS,
      deadlineMs: DEADLINE_MS,
      heapMiB: HEAP_MIB,
      idleMs: IDLE_MS,
      ...options,
    };
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
    this.#closed = true;
    for (const tasks of this.#waiting.values()) {
      for (const { reject } of tasks) reject(new JobLost("closed"));
    }
    this.#waiting.clear();
    await Promise.all([...this.#places].map((place) => this.#end(place, "closed")));
  }

  async #run(source: string, job: Job): Promise<Answer> {
    if (this.#closed) throw new JobLost("closed");
    const answer = await new Promise<Answer>((resolve, reject) => {
      const tasks = this.#waiting.get(source) ?? [];
      tasks.push({ source, job, resolve, reject });
      this.#waiting.set(source, tasks);
      this.#fill();
    });
    if (!("failure" in answer)) return answer;
    const { code, message, hint, place } = answer.failure;
    throw new SignetError(code, message, { place, ...(hint === undefined ? {} : { hint }) });
  }

  #fill(): void {
    while (this.#waiting.size > 0) {
      const place =
        [...this.#places].find(({ task, loss }) => task === undefined && loss === undefined) ??
        (this.#places.size < this.#options.workers ? this.#start() : undefined);
      if (place === undefined) return;
      const task = this.#take();
      if (task !== undefined) this.#assign(place, task);
    }
  }

  #take(): Task | undefined {
    const byUse = [...this.#waiting.keys()].map((source) => ({
      source,
      used: this.#used.of(source),
    }));
    // Sorting keeps the order of those that used the same.
    const source = byUse.sort((a, b) => a.used - b.used)[0]?.source ?? "";
    const tasks = this.#waiting.get(source);
    const task = tasks?.shift();
    if (tasks?.length === 0) this.#waiting.delete(source);
    return task;
  }

  #assign(place: Place, task: Task): void {
    clearTimeout(place.timer);
    place.task = task;
    place.startedMs = performance.now();
    this.#used.add(task.source, 1);
    place.timer = setTimeout(() => void this.#end(place, "deadline"), this.#options.deadlineMs);
    place.worker.ref();
    const { job } = task;
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
      task: undefined,
      startedMs: 0,
      timer: undefined,
      loss: undefined,
    };
    this.#places.add(place);
    worker.on("message", (answer: Answer) => {
      const { task } = place;
      this.#charge(place);
      this.#rest(place);
      task?.resolve(answer);
      this.#fill();
    });
    worker.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") place.loss = "memory";
    });
    worker.on("exit", () => {
      this.#places.delete(place);
      this.#lose(place);
      if (!this.#closed) this.#fill();
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

  #charge({ task, startedMs }: Place): void {
    if (task !== undefined) this.#used.add(task.source, performance.now() - startedMs);
  }

  #lose(place: Place): void {
    clearTimeout(place.timer);
    this.#charge(place);
    place.task?.reject(new JobLost(place.loss ?? "died"));
    place.task = undefined;
  }

  /** The place stays taken until the thread has ended, so that there are never more workers. */
  async #end(place: Place, loss: Loss): Promise<void> {
    place.loss = loss;
    this.#lose(place);
    await place.worker.terminate();
  }
}
