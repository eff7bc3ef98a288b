// Whether output is in color.
// SPEC.md, "Command line".

import { isatty } from "node:tty";

export const COLOR_CHOICES = ["auto", "always", "never"] as const;
export type ColorChoice = (typeof COLOR_CHOICES)[number];

let choice: ColorChoice = "auto";

/** What --color says. It overrides the environment. */
export function chooseColor(chosen: ColorChoice): void {
  choice = chosen;
}

/** Whether what is written to a file descriptor is in color. */
export function isInColor(descriptor: number): boolean {
  if (choice !== "auto") return choice === "always";
  return colorOfEnvironment(process.env) ?? isatty(descriptor);
}

/**
 * What the environment says; null where it leaves the choice to the terminal. NO_COLOR as
 * no-color.org has it, FORCE_COLOR as Node, CLICOLOR and CLICOLOR_FORCE as bixense.com/clicolors.
 * @internal for its test
 */
export function colorOfEnvironment(environment: NodeJS.ProcessEnv): boolean | null {
  const {
    NO_COLOR: no = "",
    FORCE_COLOR: force,
    CLICOLOR_FORCE: forced = "",
    CLICOLOR: isWanted,
    TERM: terminal,
  } = environment;
  if (no !== "") return false;
  if (force !== undefined) return !["0", "false"].includes(force);
  if (forced !== "" && forced !== "0") return true;
  return isWanted === "0" || terminal === "dumb" ? false : null;
}
