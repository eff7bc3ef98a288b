// `signet completion`: scripts for shells, and the command that they call.

import { type Complete, type RootCommand, script } from "@bomb.sh/tab";
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { ERROR_CODES } from "../../shared/errors.ts";
import { mergedKubeconfig } from "../../host/kubernetes/kubeconfigfiles.ts";
import { readNamed, statIfThere } from "../../host/readfile.ts";
import { RULES } from "../checks/rules.ts";
import { sealedTextsIn } from "../git/sealedtext.ts";
import { clusterKeys } from "../repository/clustercertificates.ts";
import { findProject } from "../repository/project.ts";
import { shortFingerprint } from "../terminal/counts.ts";
import { printResult } from "../terminal/results.ts";

const HELP = `
Examples:
  $ source <(signet completion bash)                                  # in ~/.bashrc
  $ source <(signet completion zsh)                                   # in ~/.zshrc, after compinit
  $ signet completion fish > ~/.config/fish/completions/signet.fish
  $ signet completion powershell | Out-String | Invoke-Expression     # in $PROFILE`;

/** What the script uses from bash-completion, in case that package is not installed. */
const BASH_PRELUDE = `if ! declare -F _get_comp_words_by_ref > /dev/null; then
    _get_comp_words_by_ref() {
        cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} cword=$COMP_CWORD
        words=("\${COMP_WORDS[@]}")
    }
fi
`;

const SHELLS = ["bash", "zsh", "fish", "powershell"];

/**
 * How the library's script for PowerShell quotes a word of the command line, and how it must: there, a
 * typographic quotation mark ends a text too, and the rest would run.
 */
const POWERSHELL_QUOTING = [
  `($_ -replace "'", "''")`,
  "[System.Management.Automation.Language.CodeGeneration]::EscapeSingleQuotedStringContent($_)",
] as const;

/** Commands whose arguments are items of a sealed file. */
const TAKE_ITEMS = ["set", "unset", "rename", "get"];
/** Commands whose --key takes a key of the repository. */
const TAKE_KEYS = ["log", "status"];

/** A shell may evaluate completions, so names with other characters are left out. */
const PLAIN = /^[\w.:/@-]+$/;

/**
 * Names that are safe on a command line. Returns none if they cannot be read, as an error would
 * disturb a person who is typing.
 */
function plainNames(read: () => Iterable<string>): string[] {
  try {
    return [...read()].filter((name) => PLAIN.test(name));
  } catch {
    return [];
  }
}

const clusterNames = (): string[] => plainNames(() => findProject()?.clusters.keys() ?? []);

const contextNames = (): string[] => plainNames(() => mergedKubeconfig(undefined).contexts.keys());

/** Items of the first file on the command line. */
function itemNames(words: readonly string[]): string[] {
  return plainNames(() => {
    const file = words.slice(1).find((word) => statIfThere(word)?.isFile() === true);
    if (file === undefined) return [];
    return sealedTextsIn(readNamed(file)).flatMap(({ items }) => [...items.keys()]);
  });
}

/** Short fingerprints of all keys that the repository knows, as commands print them. */
const keyNames = (): string[] =>
  plainNames(() => {
    const project = findProject();
    const clusters = [...(project?.clusters.values() ?? [])];
    return new Set(
      clusters.flatMap((cluster) =>
        project === null
          ? []
          : [...clusterKeys(project, cluster).known.keys()].map(shortFingerprint),
      ),
    );
  });

const explainedCodes = (): string[] => [...Object.keys(ERROR_CODES), ...Object.keys(RULES)];

/** Completes names instead of files. The returned function says whether the last line needs a file. */
function addNames(root: RootCommand, words: readonly string[]): () => boolean {
  let isName = false;
  const offers =
    (names: () => string[]) =>
    (complete: Complete): void => {
      isName = true;
      for (const name of names()) complete(name, "");
    };
  for (const [name, command] of root.commands) {
    const [cluster, context] = [command.options.get("cluster"), command.options.get("context")];
    // For `init`, it is a new name.
    if (cluster !== undefined && name !== "init") cluster.handler = offers(clusterNames);
    if (context !== undefined) context.handler = offers(contextNames);
    const clusters = command.arguments.get("CLUSTER");
    if (clusters !== undefined) clusters.handler = offers(clusterNames);
    const keys = command.arguments.get("KEY");
    if (keys !== undefined) keys.handler = offers(keyNames);
    const codes = command.arguments.get("CODE");
    if (codes !== undefined) codes.handler = offers(explainedCodes);
    const key = TAKE_KEYS.includes(name) ? command.options.get("key") : undefined;
    if (key !== undefined) key.handler = offers(keyNames);
    const only = name === "exec" ? command.options.get("only") : undefined;
    if (only !== undefined) only.handler = offers(() => itemNames(words));
    const items = command.arguments.get("ITEM");
    if (items !== undefined && TAKE_ITEMS.includes(name))
      items.handler = offers(() => itemNames(words));
  }
  return () => isName;
}

/** Makes the shell complete files. */
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
        .description("Print a script that completes commands, options and values in a shell.")
        .addHelpText("after", HELP)
        .action(async (shell: string) => {
          await printResult(scriptFor(shell));
        });
    } else if (command.name() === "complete") {
      command.action(async (words: string[]) => {
        const isFlag = words.at(-1)?.startsWith("-") === true;
        const isName = addNames(root, words);
        const lines = logged(() => {
          root.parse([...words]);
        });
        // The library always says not to complete files.
        const isFile = lines.length === 1 && !isFlag && !isName();
        await printResult(`${isFile ? FILES : lines.join("\n")}\n`);
      });
    }
  }
}

function scriptFor(shell: string): string {
  const lines = logged(() => {
    script(shell, "signet", "signet");
  });
  const text = `${lines.join("\n")}\n`;
  if (shell === "powershell") return text.replaceAll(...POWERSHELL_QUOTING);
  if (shell !== "bash") return text;
  return (
    BASH_PRELUDE +
    text
      // Bash completes files only with this option.
      .replace(/^complete -F/m, "complete -o default -F")
      // A second `source` would fail to set read-only variables.
      .replaceAll(/^readonly /gm, "")
  );
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
