// Owns: `signet completion`, and the command that the shells' scripts call back.
// Does not own: the scripts (@bomb.sh/tab makes them from the table of commands).

import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";

const HELP = `
Examples:
  $ source <(signet completion bash)                                  # in ~/.bashrc
  $ source <(signet completion zsh)                                   # in ~/.zshrc, after compinit
  $ signet completion fish > ~/.config/fish/completions/signet.fish`;

/** `program`: with every command defined. */
export function addCompletion(program: Command, summary: string): void {
  tab(program, { completionCommandName: "completion" });
  program.commands
    .find((command) => command.name() === "completion")
    ?.usage("bash | zsh | fish")
    .summary(summary)
    .description("Prints a script that completes commands, options and their values in a shell.")
    .addHelpText("after", HELP);
}
