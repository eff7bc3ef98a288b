// Standalone mode over a folder that somebody else wrote: it writes below its own folder alone.

import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { standalone } from "../../../controller/standalone.ts";
import { keyManifest, sealedObjects, seedsOf } from "../material.ts";
import { CANARY, checkUntold, Find, type Target, textOf } from "../target.ts";
import { everyName, hostileFiles, unpackFiles } from "./trees.ts";

/** Every file below a folder with its content. */
function contentOf(folder: string): string {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  return names
    .map((name) => {
      const path = join(folder, name);
      return lstatSync(path).isFile() ? `${name}\0${readFileSync(path, "latin1")}` : name;
    })
    .join("\0");
}

/** Runs one pass; returns its status and what it printed. */
async function pass(place: string): Promise<{ status: number; told: string }> {
  const printed: string[] = [];
  const streams = [process.stdout, process.stderr] as const;
  const originals = streams.map((stream) => stream.write.bind(stream));
  const keep = (text: unknown): boolean => {
    printed.push(String(text));
    return true;
  };
  for (const stream of streams) stream.write = keep;
  try {
    const status = await standalone({
      from: [join(place, "from")],
      to: join(place, "to"),
      keys: join(place, "keys"),
      namespace: "default",
      envFiles: true,
      interval: 1000,
      logLevel: "DEBUG",
      logFormat: "text",
      keySize: 2048,
    } as unknown as Parameters<typeof standalone>[0]);
    return { status, told: printed.join("") };
  } finally {
    streams.forEach((stream, index) => {
      const original = originals[index];
      if (original !== undefined) stream.write = original;
    });
  }
}

export const folders: Target = {
  name: "folders",
  seeds: async () => seedsOf((await sealedObjects()).map((object) => JSON.stringify(object))),
  examples: everyName,
  generate: hostileFiles,
  short: 25,
  run: async (input) => {
    const place = mkdtempSync(join(tmpdir(), "signet-fuzz-folder-"));
    try {
      for (const name of ["from", "keys", "beside"]) mkdirSync(join(place, name), { mode: 0o700 });
      for (const name of ["first", "both"] as const) {
        writeFileSync(join(place, "keys", `${name}.json`), keyManifest(name), { mode: 0o600 });
      }
      writeFileSync(join(place, "beside", "file"), "theirs");
      unpackFiles(input, join(place, "from"));
      const folders = ["from", "keys", "beside"].map((name) => join(place, name));
      const before = folders.map(contentOf).join("\n");
      const first = await pass(place);
      const second = await pass(place);
      if (folders.map(contentOf).join("\n") !== before) throw new Find("a file of others changed");
      if (![0, 1].includes(first.status)) throw new Find(`exit status ${first.status}`);
      if (/ [1-9]\d* written/.test(second.told)) throw new Find("a second pass writes again");
      if (!textOf(input).includes(CANARY)) checkUntold(first.told + second.told, "a line");
      const top = readdirSync(place).sort().join();
      if (top !== "beside,from,keys,to") throw new Find(`beside its folder: ${top}`);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  },
};
