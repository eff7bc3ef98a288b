// The one error type that crosses our module boundaries, and its closed set of codes.

/**
 * Every stable code, with the exit status a command ends with and whether a controller that meets
 * it should try again by itself (`retry`) or wait until something that it watches changes
 * (`wait`).
 */
export const ERROR_CODES = {
  /** The command line is wrong; in a browser, how the page is served. */
  usage: { exitStatus: 2, next: "wait" },
  /** A manifest is not YAML or JSON that Kubernetes would read. */
  "manifest-syntax": { exitStatus: 1, next: "wait" },
  /** A manifest says something that Kubernetes reads otherwise than it looks. */
  "manifest-ambiguous": { exitStatus: 1, next: "wait" },
  /** The object is of another kind than the one asked for. */
  "wrong-kind": { exitStatus: 1, next: "wait" },
  /** A Secret that cannot be sealed as it stands. */
  "secret-invalid": { exitStatus: 1, next: "wait" },
  /** A SealedSecret whose shape is wrong. */
  "sealedsecret-invalid": { exitStatus: 1, next: "wait" },
  /** A certificate that cannot be used. */
  "certificate-invalid": { exitStatus: 1, next: "wait" },
  /** A certificate whose validity has ended. */
  "certificate-expired": { exitStatus: 1, next: "wait" },
  /** A private key, or the Secret that holds it, that cannot be used. */
  "key-invalid": { exitStatus: 1, next: "wait" },
  /** No held key opens a value: wrong key, name, namespace, scope or damaged bytes. One message. */
  "decrypt-failed": { exitStatus: 1, next: "wait" },
  /** spec.template.data cannot be rendered. */
  "template-failed": { exitStatus: 1, next: "wait" },
  /** signet.yaml cannot be used, or is missing where it is needed. */
  "project-invalid": { exitStatus: 1, next: "wait" },
  /** A file or folder cannot be read or written. */
  io: { exitStatus: 1, next: "retry" },
  /** A server cannot be reached or answers badly. */
  network: { exitStatus: 1, next: "retry" },
  /** The user gave it up: Ctrl-C at a question, nothing changed in an editor. */
  cancelled: { exitStatus: 130, next: "wait" },
  /** A check ran and found something. */
  "check-found": { exitStatus: 3, next: "wait" },
} as const satisfies Record<string, { exitStatus: number; next: "retry" | "wait" }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Where in the input an error lies; every part is safe to print. */
export interface ErrorPlace {
  /** File name, URL, or `standard input`. */
  readonly file?: string;
  /** Document number in the stream, from 1; absent where there is one only. */
  readonly document?: number;
  /** Line in the file, from 1. */
  readonly line?: number;
  /** `namespace/name` of the object. */
  readonly object?: string;
  /** Field path, such as `stringData.password`. */
  readonly field?: string;
}

export interface ErrorDetails {
  /** What to do about it: one sentence, with the exact command where there is one. */
  readonly hint?: string;
  readonly place?: ErrorPlace;
  readonly cause?: unknown;
}

/**
 * The only error that our functions throw on purpose. `message` says what failed and why, in
 * lower case, and never carries a Secret's value, a private key or a line of a confidential file.
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

  /** The same error, with what is known of its place filled in; what was already known stays. */
  at(place: ErrorPlace): SignetError {
    return new SignetError(this.code, this.message, {
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.cause === undefined ? {} : { cause: this.cause }),
      // A place in another file than the caller's is whole as it is.
      place:
        (this.place.file ?? place.file) === place.file ? { ...place, ...this.place } : this.place,
    });
  }
}

/** Runs `action`; a SignetError that it throws is thrown on with `place` filled in. */
export function locate<T>(place: ErrorPlace, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof SignetError ? error.at(place) : error;
  }
}

/** The same of work that ends later. */
export async function locateAsync<T>(place: ErrorPlace, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof SignetError ? error.at(place) : error;
  }
}

/** Throws what was collected: the error itself where it is one, an AggregateError where there are more. */
export function throwAll(errors: readonly SignetError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  throw errors.length === 1 ? first : new AggregateError(errors);
}

/** Words for a place, such as `secrets.yaml: document 2: line 7: stringData.password`. */
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
