// The table of `signet` commands, dispatch, and the exit status.
// SPEC.md, "Command line".
//
// Only the requested command is loaded, to keep start-up fast.

import { basename } from "node:path";
import { Command, CommanderError, Option } from "commander";
import { SignetError } from "../shared/errors.ts";
import { BUILD } from "../shared/version.ts";
import { optionDescription } from "./options.ts";
import { chooseColor, COLOR_CHOICES } from "./terminal/color.ts";
import { ExitStatus } from "./terminal/exitstatus.ts";
import { neverPage, pageThrough } from "./terminal/pager.ts";
import { helpWidth, reflowed } from "./terminal/width.ts";
import { hasPrintedResult, printResult } from "./terminal/results.ts";
import { printErrorJson, reportError } from "./terminal/reporterror.ts";

type Define = (command: Command) => void;

interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Define>;
}

const entry = (name: string, summary: string, load: Entry["load"]): Entry => ({
  name,
  summary,
  load,
});

const GROUPS: readonly (readonly [string, readonly Entry[]])[] = [
  [
    "Everyday commands, which need only the certificate:",
    [
      entry("seal", "seal Secrets into SealedSecrets", async () => {
        return (await import("./commands/seal/seal.ts")).define;
      }),
      entry("new", "create a Secret from prompts or flags, and write it sealed", async () => {
        return (await import("./commands/new/new.ts")).define;
      }),
      entry("set", "set items of a sealed file", async () => {
        return (await import("./commands/change.ts")).defineSet;
      }),
      entry("unset", "remove items from a sealed file", async () => {
        return (await import("./commands/change.ts")).defineUnset;
      }),
      entry("rename", "rename an item of a sealed file", async () => {
        return (await import("./commands/change.ts")).defineRename;
      }),
      entry("edit", "edit a sealed file in an editor", async () => {
        return (await import("./commands/edit/edit.ts")).define;
      }),
      entry("page", "write a web page for sealing in a browser", async () => {
        return (await import("./commands/page.ts")).define;
      }),
    ],
  ],
  [
    "Whole repositories:",
    [
      entry("init", "create signet.yaml, which says which cluster each file is for", async () => {
        return (await import("./commands/init.ts")).define;
      }),
      entry("status", "show every sealed file, its keys, and what is stale", async () => {
        return (await import("./commands/status/status.ts")).define;
      }),
      entry("reseal", "re-seal stale values with the newest key", async () => {
        return (await import("./commands/reseal/reseal.ts")).define;
      }),
      entry("verify", "check sealed files without any key", async () => {
        return (await import("./commands/verify.ts")).define;
      }),
      entry("scan", "find Secrets in plain text", async () => {
        return (await import("./commands/scan.ts")).define;
      }),
      entry("diff", "compare sealed files with the clusters, or two revisions", async () => {
        return (await import("./commands/diff.ts")).define;
      }),
      entry("log", "show the history of a sealed file or a sealing key", async () => {
        return (await import("./commands/log/log.ts")).define;
      }),
      entry("git", "check commits, and diff and merge sealed files by item", async () => {
        const { define } = await import("./commands/git/git.ts");
        return (command) => {
          define(command, async () => (await import("./stagedcheck.ts")).checkStaged());
        };
      }),
    ],
  ],
  [
    "Certificates, keys and recovery:",
    [
      entry("cert", "show, fetch or refresh certificates", async () => {
        return (await import("./commands/cert.ts")).define;
      }),
      entry(
        "keys",
        "list, renew, back up, restore, adopt or retire a cluster's sealing keys",
        async () => {
          return (await import("./commands/keys/keys.ts")).define;
        },
      ),
      entry("unseal", "open SealedSecrets with a private key (recovery)", async () => {
        return (await import("./commands/unseal.ts")).define;
      }),
      entry("get", "print a value, from the cluster or with a private key", async () => {
        return (await import("./commands/get.ts")).define;
      }),
      entry("exec", "run a program with values in its environment", async () => {
        return (await import("./commands/exec.ts")).define;
      }),
    ],
  ],
  [
    "More:",
    [
      entry("doctor", "check this machine, the repository and its clusters", async () => {
        return (await import("./commands/doctor/doctor.ts")).define;
      }),
      entry("explain", "explain an error code, or a rule of verify or scan", async () => {
        return (await import("./commands/explain/explain.ts")).define;
      }),
      entry("demo", "try everything on this machine, without a cluster", async () => {
        return (await import("./commands/demo.ts")).define;
      }),
    ],
  ],
];

