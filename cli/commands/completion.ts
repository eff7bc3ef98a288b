// `signet completion`, and the command that the shells' scripts call back.

import { script } from "@bomb.sh/tab";
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { printResult } from "../terminal/results.ts";

const HELP = `
Examples:
  $ source <(signet completion bash)                                  # in ~/.bashrc
  $ source <(signet completion zsh)                                   # in ~/.zshrc, after compinit
  $ signet completion fish > ~/.config/fish/completions/signet.fish`;

/** Where the package bash-completion is not there, what the script needs of it. */
const BASH_PRELUDE = `if ! declare -F _get_comp_words_by_ref > /dev/null; then
    _get_comp_words_by_ref() {
        cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} cword=$COMP_CWORD
        words=("\${COMP_WORDS[@]}")
    }
fi
`;

/** Those whose script is tested; the library has another one. */
const SHELLS = ["bash", "zsh", "fish"];

/** Nothing of ours fits: the shell completes files. */
const FILES = ":0";

/** `program`: with every command defined. */
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
          // Files are left to the shell, which bash has to be told.
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
        // It always says that files do not fit.
        await printResult(`${lines.length === 1 && !isFlag ? FILES : lines.join("\n")}\n`);
      });
    }
  }
}

/** What the library prints, which it does by console.log alone. */
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
