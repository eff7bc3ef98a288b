// `signet exec`: runs a program with values in its environment.
// SPEC.md, "Values".

import { spawn } from "node:child_process";
import { constants as system } from "node:os";
import { isatty } from "node:tty";
import { type Command, Option } from "commander";
import { errnoOf } from "../../host/errno.ts";
import { MemoryFolder } from "../../host/memoryfolder.ts";
import { SignetError } from "../../shared/errors.ts";
import {
  type Connected,
  connection,
  flag,
  list,
  recoveryIdentityOption,
  recoveryKeyOption,
  withConnection,
} from "../options.ts";
import { plainValuesFrom, textOfValue, type ValueSource } from "../repository/plainvalues.ts";
import { findProject } from "../repository/project.ts";
import { readSealedFile } from "../repository/sealedfiles.ts";
import { ExitStatus } from "../terminal/exitstatus.ts";

const HELP = `
Each item becomes an environment variable with its name. With --files, items that cannot be variables, such
as tls.crt or binary values, become files in the folder $SIGNET_FILES. The folder is in memory, readable only
by you, and removed when the program ends, even if signet is killed. Values are never written to disk or
passed as arguments. Note that programs of the same user can read a program's environment.

Items that would change how programs run, such as PATH or LD_PRELOAD, are refused unless --only names them.
Signals are forwarded, and the exit status is that of the program.

Examples:
  $ signet exec dev/shop/db.yaml --from-cluster -- ./server
  $ signet exec prod/shop/db.yaml --recovery-key backup.age --prefix DB_ -- sh -c 'psql "$DB_url"'
  $ signet exec prod/shop/tls.yaml --from-cluster --files -- sh -c 'nginx -c "$SIGNET_FILES/nginx.conf"'`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("<FILE...>")
      .usage("--from-cluster|--recovery-key FILE [OPTION...] FILE... -- COMMAND [ARGUMENT...]")
      .description("Run a program with the values of sealed files in its environment.")
      .addOption(flag("--from-cluster", "read the values from the Secrets in the cluster"))
      .addOption(recoveryKeyOption("private key to open the values with; may be repeated"))
      .addOption(recoveryIdentityOption())
      .addOption(list("--only <ITEM>", "use only this item; may be repeated"))
      .addOption(new Option("--prefix <TEXT>", "prefix for the names of the variables").default(""))
      .addOption(flag("--files", "write items that cannot be variables to files in memory")),
  )
    .addHelpText("after", HELP)
    .action((names: string[], flags: Connected<ExecOptions>) => runExec(names, connection(flags)));
}

interface ExecOptions extends ValueSource {
  readonly only: readonly string[];
  readonly prefix: string;
  readonly files: boolean;
}

/** @throws ExitStatus with the program's status; SignetError if nothing was run */
async function runExec(names: readonly string[], options: ExecOptions): Promise<void> {
  // Commander does not report where `--` is.
  const at = process.argv.indexOf("--");
  const command = at === -1 ? [] : process.argv.slice(at + 1);
  const files = names.slice(0, names.length - command.length);
  if (command.length === 0 || files.length === 0) {
    throw new SignetError("usage", "signet exec requires files and a command", {
      hint: "such as `signet exec FILE --from-cluster -- COMMAND`",
    });
  }
  const items = await itemsOf(files, options);
  const { variables, others } = sorted(items, options);
  if (others.size === 0) throw await run(command, variables);
  const folder = new MemoryFolder("exec", "use --only to choose items that can be variables");
  try {
    for (const [item, value] of others) folder.write(item, value);
    throw await run(command, { ...variables, SIGNET_FILES: folder.folder });
  } finally {
    folder.wipe();
  }
}

/** The chosen items of all files. @throws SignetError usage if two have the same name */
async function itemsOf(
  files: readonly string[],
  options: ExecOptions,
): Promise<Map<string, Uint8Array>> {
  const { only } = options;
  const project = findProject();
  const valuesOf = await plainValuesFrom(options);
  const items = new Map<string, Uint8Array>();
  for (const path of files) {
    const { objects } = readSealedFile(path, project);
    if (objects.length === 0) {
      throw new SignetError("wrong-kind", "holds no SealedSecret", { place: { file: path } });
    }
    for (const object of objects) {
      for (const [item, value] of await valuesOf(object)) {
        if (only.length > 0 && !only.includes(item)) continue;
        if (items.has(item)) {
          throw new SignetError("usage", `two SealedSecrets have an item named ${item}`, {
            hint: "use one SealedSecret, or choose items with --only",
            place: object.place,
          });
        }
        items.set(item, value);
      }
    }
  }
  const missing = only.find((item) => !items.has(item));
  if (missing === undefined) return items;
  throw new SignetError("usage", `item ${JSON.stringify(missing)} not found`);
}