const COMPLETION = "print a shell completion script";
/** The completion scripts call it. */
const COMPLETE = "complete";

const PROGRAM_HELP = `
Example:
  $ signet seal --cert cert.pem < secret.yaml > sealedsecret.yaml

Run \`signet COMMAND --help\` for details. Results go to standard output, messages to standard error.
Exit status: 0 success, 1 failure, 2 invalid usage, 3 a check found problems, 130 cancelled.`;

async function buildProgram(args: readonly string[], printed: string[]): Promise<Command> {
  pageThrough(async () => (await import("./git/pagerchoice.ts")).pagerOfGit());
  const width = helpWidth();
  const program = new Command("signet")
    .usage("COMMAND [OPTION...]")
    .description(
      "Keep Kubernetes Secrets in Git: encrypted in the repository, decrypted only in the cluster.",
    )
    .version(BUILD, "--version", "print the version")
    .addOption(
      new Option(
        "--color <WHEN>",
        "when to use color (default: auto, only on a terminal; also NO_COLOR and FORCE_COLOR)",
      ).choices(COLOR_CHOICES),
    )
    .on("option:color", chooseColor)
    .option("--no-pager", "do not show long results in a pager")
    .on("option:no-pager", neverPage)
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [COMMAND]", "print the help of a command")
    .exitOverride()
    .configureHelp({
      showGlobalOptions: false,
      helpWidth: width,
      minWidthToWrap: 20,
      optionDescription,
    })
    .configureOutput({
      writeOut: (text) => void printed.push(text),
      // reportError prints errors.
      writeErr: () => undefined,
    })
    .addHelpText("after", PROGRAM_HELP);
  const [first, second] = args;
  const asked = first === "help" ? second : first;
  const all = asked === "completion" || asked === COMPLETE;
  for (const [group, entries] of GROUPS) {
    for (const { name, summary, load } of entries) {
      const command = program.command(name).helpGroup(group).summary(summary);
      if (all || name === asked) (await load())(command);
    }
  }
  if (all) {
    const { addCompletion } = await import("./commands/completion.ts");
    addCompletion(program, COMPLETION);
  } else {
    program.command("completion").helpGroup("More:").summary(COMPLETION);
  }
  return program;
}

/** Command names of other programs, and the command that does the same here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  add: "signet new",
  adopt: "signet keys adopt",
  audit: "signet scan",
  backup: "signet keys backup",
  blame: "signet log",
  check: "signet verify",
  create: "signet new",
  decrypt: "signet unseal",
  delete: "signet unset",
  diagnose: "signet doctor",
  encrypt: "signet seal",
  env: "signet exec",
  export: "signet get",
  fetch: "signet cert fetch",
  "fetch-cert": "signet cert fetch",
  find: "signet scan",
  "get-cert": "signet cert fetch",
  history: "signet log",
  hook: "signet git install",
  import: "signet seal",
  install: "signet git install",
  key: "signet keys",
  lint: "signet verify",
  list: "signet status",
  ls: "signet status",
  merge: "signet seal --merge-into",
  mv: "signet rename",
  "re-encrypt": "signet reseal",
  refresh: "signet cert refresh",
  rekey: "signet reseal",
  remove: "signet unset",
  renew: "signet keys rotate",
  "renew-keys": "signet keys rotate",
  restore: "signet keys restore",
  retire: "signet keys retire",
  reveal: "signet get",
  revoke: "signet keys retire",
  rm: "signet unset",
  rotate: "signet keys rotate",
  "rotate-keys": "signet keys rotate",
  run: "signet exec",
  search: "signet scan",
  show: "signet status",
  uninstall: "signet git uninstall",
  unlock: "signet unseal",
  update: "signet set",
  updatekeys: "signet reseal",
  upgrade: "signet reseal",
  validate: "signet verify",
  version: "signet --version",
  view: "signet get",
};

/** Moves the command before any global options. */
function commandFirst(args: readonly string[]): readonly string[] {
  let at = 0;
  for (let arg = args[0]; arg !== undefined; arg = args[at]) {
    if (arg === "--color") at += 2;
    else if (arg.startsWith("--color=") || arg === "--no-pager") at++;
    else break;
  }
  const command = args[at];
  if (at === 0 || command === undefined) return args;
  return [command, ...args.slice(0, at), ...args.slice(at + 1)];
}

