// The namespaces in which clusters are run: the command that enters them, and whether this machine
// lets us have them.
import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { PartsUnavailable } from "../parts/build.ts";
import { BED_HOST } from "./program.ts";

/** The Debian and Ubuntu package of each program, for the message about missing ones. */
const PACKAGES = { unshare: "util-linux", setpriv: "util-linux", mount: "mount", ip: "iproute2" };

/**
 * Runs a command in its own network and mount namespaces. The API server's proxy refuses
 * loopback addresses, so the bed has one more; the Go original reads its credentials below /run,
 * so the bed has an empty one.
 */
export function inBed(command: readonly string[]): string[] {
  const setUp =
    `ip link set lo up && ip addr add ${BED_HOST}/32 dev lo && ` +
    `mount -t tmpfs tmpfs ${realpathSync("/var/run")} && exec "$@"`;
  const asRoot = process.getuid?.() === 0;
  return ["unshare", asRoot ? "-nm" : "-rnm", "sh", "-c", setUp, "sh", ...command];
}

/** @throws PartsUnavailable where this machine does not let us have the namespaces. */
export function checkBed(env: NodeJS.ProcessEnv): void {
  if (process.platform !== "linux") {
    throw new PartsUnavailable(
      `clusters are run on Linux only, this machine runs ${process.platform}`,
      "use a Linux machine or container; `npm run test:unit` runs everywhere",
    );
  }
  const run = (command: readonly string[]): { status: number | null; stderr: string } => {
    const [program = "", ...args] = command;
    return spawnSync(program, args, { env, encoding: "utf8" });
  };
  for (const [program, name] of Object.entries(PACKAGES)) {
    if (run(["sh", "-c", `command -v ${program}`]).status !== 0) {
      throw new PartsUnavailable(
        `the program \`${program}\` is missing`,
        `install it (Debian and Ubuntu: apt-get install ${name})`,
      );
    }
  }
  const probe = run(inBed(["setpriv", "--pdeathsig", "KILL", "--", "true"]));
  if (probe.status !== 0) {
    throw new PartsUnavailable(
      `this machine refuses a network namespace: ${probe.stderr.trim()}`,
      "run as root; or in a container with --privileged; or, on Ubuntu, allow it with " +
        "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
    );
  }
}
