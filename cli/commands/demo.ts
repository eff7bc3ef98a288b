// Owns: the help of `signet demo`.
// Does not own: what it does (demo.ts).

import type { Command } from "commander";
import { runDemo } from "../demo.ts";

export function define(command: Command): void {
  command
    .usage("")
    .description(
      "Runs the whole of it once, in a folder instead of a cluster, and says what it does.",
    )
    .action(() => {
      runDemo();
    });
}
