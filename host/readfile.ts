// Reads files, with readable errors.
// SPEC.md, "Command line", "Files".

import { readFileSync, realpathSync, statSync, type Stats } from "node:fs";
import { resolve } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { errnoOf, ioError } from "./errno.ts";

/** @throws SignetError io; manifest-syntax if it is not UTF-8 */
export function readText(path: string): string {
  return decodeText(readBytes(path), path);
}

/** @throws SignetError io */
export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw ioError("cannot read", error, path);
  }
}

/** @throws SignetError manifest-syntax if it is not UTF-8 */
export function decodeText(bytes: Buffer, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const utf16 = bytes[0] === 0xff || bytes[0] === 0xfe || bytes[1] === 0;
    throw new SignetError("manifest-syntax", `is not UTF-8 text${utf16 ? ", but UTF-16" : ""}`, {
      hint: "save it as UTF-8; a value that is not text goes under data, in base64",
      place: { file: name },
    });
  }
}

/** @throws SignetError io */
export function stat(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw ioError("cannot read", error, path);
  }
}

/** Like `stat`, but undefined if nothing exists there. @throws SignetError io */
export function statIfThere(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw ioError("cannot read", error, path);
  }
}

/** The resolved path, for comparing two paths. */
export function samePlace(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    return resolve(path);
  }
}
