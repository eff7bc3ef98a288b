// `signet log`: the history of a sealed file's items, or every value that a key ever sealed.
// SPEC.md, "Whole repositories".

import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { slashed } from "../../../host/platform.ts";
import { SignetError } from "../../../shared/errors.ts";
import { isShallow, needWorkTree, readBlobs } from "../../git/gitprocess.ts";
import { historyOfFile } from "../../git/filehistory.ts";
import type { Change, CommitChanges } from "../../git/history.ts";
import {
  changesBetween,
  formatItemChange,
  type ItemChange,
  type SealedText,
  sealedTextsIn,
} from "../../git/sealedtext.ts";
import { logOfKey, type LogOptions } from "./logofkey.ts";
import { type LogEntry, reportOfFile } from "./logreport.ts";
import {
  algorithmOption,
  checkOneForm,
  factFormatOption,
  factJsonOption,
  htmlOption,
  recoveryKeyOption,
} from "../../options.ts";
import { writeReport } from "../../report/writereport.ts";
import { printFacts } from "../../terminal/facts.ts";
import { type Line, styled } from "../../terminal/line.ts";
import { warn } from "../../terminal/messages.ts";
import { styledChange } from "../../terminal/states.ts";

const HELP = `
For FILE, this shows who changed which item, when, and with which sealing key, newest first.

Use --key if a key leaked: it lists every value that was ever sealed with it, in any branch. These values
must be changed. --recovery-key also finds values that do not name their key, by opening them. Both read the
YAML and JSON files of all commits in this clone, and report what they could not read or decide. In a shallow
clone, they print what they found, and fail.

--algorithm rsa lists every value that was ever committed with RSA. Once RSA is broken, anyone with the
history can read these values, even if they were re-sealed since, so they must be changed.

Examples:
  $ signet log prod/shop/db.yaml
  $ signet log --key SHA256:pV1EkPSm
  $ signet log --algorithm rsa
  $ signet log --key SHA256:pV1EkPSm --html leaked.html
  $ signet log --recovery-key leaked.key --json`;

export function define(command: Command): void {
  command
    .argument("[FILE...]")
    .usage("[OPTION...] FILE | --key FINGERPRINT | --algorithm ALGORITHM | --recovery-key FILE")
    .description("Show the history of a sealed file, or of a sealing key, from Git.")
    .option(
      "--key <FINGERPRINT>",
      "list values sealed with this key; the beginning of its fingerprint is enough",
    )
    .addOption(algorithmOption("list values sealed with this algorithm"))
    .addOption(recoveryKeyOption("file of the sealing key itself"))
    .addOption(htmlOption())
    .addOption(factFormatOption())
    .addOption(factJsonOption())
    .addHelpText("after", HELP)
    .action((paths: string[], flags: LogOptions) => runLog(paths, flags));
}

/** @throws SignetError usage, io */
async function runLog(paths: readonly string[], options: LogOptions): Promise<void> {
  checkOneForm(options);
  const asksForKey = options.key !== undefined || options.recoveryKey.length > 0;
  if (options.algorithm !== undefined && asksForKey) {
    throw new SignetError("usage", "--algorithm excludes --key and --recovery-key");
  }
  if (options.algorithm !== undefined || asksForKey) {
    await logOfKey(paths, options);
    return;
  }
  const [path, ...others] = paths;
  if (path === undefined || others.length > 0) {
    throw new SignetError("usage", "name one file, or a key with --key");
  }
  await logOfFile(path, options);
}

async function logOfFile(path: string, { format, html }: LogOptions): Promise<void> {
  const top = needWorkTree();
  const shallow = isShallow(top);
  if (shallow)
    warn("this clone is shallow, so older changes are missing: run `git fetch --unshallow`");
  const followed = historyOfFile(slashed(relative(top, resolve(path))), top);
  const texts = textsIn(followed, top);
  const entries = followed.flatMap((commit): LogEntry[] => {
    const changes = commit.changes.flatMap((change) => itemChanges(change, texts));
    const { id, author, date, subject } = commit;
    return changes.length === 0 ? [] : [{ commit: id, author, date, subject, changes }];
  });
  if (entries.length === 0 && !["json", "yaml"].includes(format)) {
    throw new SignetError("usage", "no sealed values of this file found in Git's history", {
      place: { file: path },
    });
  }
  if (html !== undefined) {
    await writeReport(html, reportOfFile(path, entries, shallow), new Date());
    return;
  }
  await printFacts(format, {
    value: { file: path, entries },
    lines: () => entryLines(entries, 12),
    wide: () => entryLines(entries, Infinity),
    names: () => entries.map(({ commit }) => commit),
  });
}

/** `shown`: how many characters of a commit's id to print. */
function entryLines(entries: readonly LogEntry[], shown: number): Line[] {
  const named = new Set(entries.flatMap(({ changes }) => changes.map(({ name }) => name)));
  const blocks = entries.map(({ commit, author, date, subject, changes }): Line[] => {
    const lines = changes.map((change): Line => {
      const where = named.size > 1 ? `${change.name}: ` : "";
      return [`  ${where}`, styledChange(formatItemChange(change))];
    });
    const id = styled(commit.slice(0, shown), "yellow");
    return [[`${date}  `, id, `  ${author}`], `  "${subject}"`, ...lines];
  });
  return blocks.flatMap((block, index) => (index === 0 ? block : ["", ...block]));
}

/** What changed in each item; for a merge, only changes that neither side has. */
function itemChanges(
  { before, after }: Change,
  texts: ReadonlyMap<string, SealedText[]>,
): ItemChange[] {
  const now = sealedAt(texts, after);
  const [first = [], ...others] = before.map((id) => changesBetween(sealedAt(texts, id), now));
  return first.filter(({ name, item }) =>
    others.every((changes) => changes.some((each) => each.name === name && each.item === item)),
  );
}

function textsIn(commits: readonly CommitChanges[], top: string): Map<string, SealedText[]> {
  const ids = commits.flatMap(({ changes }) =>
    changes.flatMap(({ before, after }) => [...before, after].filter((id) => id !== null)),
  );
  const texts = readBlobs(ids, top);
  return new Map([...texts].map(([id, text]) => [id, text === null ? [] : sealedTextsIn(text)]));
}

function sealedAt(texts: ReadonlyMap<string, SealedText[]>, id: string | null): SealedText[] {
  return id === null ? [] : (texts.get(id) ?? []);
}
