// Reads a template of YAML or JSON as what it would be with something in place of each action.

import { insideOf, replaceActions } from "./actions.ts";
import { literalOf } from "./actiontexts.ts";
import { isHarmless } from "./placeholders.ts";
import { asObject } from "../../shared/kubernetes/object.ts";
import type { Json, ManifestDocument } from "../../shared/manifest/manifest.ts";

/** A longer one is distinguished from placeholders by its beginning. */
const MAX_LITERAL = 64;
/** Of Helm, and of Jinja. */
const ASSIGNMENT =
  /^(?:\{\{-?\s*(?:(?:else\s+)?with\s+)?(\$\w+)\s*:?=|\{%[-+]?\s*(?:set|with)\s+(\w+)\s*=)/;
/** A variable, or the dot, that is printed, also in another form. */
const USE = /^(?:(?:[a-zA-Z]\w*[\s(]+)*(\$\w+|\.)|(\w+))(?:\)?\s*(?:$|\|))/;
const HAS_VARIABLES = /\{\{-?\s*(?:(?:else\s+)?with\s|\$\w+\s*:?=)|\{%[-+]?\s*(?:set|with)\s/;

/** The text with the values of variables that its own actions set, where these are texts. */
export function withVariables(text: string): string {
  if (!HAS_VARIABLES.test(text)) return text;
  const values = new Map<string, string>();
  replaceActions(text, (action) => {
    const [head = "", ofHelm, ofJinja] = ASSIGNMENT.exec(action) ?? [];
    const name = ofHelm ?? ofJinja;
    const value = name === undefined ? undefined : secretIn(action.slice(head.length, -2));
    if (name !== undefined && value !== undefined) values.set(name, value);
    return "";
  });
  const dot = new Dot();
  return replaceActions(text, (action) => {
    dot.follow(action);
    const [, ofHelm, ofJinja] = USE.exec(insideOf(action) ?? "") ?? [];
    const value = ofHelm === "." ? dot.value : values.get(ofHelm ?? ofJinja ?? "");
    return value === undefined || action.includes("\n") ? action : `{{ ${JSON.stringify(value)} }}`;
  });
}

/** The beginning of the text that an expression gives, unless that is a placeholder. */
function secretIn(expression: string): string | undefined {
  const value = literalOf(`{{${expression}}}`);
  return value === undefined || isHarmless(value, false)
    ? undefined
    : value.replace(/\s+/g, " ").slice(0, MAX_LITERAL);
}

/** The text that the dot of Helm's templates stands for, as far as a `with` says. */
class Dot {
  readonly #open: { readonly word: string; readonly outer: string | undefined }[] = [];
  value: string | undefined;

  follow(action: string): void {
    const inside = insideOf(action) ?? "";
    const [head, otherwise, word = ""] =
      /^(else\s+|else$)?(?:(if|with|range|define|block|end)\b)?/.exec(inside) ?? [];
    if (head === undefined || head === "") return;
    const last = this.#open.at(-1);
    if (otherwise !== undefined) this.value = last?.word === "if" ? this.value : last?.outer;
    else if (word === "end") this.value = this.#open.pop()?.outer;
    else this.#open.push({ word, outer: this.value });
    if (word === "with") {
      this.value = secretIn(inside.slice(head.length).replace(/^\s*\$\w+\s*:=/, ""));
    } else if (word !== "if" && word !== "end" && otherwise === undefined) {
      this.value = undefined;
    }
  }
}

/** A template of ytt with its conditions as those of Jinja; null for any other text. */
export function ofYtt(text: string): string | null {
  if (!/^[ \t]*#@ *if\b(?!\/)/m.test(text)) return null;
  return text.replace(
    /^([ \t]*)#@ *(if|elif|else|end|for|def)\b(?!\/).*$/gm,
    (_, indent: string, word: string) => `${indent}{% ${word === "def" ? "for" : word} %}`,
  );
}

/** The text with the conditions of a template of Copier as those of Jinja. */
export function ofCopier(text: string): string {
  return text.replace(/^([ \t]*)\[(%.*%)\][ \t]*$/gm, "$1{$2}");
}

/** An item of ytt, whose value is an expression with a text: to YAML, a comment. */
const YTT_ITEM = /^([ \t]*(?:- )?["']?[\w.-]+["']?: +)#@ (?=[^\n]*["'])([^\n]*)/gm;

/** The text with such expressions as actions of Jinja. */
export function withYttTexts(text: string): string {
  if (!text.includes("#@")) return text;
  return text.replace(
    YTT_ITEM,
    (_, key: string, value: string) => key + JSON.stringify(`{{ ${value.trim()} }}`),
  );
}

const MARK = "zSgnt";
const MARKED = new RegExp(`${MARK}(\\d+)z`, "g");
const ONLY_MARKS = new RegExp(`^[ \\t]*(?:${MARK}\\d+z[ \\t]*)+\\r?$`);

/** A template in which each action that is not alone on its lines is a word. */
export interface Template {
  readonly actions: readonly string[];
  /** Whether any is outside of comments. */
  readonly hasActions: boolean;
  /** As lines, with empty ones where an action takes several. */
  readonly lines: readonly string[];
}

/** Null where a text has no actions. */
export function templateOf(text: string): Template | null {
  if (text.includes(MARK)) return null;
  const actions: string[] = [];
  const marked = replaceActions(text, (action) => `${MARK}${actions.push(action) - 1}z`);
  if (actions.length === 0) return null;
  const lines = marked.split("\n").flatMap((line) => {
    if (!line.includes(MARK)) return line;
    const ends = marksIn(line).map((mark) => actions[mark]?.match(/\n/g)?.length ?? 0);
    return [line, ...Array<string>(ends.reduce((sum, each) => sum + each, 0)).fill("")];
  });
  const hasActions = lines.some((line) => line.includes(MARK) && !/^\s*#/.test(line));
  return { actions, hasActions, lines };
}

const marksIn = (line: string): number[] =>
  Array.from(line.matchAll(MARKED), ([, mark]) => Number(mark));

/** A line without the actions that are alone on it, unless they print a text that is no placeholder. */
function shown(line: string, actions: readonly string[]): string {
  if (!ONLY_MARKS.test(line)) return line;
  const isText = marksIn(line).some((mark) => {
    const literal = literalOf(actions[mark] ?? "");
    return literal !== undefined && !isHarmless(literal, false);
  });
  return isText ? line : "";
}

/** The template as YAML or JSON, with all branches of its conditions. */
export function wholeText({ lines, actions }: Template): string {
  return lines.map((line) => shown(line, actions)).join("\n");
}

const BEGIN = /^\{[{%]-?\s*(?:if|with|range|for|define|block)\b/;
const ELSE = /^\{[{%]-?\s*(?:else|elif|elsif)\b/;
const END = /^\{[{%]-?\s*end(?:if|for|with|block)?\b/;
const MAX_BRANCH_DEPTH = 8;
const MAX_VARIANTS = 8;

/** A condition, and one of its branches. */
interface Branch {
  readonly condition: { branches: number };
  readonly index: number;
}

/** The branches that each line is in; null where they nest too deeply. */
function branchesOf({ lines, actions }: Template): (readonly Branch[])[] | null {
  let open: readonly Branch[] = [];
  const result: (readonly Branch[])[] = [];
  for (const line of lines) {
    for (const mark of ONLY_MARKS.test(line) ? marksIn(line) : []) {
      const action = actions[mark] ?? "";
      const last = open.at(-1);
      if (BEGIN.test(action)) {
        open = [...open, { condition: { branches: 1 }, index: 0 }];
      } else if (ELSE.test(action) || END.test(action)) {
        // It began in another document.
        if (last === undefined) continue;
        const { condition } = last;
        const next = { condition, index: condition.branches };
        open = ELSE.test(action) ? [...open.slice(0, -1), next] : open.slice(0, -1);
        if (ELSE.test(action)) condition.branches++;
      }
    }
    if (open.length > MAX_BRANCH_DEPTH) return null;
    result.push(open);
  }
  return result;
}

/**
 * The template as texts that have one branch of each condition, as few as have all of them; null where
 * many would be needed, or one has no other branch.
 */
export function branchTexts(template: Template): string[] | null {
  const { lines, actions } = template;
  const branches = branchesOf(template);
  if (branches?.some((own) => own.some(({ index }) => index > 0)) !== true) return null;
  const isCovered = lines.map(() => false);
  const texts: string[] = [];
  for (let variant = 0; variant < MAX_VARIANTS && isCovered.includes(false); variant++) {
    const isIn = (own: readonly Branch[] = []): boolean =>
      own.every(({ condition, index }, at) => (variant >> at) % condition.branches === index);
    const kept = lines.map((_, at) => isIn(branches[at]));
    if (!kept.some((isKept, at) => isKept && isCovered[at] === false)) continue;
    kept.forEach((isKept, at) => (isCovered[at] ||= isKept));
    texts.push(lines.map((line, at) => (kept[at] === true ? shown(line, actions) : "")).join("\n"));
  }
  return !isCovered.includes(false) && texts.length > 1 ? texts : null;
}

/** Names of fields that must not depend on an action, because they decide what is checked. */
const FIELDS =
  /^(?:kind|items|metadata|name|data|stringData|spec|template|secretGenerator|literals)$/;

/**
 * The documents with the template's actions in place of their words; null where an action is part of a
 * kind, or touches the name of a field.
 */
export function withActions(
  documents: readonly ManifestDocument[],
  { actions }: Template,
): ManifestDocument[] | null {
  const unclear: string[] = [];
  const textOf = (text: string): string =>
    text.replace(MARKED, (_, index: string) => actions[Number(index)] ?? "");
  const keyOf = (key: string): string => {
    const rest = key.replace(MARKED, "");
    if (rest !== key && FIELDS.test(rest.trim())) unclear.push(rest);
    return textOf(key);
  };
  const valueOf = (value: Json): Json => {
    if (typeof value === "string") return textOf(value);
    if (Array.isArray(value)) return value.map(valueOf);
    const object = asObject(value);
    if (object === null) return value;
    const { kind } = object;
    if (typeof kind === "string" && kind.includes(MARK)) unclear.push(kind);
    return Object.fromEntries(
      Object.entries(object).map(([key, inner]) => [keyOf(key), valueOf(inner)]),
    );
  };
  const whole = documents.map((document) => ({ ...document, value: valueOf(document.value) }));
  return unclear.length === 0 ? whole : null;
}
