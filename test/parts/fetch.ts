// What getting a part takes: programs that are run to their end, and packages from npm.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

/** What the program wrote to stdout. @throws Error with its last lines where it failed */
export async function run(
  command: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const child = spawn(command, args, {
    ...options,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const status = await new Promise<number | string>((done, fail) => {
    child.on("error", fail);
    child.on("close", (code, signal) => {
      done(code ?? signal ?? "?");
    });
  });
  if (status === 0) return stdout;
  const lines = `${stdout}${stderr}`.trim().split("\n").slice(-15).join("\n  ");
  throw new Error(`\`${command} ${args.join(" ")}\` ended with ${status}:\n  ${lines}`);
}

/** A package's archive from npm. @throws Error where it is not the one that is pinned */
export async function packageFromNpm(
  name: string,
  pin: { hash: "sha256" | "sha512"; encoding: "hex" | "base64"; sum: string },
  directory: string,
): Promise<Buffer> {
  await run("npm", ["pack", name, "--silent", "--pack-destination", directory], {
    cwd: directory,
  });
  const [file = ""] = (await readdir(directory)).filter((each) => each.endsWith(".tgz"));
  const archive = await readFile(join(directory, file));
  const sum = createHash(pin.hash).update(archive).digest(pin.encoding);
  if (sum !== pin.sum) {
    throw new Error(`${name} has ${pin.hash.toUpperCase()} ${sum}, not ${pin.sum}`);
  }
  await rm(join(directory, file));
  return archive;
}
