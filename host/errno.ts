// Describes failed system calls.

import { SignetError } from "../shared/errors.ts";

/** A code such as `ENOENT`, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

const ERRNO_WORDS: Record<string, string> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EISDIR: "is a directory",
  ENOTDIR: "part of the path is not a directory",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the device",
  EFBIG: "the file would be too large",
  EDQUOT: "disk quota exceeded",
  ELOOP: "too many symbolic links",
  EMFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  EIO: "input/output error",
};

/** What the code of a failed system call means, and the code: `no such file or directory (ENOENT)`. */
export function errnoWords(code: string): string {
  const words = ERRNO_WORDS[code];
  return words === undefined ? code : `${words} (${code})`;
}

/** The error for a failed system call. `what`: what failed, such as `cannot read`. */
export function ioError(what: string, error: unknown, file?: string): SignetError {
  const code = errnoOf(error) ?? "unknown error";
  return new SignetError("io", `${what}: ${ERRNO_WORDS[code] ?? code}`, {
    cause: error,
    ...(file === undefined ? {} : { place: { file } }),
  });
}
