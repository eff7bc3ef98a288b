import { readFileSync } from "node:fs";
import { Command } from "commander";
import { load } from "js-yaml";
import { expect, it } from "vitest";
import { define as defineScan } from "../../cli/commands/scan.ts";
import { define as defineVerify } from "../../cli/commands/verify.ts";

interface Hook {
  readonly id: string;
  readonly name: string;
  readonly entry: string;
  readonly language: string;
  readonly pass_filenames: boolean;
}

const hooks = load(readFileSync(".pre-commit-hooks.yaml", "utf8")) as Hook[];
const commands = { scan: defineScan, verify: defineVerify };

it("offers a hook for each check", () => {
  expect(hooks.map(({ id }) => id)).toEqual(["signet-scan", "signet-verify"]);
});

it.for(hooks)("$id is a command that exists, with options that it has", (hook) => {
  expect(hook).toMatchObject({
    name: expect.stringMatching(/\S/) as string,
    language: "system",
    // They look at the index: names of files would be taken for what is to be looked at.
    pass_filenames: false,
  });
  const [program, name = "", ...options] = hook.entry.split(" ");
  expect(program).toBe("signet");
  expect(Object.keys(commands)).toContain(name);
  const command = new Command(name).exitOverride();
  commands[name as keyof typeof commands](command);
  // Parsed, not run.
  command.action(() => undefined).parse(options, { from: "user" });
  expect(command.opts()).toMatchObject({ staged: true });
});
