// Reads files from a .tar, .tgz or .zip with Node alone, so that neither a release nor the test bed
// depends on `tar` or `unzip`.
import { gunzipSync, inflateRawSync } from "node:zlib";

const TAR_BLOCK_BYTES = 512;

function tarField(header: Buffer, start: number, end: number): string {
  return header.toString("utf8", start, end).replace(/\0.*$/s, "");
}

/** The files of a tar archive with their content; no folders, no links. */
export function* filesInTar(tar: Buffer): Generator<{ path: string; content: Buffer }> {
  for (let offset = 0; offset + TAR_BLOCK_BYTES <= tar.length;) {
    const header = tar.subarray(offset, offset + TAR_BLOCK_BYTES);
    const prefix = tarField(header, 345, 500);
    const path = (prefix === "" ? "" : `${prefix}/`) + tarField(header, 0, 100);
    const size = Number.parseInt(tarField(header, 124, 136).trim() || "0", 8);
    const start = offset + TAR_BLOCK_BYTES;
    const type = tarField(header, 156, 157);
    if (path !== "" && (type === "0" || type === "")) {
      yield { path, content: tar.subarray(start, start + size) };
    }
    offset = start + Math.ceil(size / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
  }
}

/** Content of the file `name` in a gzipped tar archive. @throws Error if it does not exist. */
export function readFromTgz(archive: Buffer, name: string): Buffer {
  for (const { path, content } of filesInTar(gunzipSync(archive))) {
    if (path === name) return content;
  }
  throw new Error(`the archive has no ${name}`);
}

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const STORED = 0;
const DEFLATED = 8;

/** Content of the file `name` in a zip archive (no zip64). @throws Error if it does not exist. */
export function readFromZip(archive: Buffer, name: string): Buffer {
  let end = archive.length - 22;
  while (end >= 0 && archive.readUInt32LE(end) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Error("not a zip archive");
  const entries = archive.readUInt16LE(end + 10);
  let offset = archive.readUInt32LE(end + 16);
  for (let entry = 0; entry < entries; entry++) {
    if (archive.readUInt32LE(offset) !== DIRECTORY_ENTRY) throw new Error("damaged zip archive");
    const method = archive.readUInt16LE(offset + 10);
    const packedBytes = archive.readUInt32LE(offset + 20);
    const nameBytes = archive.readUInt16LE(offset + 28);
    const local = archive.readUInt32LE(offset + 42);
    if (archive.toString("utf8", offset + 46, offset + 46 + nameBytes) === name) {
      // In the local header, the name and extra fields have lengths of their own.
      const start =
        local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
      const packed = archive.subarray(start, start + packedBytes);
      if (method === STORED) return packed;
      if (method === DEFLATED) return inflateRawSync(packed);
      throw new Error(`${name}: unsupported compression method ${method}`);
    }
    offset +=
      46 + nameBytes + archive.readUInt16LE(offset + 30) + archive.readUInt16LE(offset + 32);
  }
  throw new Error(`the archive has no ${name}`);
}
