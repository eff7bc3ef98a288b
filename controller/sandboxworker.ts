// The program of a sandbox's worker thread, which parses and renders untrusted input.
// It has no environment, no keys, and writes to no stream.

import { parentPort } from "node:worker_threads";
import { type ErrorCode, type ErrorPlace, SignetError } from "../shared/errors.ts";
import { renderTemplates } from "../shared/template/template.ts";
import { parseSubmission, type Submission } from "./submission.ts";

export type Job =
  | { readonly kind: "parse"; readonly body: Uint8Array<ArrayBuffer> }
  | {
      readonly kind: "render";
      readonly templates: ReadonlyMap<string, string>;
      readonly values: ReadonlyMap<string, Uint8Array>;
    };

/** What a job gives: a result, or the parts of a SignetError, because errors are not cloned. */
export type Answer =
  | { readonly submission: Submission }
  | { readonly rendered: ReadonlyMap<string, Uint8Array> }
  | {
      readonly failure: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly hint: string | undefined;
        readonly place: ErrorPlace;
      };
    };

function answerTo(job: Job): Answer {
  try {
    return job.kind === "parse"
      ? { submission: parseSubmission(job.body) }
      : { rendered: renderTemplates(job.templates, job.values) };
  } catch (error) {
    if (error instanceof SignetError) {
      const { code, message, hint, place } = error;
      return { failure: { code, message, hint, place } };
    }
    // JavaScript's own message may quote a value.
    const code = job.kind === "parse" ? "manifest-syntax" : "template-failed";
    return { failure: { code, message: "it could not be processed", hint: undefined, place: {} } };
  }
}

parentPort?.on("message", (job: Job) => {
  const answer = answerTo(job);
  // Moved, not copied.
  parentPort?.postMessage(answer, "submission" in answer ? [answer.submission.json.buffer] : []);
});
