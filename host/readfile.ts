// Reads files, with readable errors.
// SPEC.md, "Command line", "Files".

import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  realpathSync,
  statSync,
  type Stats,
} from "node:fs";
import { resolve } from "node:path";
import { SignetError } from "../shared/errors.ts";
import { errnoOf, ioError } from "./errno.ts";
import { MAX_FOUND_BYTES, readUpTo, readWithin, rootOfNamed } from "./rootedfiles.ts";

/**
 * The largest file that is read if a person named it, in bytes: far larger than any manifest, and
 * small enough for the memory of any machine.
 */
const MAX_NAMED_BYTES = 256 * 1024 * 1024;

/**
 * Reads a file that a person named. It may be a pipe, or a link to anywhere.
 * @throws SignetError io; manifest-syntax if it is not UTF-8
 */
export function readText(path: string): string {
  return decodeText(readBytes(path), path);
}

/**
 * Reads a manifest that a person named. It may be a pipe; inside a repository, no link in its path
 * may lead out of the repository.
 * @throws SignetError io; manifest-syntax if it is not UTF-8
 */
export function readNamed(path: string): string {
  rootOfNamed(path);
  return readText(path);
}

/**
 * Reads a file whose path comes from a repository's content.
 * @throws SignetError io if it is not a regular file below `root`; manifest-syntax
 */
export function readTextWithin(root: string, path: string, limit = MAX_FOUND_BYTES): string {
  return decodeText(readWithin(root, path, limit), path);
}

/** Like `readText`, but returns bytes. @throws SignetError io */
export function readBytes(path: string): Buffer {
  try {
    const file = openSync(path, "r");
    try {
      return readUpTo(file, MAX_NAMED_BYTES, path);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw error instanceof SignetError ? error : ioError("cannot read", error, path);
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
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return undefined;
    throw ioError("cannot read", error, path);
  }
}

/** Like `stat`, but of a symbolic link itself. @throws SignetError io */
export function lstat(path: string): Stats {
  try {
    return lstatSync(path);
  } catch (error) {
    throw ioError("cannot read", error, path);
  }
}

/** The names in a folder. @throws SignetError io */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw ioError("cannot read", error, folder);
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
