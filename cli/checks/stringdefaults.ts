// Placeholders with a default, such as `${PW:-text}` or `{{ .Values.pw | default "text" }}`: the default is the value.

import { replaceActions } from "./actions.ts";
import { literalOf } from "./actiontexts.ts";

/** A variable of the shell, envsubst or Flux. One that is set to another variable has no default. */
const VARIABLE = /\$\{[A-Za-z_][A-Za-z0-9_]*:?[-=]([^${}]+)\}/g;
/** Of Spring, whose default follows a colon alone; digits may belong to a shell variable. */
const PROPERTY =
  /\$\{(?:[A-Z][A-Z0-9_]*|[a-z]\w*(?:\.[\w-]+)+):((?![0-9:]+\})[^-=?+${}\s][^${}]*)\}/g;
const EXPRESSION = /\$\{([^{}]*)\}/g;
/** A text that an expression of Terraform or Garden encodes, falls back to, or chooses. */
const CHOSEN =
  /(?:\b(?:base64encode|sensitive|nonsensitive|coalesce|try)\([^"'()]{0,200}|\s[?:] *|\|\| *)(?:"([^"$%]+)"|'([^'$%]+)')/;
/** Of ERB, on one line. */
const RUBY = /<%=((?:(?!%>).){0,300})%>/g;
/** What Ruby falls back to. */
const RUBY_FALLBACK = /(?:\bfetch\( *["'][^"']{0,100}["'] *, *|\|\| *)(?:"([^"#]+)"|'([^']+)')/;
const COMMAND = /\$\(((?:[^()]|\([^()]*\))*)\)/g;
/** What a command is given to print or to encode. */
const PRINTED = /(?:\b(?:echo|printf)\b(?:\s+-\w+)*\s|<<<)\s*((?:"[^"]*"|'[^']*'|[^|;&<>"'])+)/;

/** The text with its default in place of each placeholder that has one, unless `isHarmless` lets it go. */
export function withDefaults(text: string, isHarmless: (value: string) => boolean): string {
  const instead = (hole: string, value: string | undefined): string =>
    value === undefined || value.trim() === "" || isHarmless(value) ? hole : value;
  const withoutOthers = text
    .replace(COMMAND, (hole: string, inside: string) => instead(hole, printed(inside)))
    .replace(VARIABLE, (hole: string, value: string) =>
      instead(hole, value.replace(/^["']|["']$/g, "")),
    )
    .replace(PROPERTY, (hole: string, value: string) => instead(hole, value))
    .replace(EXPRESSION, (hole: string, inside: string) => instead(hole, chosen(inside, CHOSEN)))
    .replace(RUBY, (hole: string, inside: string) => instead(hole, chosen(inside, RUBY_FALLBACK)));
  return replaceActions(withoutOthers, (action) => instead(action, literalOf(action)));
}

function chosen(expression: string, form: RegExp): string | undefined {
  const [, double, single] = form.exec(expression) ?? [];
  return double ?? single;
}

/** What a command prints, without quotes and without the marks of a format. */
function printed(command: string): string | undefined {
  return PRINTED.exec(command)?.[1]
    ?.replace(/["']|%[sb]|\\n/g, "")
    .trim();
}
