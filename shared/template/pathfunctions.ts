// Implements sprig's path functions. Its os variants are the same, as the original runs on Linux.
import { fn, type Table } from "./signature.ts";
import type { Bytes } from "./value.ts";

function cleanPath(path: Bytes): Bytes {
  const rooted = path.startsWith("/");
  const kept: Bytes[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!rooted) kept.push("..");
  }
  const joined = kept.join("/");
  return rooted ? `/${joined}` : joined || ".";
}

function basePath(path: Bytes): Bytes {
  if (path === "") return ".";
  const bare = path.replace(/\/+$/, "");
  return bare === "" ? "/" : bare.slice(bare.lastIndexOf("/") + 1);
}

function extension(path: Bytes): Bytes {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return dot < 0 ? "" : name.slice(dot);
}

const base = fn(["string"], (_, path) => basePath(path));
const clean = fn(["string"], (_, path) => cleanPath(path));
const dir = fn(["string"], (_, path) => cleanPath(path.slice(0, path.lastIndexOf("/") + 1)));
const ext = fn(["string"], (_, path) => extension(path));
const isAbs = fn(["string"], (_, path) => path.startsWith("/"));

export const PATH_FUNCTIONS: Table = {
  base,
  clean,
  dir,
  ext,
  isAbs,
  osBase: base,
  osClean: clean,
  osDir: dir,
  osExt: ext,
  osIsAbs: isAbs,
};
