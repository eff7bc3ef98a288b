// `kubeseal --completion`: a script that completes flags, and their values, in a shell.

import { SignetError } from "../../shared/errors.ts";
import { KIND_NAMES } from "../../shared/keys/kinds.ts";
import { SCOPES } from "../../shared/sealing/scope.ts";
import { FLAGS } from "./flagtable.ts";

interface Completed {
  readonly name: string;
  readonly short: string | undefined;
  readonly usage: string;
  readonly takesValue: boolean;
}

/** The flags of the help, without those that are accepted only for compatibility. */
const COMPLETED: readonly Completed[] = Object.entries(FLAGS).flatMap(
  ([name, { kind, short, usage }]) =>
    usage === undefined ? [] : [{ name, short, usage, takesValue: kind !== "boolean" }],
);

/** Values of flags that do not take files. */
const VALUES: Readonly<Record<string, string>> = {
  algorithm: KIND_NAMES.join(" "),
  scope: SCOPES.join(" "),
  format: "json yaml",
  completion: "bash zsh fish powershell",
};

/** The contexts of the kubeconfig, as `signet` completes them. */
const CONTEXTS = `signet complete -- keys list --context '' 2>/dev/null | cut -f1 | grep -v '^:'`;

const SHELLS = new Map(Object.entries({ bash, zsh, fish, powershell }));

/** @throws SignetError usage */
export function completionScript(shell: string): string {
  const script = SHELLS.get(shell);
  if (script === undefined) {
    const known = [...SHELLS.keys()].join(", ");
    throw new SignetError("usage", `--completion ${JSON.stringify(shell)}: known are ${known}`);
  }
  return script();
}

function bash(): string {
  const flags = COMPLETED.map(({ name }) => `--${name}`).join(" ");
  const reply = (words: string): string => `COMPREPLY=($(compgen -W "${words}" -- "$cur"))`;
  const values = Object.entries(VALUES).map(
    ([name, words]) => `    ${namesOf(name).join("|")}) ${reply(words)};;\n`,
  );
  return `_kubeseal() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  case $prev in
${values.join("")}    --context) ${reply(`$(${CONTEXTS})`)};;
    *) case $cur in -*) ${reply(flags)};; esac;;
  esac
}
complete -o default -F _kubeseal kubeseal
`;
}

function zsh(): string {
  const specs = COMPLETED.map(({ name, usage, takesValue }) => {
    const words = VALUES[name];
    const action =
      name === "context"
        ? `($(${CONTEXTS.replaceAll("'", "'\\''")}))`
        : words === undefined
          ? "_files"
          : `(${words})`;
    const value = takesValue ? `:value:${action}` : "";
    const shown = quoted(usage.replaceAll(/[[\]:\\]/g, "\\$&"));
    return namesOf(name)
      .map((flag) => `    '${flag}[${shown}]${value}'`)
      .join(" \\\n");
  });
  return `#compdef kubeseal
_kubeseal() {
  _arguments \\
${specs.join(" \\\n")}
}
compdef _kubeseal kubeseal
`;
}

function fish(): string {
  const lines = COMPLETED.map(({ name, short, usage, takesValue }) => {
    const words = VALUES[name];
    const value = !takesValue
      ? ""
      : name === "context"
        ? ` -x -a "(${CONTEXTS})"`
        : words === undefined
          ? " -r"
          : ` -x -a '${words}'`;
    const letter = short === undefined || short === name ? "" : ` -s ${short}`;
    const shown = usage.replaceAll(/[\\']/g, "\\$&");
    return `complete -c kubeseal -l ${name}${letter}${value} -d '${shown}'\n`;
  });
  return lines.join("");
}

function powershell(): string {
  const list = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(", ");
  const values = Object.entries(VALUES).flatMap(([name, words]) =>
    namesOf(name).map((flag) => `    '${flag}' = @(${list(words.split(" "))})\n`),
  );
  const flags = list(COMPLETED.map(({ name }) => `--${name}`));
  return `Register-ArgumentCompleter -Native -CommandName 'kubeseal' -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $values = @{
${values.join("")}  }
  $before = $commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition }
  $flag = "$($before | Select-Object -Last 1)"
  if ($values.ContainsKey($flag)) {
    $words = $values[$flag]
  } elseif ($flag -eq '--context') {
    $lines = & signet complete '--' keys list "--context=$wordToComplete" 2>$null
    $words = $lines | Where-Object { -not $_.StartsWith(':') } | ForEach-Object { ($_ -split "\\t")[0] }
  } elseif ($wordToComplete.StartsWith('-')) {
    $words = @(${flags})
  } else {
    return
  }
  $words | Where-Object { $_.StartsWith($wordToComplete) } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`;
}

function namesOf(name: string): string[] {
  const short = FLAGS[name]?.short;
  return [`--${name}`, ...(short === undefined ? [] : [`-${short}`])];
}

/** Within single quotes of a shell. */
const quoted = (text: string): string => text.replaceAll("'", "'\\''");
