// Reads from the header of an executable file which platform it is for, and whether macOS accepts
// its signature.
import { createHash } from "node:crypto";

const ELF_MACHINES = { 0x3e: "x64", 0xb7: "arm64" };
const MACH_MACHINES = { 0x01000007: "x64", 0x0100000c: "arm64" };
const PE_MACHINES = { 0x8664: "x64", 0xaa64: "arm64" };

/** `OS-ARCH` as in the names of the archives. @throws Error for any other file */
export function platformOf(bytes) {
  if (bytes.readUInt32BE(0) === 0x7f454c46)
    return named("linux", ELF_MACHINES[bytes.readUInt16LE(18)]);
  if (bytes.readUInt32LE(0) === 0xfeedfacf)
    return named("macos", MACH_MACHINES[bytes.readUInt32LE(4)]);
  if (bytes.toString("latin1", 0, 2) === "MZ") {
    const header = bytes.readUInt32LE(0x3c);
    if (bytes.toString("latin1", header, header + 4) === "PE\0\0") {
      return named("windows", PE_MACHINES[bytes.readUInt16LE(header + 4)]);
    }
  }
  throw new Error("not an ELF, 64-bit Mach-O or PE file");
}

function named(system, machine) {
  if (machine === undefined) throw new Error(`for an unknown processor of ${system}`);
  return `${system}-${machine}`;
}

const SEGMENT = 0x19;
const CODE_SIGNATURE = 0x1d;
const HEADER_BYTES = 32;

function* loadCommands(bytes) {
  let at = HEADER_BYTES;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    yield { type: bytes.readUInt32LE(at), at };
    at += bytes.readUInt32LE(at + 4);
  }
}

const signatureOf = (bytes) => [...loadCommands(bytes)].find(({ type }) => type === CODE_SIGNATURE);

/**
 * The state of a Mach-O file's signature: `none`, `valid` if each page has the hash in the
 * signature, or `broken`. macOS kills a program whose signature is broken, and on arm64 one that
 * has none.
 */
export function signatureState(bytes) {
  const command = signatureOf(bytes);
  if (command === undefined) return "none";
  const start = bytes.readUInt32LE(command.at + 8);
  const end = start + bytes.readUInt32LE(command.at + 12);
  // The first blob of the signature is the directory of hashes.
  const directory = start + bytes.readUInt32BE(start + 16);
  if (bytes.readUInt32BE(directory) !== 0xfade0c02) return "broken";
  const [hashes, count, limit] = [16, 28, 32].map((field) => bytes.readUInt32BE(directory + field));
  const [hashBytes, hashType, , pageBits] = bytes.subarray(directory + 36, directory + 40);
  const pageBytes = 2 ** pageBits;
  if (hashType !== 2 || limit !== start || end !== bytes.length) return "broken";
  if (count !== Math.ceil(limit / pageBytes)) return "broken";
  for (let page = 0; page < count; page++) {
    const content = bytes.subarray(page * pageBytes, Math.min(limit, (page + 1) * pageBytes));
    const at = directory + hashes + page * hashBytes;
    const hash = createHash("sha256").update(content).digest();
    if (!hash.equals(bytes.subarray(at, at + hashBytes))) return "broken";
  }
  return "valid";
}

/**
 * Removes the signature of a Mach-O file, as `codesign --remove-signature` does: the last load
 * command, and the data at the end of the file to which it points. @throws Error if they are not
 * the last
 */
export function withoutSignature(bytes) {
  const command = signatureOf(bytes);
  if (command === undefined) return bytes;
  const start = bytes.readUInt32LE(command.at + 8);
  const isLast = start + bytes.readUInt32LE(command.at + 12) === bytes.length;
  const commandsEnd = HEADER_BYTES + bytes.readUInt32LE(20);
  const segment = [...loadCommands(bytes)].find(
    ({ type, at }) =>
      type === SEGMENT && bytes.toString("latin1", at + 8, at + 18) === "__LINKEDIT",
  );
  if (!isLast || command.at + 16 !== commandsEnd || segment === undefined) {
    throw new Error("has a signature that is not at its end");
  }
  const result = Buffer.from(bytes.subarray(0, start));
  result.fill(0, command.at, commandsEnd);
  result.writeUInt32LE(result.readUInt32LE(16) - 1, 16);
  result.writeUInt32LE(commandsEnd - HEADER_BYTES - 16, 20);
  const segmentStart = result.readBigUInt64LE(segment.at + 40);
  result.writeBigUInt64LE(BigInt(start) - segmentStart, segment.at + 48);
  return result;
}
