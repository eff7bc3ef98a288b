// `signet completion`: scripts for shells, and the command that they call.

import { script } from "@bomb.sh/tab";
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { printResult } from "../terminal/results.ts";

const HELP = `
Examples:
  $ source <(signet completion bash)                                  # in ~/.bashrc
  $ source <(signet completion zsh)                                   # in ~/.zshrc, after compinit
  $ signet completion fish > ~/.config/fish/completions/signet.fish`;

/** What the script needs of the package bash-completion, where that is not installed. */
const BASH_PRELUDE = `if ! declare -F _get_comp_words_by_ref > /dev/null; then
    _get_comp_words_by_ref() {
        cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} cword=$COMP_CWORD
        words=("\${COMP_WORDS[@]}")
    }
fi
`;

/** The library supports another shell, which is not tested. */
const SHELLS = ["bash", "zsh", "fish"];

/** Tells the shell to complete files. */
const FILES = ":0";

/** `program` must have every command defined. */
export function addCompletion(program: Command, summary: string): void {
  const root = tab(program, { completionCommandName: "completion" });
  root.commands.get("completion")?.argument("shell", (complete) => {
    for (const shell of SHELLS) complete(shell, "");
  });
  for (const command of program.commands) {
    if (command.name() === "completion") {
      command.registeredArguments[0]?.choices(SHELLS);
      command
        .usage(SHELLS.join(" | "))
        .summary(summary)
        .description(
          "Prints a script that completes commands, options and their values in a shell.",
        )
        .addHelpText("after", HELP)
        .action(async (shell: string) => {
          const lines = logged(() => {
            script(shell, "signet", "signet");
          });
          const text = `${lines.join("\n")}\n`;
          // Bash completes files only where it is told to.
          await printResult(
            shell === "bash"
              ? BASH_PRELUDE + text.replace(/^complete -F/m, "complete -o default -F")
              : text,
          );
        });
    } else if (command.name() === "complete") {
      command.action(async (words: string[]) => {
        const isFlag = words.at(-1)?.startsWith("-") === true;
        const lines = logged(() => {
          root.parse([...words]);
        });
        // The library always says not to complete files.
        await printResult(`${lines.length === 1 && !isFlag ? FILES : lines.join("\n")}\n`);
      });
    }
  }
}

/** What the library prints, always with console.log. */
function logged(action: () => void): string[] {
  const lines: string[] = [];
  const { log } = console;
  console.log = (line: string) => void lines.push(line);
  try {
    action();
  } finally {
    console.log = log;
  }
  return lines;
}
