import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { RULES } from "../../cli/checks/rules.ts";
import { ERROR_WORDS } from "../../cli/commands/explain/errorcodes.ts";
import { ERROR_CODES } from "../../shared/errors.ts";

const WORDS = Object.entries({ ...ERROR_WORDS, ...RULES });

/** Sources of the commands, except the tables. */
const sources = readdirSync("cli", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .filter((path) => !["rules.ts", "errorcodes.ts"].includes(basename(path)))
  .map((path) => readFileSync(join("cli", path), "utf8"))
  .join("\n");

describe("signet explain", () => {
  it("has an entry for every error code", () => {
    expect(Object.keys(ERROR_WORDS)).toEqual(Object.keys(ERROR_CODES));
  });

  it("has no entry for a rule that no check reports, and none that is an error code too", () => {
    const reported = sources.replaceAll("`wrong-${field}`", '"wrong-namespace" "wrong-name"');
    const vain = Object.keys(RULES).filter((rule) => !reported.includes(`"${rule}"`));
    expect(vain).toEqual([]);
    expect(Object.keys(RULES).filter((rule) => rule in ERROR_CODES)).toEqual([]);
  });

  it.for(WORDS)("explains %s in whole sentences", ([, { means, why, fix }]) => {
    for (const text of [means, why, fix]) expect(text).toMatch(/^[A-Za-z"].*\.$/);
  });

  it("advises commands that exist", () => {
    const program = readFileSync("cli/signet.ts", "utf8");
    const keys = readFileSync("cli/commands/keys/keys.ts", "utf8");
    const cert = readFileSync("cli/commands/cert.ts", "utf8");
    const advised = WORDS.flatMap(([, { fix }]) => [
      ...fix.matchAll(/"signet ([a-z]+)(?: ([a-z]+))?/g),
    ]);
    expect(advised.length).toBeGreaterThan(20);
    for (const [, command = "", inner] of advised) {
      expect(program).toMatch(new RegExp(`entry\\(\\s*"${command}"`));
      const within = command === "keys" ? keys : command === "cert" ? cert : undefined;
      if (within !== undefined) expect(within).toContain(`command("${inner}`);
    }
  });
});
