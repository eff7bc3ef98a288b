// What the build of the single-file programs reads of executables: whose platform, and whose signature.

import { createHash } from "node:crypto";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";

const MODULE = pathToFileURL("build/executables.mjs").href;
const { platformOf, signatureState, withoutSignature } = (await import(
  /* @vite-ignore */ MODULE
)) as {
  platformOf: (bytes: Buffer) => string;
  signatureState: (bytes: Buffer) => string;
  withoutSignature: (bytes: Buffer) => Buffer;
};

const elf = (machine: number): Buffer => {
  const bytes = Buffer.alloc(64);
  bytes.write("\x7fELF", "latin1");
  bytes.writeUInt16LE(machine, 18);
  return bytes;
};

const pe = (machine: number): Buffer => {
  const bytes = Buffer.alloc(256);
  bytes.write("MZ", "latin1");
  bytes.writeUInt32LE(0x80, 0x3c);
  bytes.write("PE\0\0", 0x80, "latin1");
  bytes.writeUInt16LE(machine, 0x84);
  return bytes;
};

const CODE_BYTES = 5000;
const PAGE_BITS = 12;

/** A Mach-O file of two pages, the last one of them not full, with a signature. */
function mach(machine: number): Buffer {
  const header = Buffer.alloc(32 + 72 + 16);
  header.writeUInt32LE(0xfeedfacf, 0);
  header.writeUInt32LE(machine, 4);
  header.writeUInt32LE(2, 16);
  header.writeUInt32LE(72 + 16, 20);
  header.writeUInt32LE(0x19, 32);
  header.writeUInt32LE(72, 36);
  header.write("__LINKEDIT", 40, "latin1");
  header.writeBigUInt64LE(4096n, 32 + 40);
  const code = Buffer.concat([header, Buffer.alloc(CODE_BYTES - header.length, 7)]);
  const directory = Buffer.alloc(44 + 64);
  const signature = Buffer.concat([Buffer.alloc(20), directory]);
  code.writeUInt32LE(0x1d, 104);
  code.writeUInt32LE(16, 108);
  code.writeUInt32LE(CODE_BYTES, 112);
  code.writeUInt32LE(signature.length, 116);
  code.writeBigUInt64LE(BigInt(CODE_BYTES + signature.length - 4096), 32 + 48);
  signature.writeUInt32BE(0xfade0cc0, 0);
  signature.writeUInt32BE(1, 8);
  signature.writeUInt32BE(20, 16);
  signature.writeUInt32BE(0xfade0c02, 20);
  signature.writeUInt32BE(44, 20 + 16);
  signature.writeUInt32BE(2, 20 + 28);
  signature.writeUInt32BE(CODE_BYTES, 20 + 32);
  signature.set([32, 2, 0, PAGE_BITS], 20 + 36);
  for (const page of [0, 1]) {
    const content = code.subarray(page << PAGE_BITS, Math.min(CODE_BYTES, (page + 1) << PAGE_BITS));
    signature.set(createHash("sha256").update(content).digest(), 20 + 44 + page * 32);
  }
  return Buffer.concat([code, signature]);
}

describe("the platform of an executable", () => {
  it.each([
    [elf(0x3e), "linux-x64"],
    [elf(0xb7), "linux-arm64"],
    [mach(0x01000007), "macos-x64"],
    [mach(0x0100000c), "macos-arm64"],
    [pe(0x8664), "windows-x64"],
    [pe(0xaa64), "windows-arm64"],
  ])("is told by its header (%#)", (bytes, platform) => {
    expect(platformOf(bytes)).toBe(platform);
  });

  it.each([
    ["a script", Buffer.from("#!/bin/sh\n".padEnd(256))],
    ["another machine", elf(0x28)],
  ])("is not guessed of %s", (_, bytes) => {
    expect(() => platformOf(bytes)).toThrow();
  });
});

describe("the signature of a program for macOS", () => {
  it("is valid if every page has its hash", () => {
    expect(signatureState(mach(0x0100000c))).toBe("valid");
  });

  it("is broken by a byte that changed, on any page, and by what follows it", () => {
    for (const place of [200, CODE_BYTES - 1]) {
      const bytes = mach(0x0100000c);
      bytes[place] = 8;
      expect(signatureState(bytes), String(place)).toBe("broken");
    }
    expect(signatureState(Buffer.concat([mach(0x0100000c), Buffer.alloc(1)]))).toBe("broken");
  });

  it("can be taken off, and nothing names it then", () => {
    const bytes = withoutSignature(mach(0x01000007));
    expect(signatureState(bytes)).toBe("none");
    expect(bytes.length).toBe(CODE_BYTES);
    expect([bytes.readUInt32LE(16), bytes.readUInt32LE(20)]).toEqual([1, 72]);
    // The segment ends where the file does.
    expect(Number(bytes.readBigUInt64LE(32 + 40) + bytes.readBigUInt64LE(32 + 48))).toBe(
      CODE_BYTES,
    );
    expect(withoutSignature(bytes)).toBe(bytes);
  });
});