/** Drops `help` before an unknown command: commander would print the general help. */
function withoutVainHelp(args: readonly string[]): readonly string[] {
  const [first, second] = args;
  if (first !== "help" || second === undefined || second.startsWith("-")) return args;
  const names = [...GROUPS.flatMap(([, entries]) => entries.map(({ name }) => name)), "completion"];
  return names.includes(second) ? args : [second];
}

/** The innermost command that the first words name. */
function namedCommand(program: Command, args: readonly string[]): Command {
  let command = program;
  for (const arg of args) {
    const inner = command.commands.find((each) => each.name() === arg);
    if (inner === undefined) break;
    command = inner;
  }
  return command;
}

/** Reports an error as text and, if --json was given and nothing was printed yet, also as JSON. */
async function fail(
  error: unknown,
  program: Command | undefined,
  args: readonly string[],
): Promise<number> {
  const status = reportError(error);
  if (program === undefined || hasPrintedResult()) return status;
  const command = namedCommand(program, args);
  const { json, format } = command.opts<{ readonly json?: boolean; readonly format?: string }>();
  try {
    // In commands without --json, `format` is that of a manifest.
    if (json === true || (json === false && format === "json")) await printErrorJson(error);
  } catch (failed) {
    return reportError(failed);
  }
  return status;
}

/** Converts an error of commander to a SignetError. */
function usageError(error: CommanderError, program: Command, args: readonly string[]): SignetError {
  const [words = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  // The text after an unknown option may be a value: leave it out.
  const message = words.replace(/^(unknown option '[^'=]*)=.*/, "$1'");
  const meant = /^\(Did you mean (.*)\?\)$/.exec(suggestion ?? "")?.[1];
  const command = namedCommand(program, args);
  const names: string[] = [];
  for (let each: Command | null = command; each !== null; each = each.parent) {
    names.unshift(each.name());
  }
  const help = `\`${names.join(" ")} --help\``;
  // The argument is an unknown command, not an argument of the default one.
  const unknown = args[names.length - 1];
  if (error.code === "commander.excessArguments" && command.commands.length > 0 && unknown) {
    const inner = command.commands.map((each) => each.name()).join(", ");
    const message = `${names.join(" ")} has no command ${JSON.stringify(unknown)}`;
    return new SignetError("usage", message, { hint: `its commands are ${inner}` });
  }
  const elsewhere = Object.entries(ELSEWHERE).find(([word]) => word === args[0])?.[1];
  if (error.code === "commander.unknownCommand" && command === program && elsewhere) {
    return new SignetError("usage", message, {
      hint: `did you mean \`${elsewhere}\`? see ${help}`,
    });
  }
  if (error.code === "commander.help") {
    return new SignetError("usage", `${names.join(" ")} needs a command`, { hint: `see ${help}` });
  }
  return new SignetError("usage", message, {
    hint: meant === undefined ? `see ${help}` : `did you mean ${meant}? see ${help}`,
  });
}

async function run(given: readonly string[]): Promise<number> {
  const args = withoutVainHelp(commandFirst(given));
  const printed: string[] = [];
  let program: Command | undefined;
  try {
    program = await buildProgram(args, printed);
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof ExitStatus) return error.status;
    if (program === undefined || !(error instanceof CommanderError)) {
      return fail(error, program, args);
    }
    if (error.exitCode !== 0) return fail(usageError(error, program, args), program, args);
    try {
      await printResult(reflowed(printed.join(""), helpWidth()));
      return 0;
    } catch (failed) {
      return reportError(failed);
    }
  }
}

/** As a plugin, `kubectl seal` is `signet seal`. */
const isSealPlugin = basename(process.argv[1] ?? "").startsWith("kubectl-seal");
const args = process.argv.slice(2);

void run(isSealPlugin ? ["seal", ...args] : args).then((status) => {
  process.exitCode = status;
});