/**
 * Variables that can make a program run other code. The names of items in a SealedSecret may be
 * chosen by a stranger.
 */
const POWERFUL = new RegExp(
  `^(${[
    "PATH|HOME|SHELL|ENV|IFS|CDPATH|EDITOR|VISUAL|PAGER|MANPAGER|BROWSER|TMPDIR|TMP|TEMP|PS4",
    "PROMPT_COMMAND|SHELLOPTS|GCONV_PATH|LOCPATH|HOSTALIASES|LESSOPEN|LESSCLOSE|KUBECONFIG",
    "NODE_(OPTIONS|PATH|EXTRA_CA_CERTS|TLS_REJECT_UNAUTHORIZED|REPL_EXTERNAL_MODULE)",
    "RUBYOPT|RUBYLIB|GEM_(PATH|HOME)|CLASSPATH|_?JAVA_(TOOL_)?OPTIONS|JDK_JAVA_OPTIONS",
    "MAVEN_OPTS|GRADLE_OPTS|RUSTC_WRAPPER|GOFLAGS|OPENSSL_(CONF|ENGINES|MODULES)",
    "SSL_CERT_(FILE|DIR)|SSLKEYLOGFILE|SSH_ASKPASS|COMSPEC|PATHEXT|PSMODULEPATH|SYSTEMROOT",
    "(HTTPS?|ALL|NO|FTP)_PROXY",
    "(LD|DYLD|BASH|GIT|LUA|NPM_CONFIG|GLIBC|MALLOC|XDG|PYTHON|PERL|PERL5)_.*|(PYTHON|PERL5)[A-Z]+",
  ].join("|")})$`,
  "i",
);

/** What becomes a variable, and what a file. @throws SignetError usage */
function sorted(
  items: ReadonlyMap<string, Uint8Array>,
  { only, prefix, files }: ExecOptions,
): { variables: Record<string, string>; others: Map<string, Uint8Array> } {
  const variables: Record<string, string> = {};
  const others = new Map<string, Uint8Array>();
  for (const [item, value] of items) {
    const name = prefix + item;
    const text = textOfValue(value);
    // No variable can hold a NUL.
    if (text === undefined || text.includes("\0") || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      others.set(item, value);
    } else if (POWERFUL.test(name) && !only.includes(item)) {
      throw new SignetError("usage", `the variable ${name} changes how programs run`, {
        hint: `use --only ${item} to allow it, or --prefix to rename all variables`,
      });
    } else {
      variables[name] = text;
    }
  }
  if (others.size === 0 || files) return { variables, others };
  throw new SignetError(
    "usage",
    `these items cannot be environment variables: ${[...others.keys()].join(", ")}`,
    {
      hint: "use --files to write them to files, or --only to choose other items",
    },
  );
}

const PASSED_ON = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const;
/** A terminal sends these to the program too. */
const OF_TERMINAL = ["SIGINT", "SIGQUIT"] as const;

/** Runs a program to its end. @throws SignetError io if it cannot be started */
function run(command: readonly string[], variables: Record<string, string>): Promise<ExitStatus> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...variables } });
  // Not process.stdin: using it makes a pipe non-blocking, also for the program.
  const isOnTerminal = isatty(0);
  const handlers = [...PASSED_ON, ...OF_TERMINAL].map((signal) => {
    const isOfTerminal = OF_TERMINAL.some((each) => each === signal) && isOnTerminal;
    const handle = (): void => {
      if (!isOfTerminal) child.kill(signal);
    };
    process.on(signal, handle);
    return { signal, handle };
  });
  return new Promise<ExitStatus>((resolve, reject) => {
    child.once("error", (cause) => {
      const isMissing = errnoOf(cause) === "ENOENT";
      const why = isMissing ? "not found" : "it cannot be run";
      reject(new SignetError("io", `cannot start ${program}: ${why}`, { cause }));
    });
    child.once("close", (status, signal) => {
      resolve(new ExitStatus(status ?? 128 + system.signals[signal ?? "SIGKILL"]));
    });
  }).finally(() => {
    for (const { signal, handle } of handlers) process.removeListener(signal, handle);
  });
}
