// SignetError, the one error type that crosses module boundaries, and its closed set of codes.

/**
 * The stable error codes. `exitStatus` is the exit status of a command that fails with the code.
 * `next` tells a controller whether to retry with backoff (`retry`) or to wait until an object that
 * it watches changes (`wait`).
 */
export const ERROR_CODES = {
  /** The command line is invalid; in a browser, the page is not served over HTTPS. */
  usage: { exitStatus: 2, next: "wait" },
  /** A manifest is not YAML or JSON that Kubernetes can parse. */
  "manifest-syntax": { exitStatus: 1, next: "wait" },
  /** Kubernetes would interpret part of a manifest differently than a person would. */
  "manifest-ambiguous": { exitStatus: 1, next: "wait" },
  /** The object is not of the expected kind. */
  "wrong-kind": { exitStatus: 1, next: "wait" },
  /** A Secret is invalid or cannot be sealed. */
  "secret-invalid": { exitStatus: 1, next: "wait" },
  /** A SealedSecret is invalid. */
  "sealedsecret-invalid": { exitStatus: 1, next: "wait" },
  /** A certificate is missing, damaged or unsupported. */
  "certificate-invalid": { exitStatus: 1, next: "wait" },
  /** A certificate has expired. */
  "certificate-expired": { exitStatus: 1, next: "wait" },
  /** A private key, or the Secret that holds it, is missing, damaged or unsupported. */
  "key-invalid": { exitStatus: 1, next: "wait" },
  /**
   * No available key opens a value. Wrong key, name, namespace or scope and damaged bytes all give
   * the same message.
   */
  "decrypt-failed": { exitStatus: 1, next: "wait" },
  /** spec.template.data cannot be rendered. */
  "template-failed": { exitStatus: 1, next: "wait" },
  /** signet.yaml is invalid, or required but missing. */
  "project-invalid": { exitStatus: 1, next: "wait" },
  /** A file or folder cannot be read or written. */
  io: { exitStatus: 1, next: "retry" },
  /** A server is unreachable or returned an unexpected response. */
  network: { exitStatus: 1, next: "retry" },
  /** The user cancelled: Ctrl-C at a prompt, or no changes made in the editor. */
  cancelled: { exitStatus: 130, next: "wait" },
  /** A check ran and found problems. */
  "check-found": { exitStatus: 3, next: "wait" },
} as const satisfies Record<string, { exitStatus: number; next: "retry" | "wait" }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** The location of an error in the input. Every part is safe to print. */
export interface ErrorPlace {
  /** File name, URL, or `standard input`. */
  readonly file?: string;
  /** Document number in the stream, from 1; absent if the stream has only one document. */
  readonly document?: number;
  /** Line in the file, from 1. */
  readonly line?: number;
  /** `namespace/name` of the object. */
  readonly object?: string;
  /** Field path, such as `stringData.password`. */
  readonly field?: string;
}

export interface ErrorDetails {
  /** An instruction in one sentence, with the exact command if there is one. */
  readonly hint?: string;
  readonly place?: ErrorPlace;
  readonly cause?: unknown;
}

/**
 * The only error that Signet's functions throw on purpose. `message` says what failed and why, in
 * lower case, and never contains a Secret's value, a private key or a line of a confidential file.
 */
export class SignetError extends Error {
  override readonly name = "SignetError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly place: ErrorPlace;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.place = details.place ?? {};
  }

  /** Returns a copy that takes missing parts of its place from `place` and keeps its own parts. */
  at(place: ErrorPlace): SignetError {
    return new SignetError(this.code, this.message, {
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.cause === undefined ? {} : { cause: this.cause }),
      // A place in a different file is already complete.
      place:
        (this.place.file ?? place.file) === place.file ? { ...place, ...this.place } : this.place,
    });
  }
}

/** Runs `action`, and adds `place` to any SignetError that it throws. */
export function locate<T>(place: ErrorPlace, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof SignetError ? error.at(place) : error;
  }
}

/** Awaits `work`, and adds `place` to any SignetError that it throws. */
export async function locateAsync<T>(place: ErrorPlace, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof SignetError ? error.at(place) : error;
  }
}

/**
 * Throws the collected errors: a single error as it is, several as an AggregateError. Returns if
 * there are none.
 */
export function throwAll(errors: readonly SignetError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  throw errors.length === 1 ? first : new AggregateError(errors);
}

/** Formats a place, such as `secrets.yaml: document 2: line 7: stringData.password`. */
export function formatPlace(place: ErrorPlace): string {
  return [
    place.file,
    place.document === undefined ? undefined : `document ${place.document}`,
    place.line === undefined ? undefined : `line ${place.line}`,
    place.object,
    place.field,
  ]
    .filter((part) => part !== undefined && part !== "")
    .join(": ");
}
