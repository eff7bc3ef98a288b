// The actions of templates, such as `{{ .Values.x }}` or `{% if x %}`: where they end, and what is in them.

/** What opens an action or a comment, and what closes it. */
const CLOSED_BY: Record<string, string> = { "{{": "}}", "{%": "%}", "{#": "#}" };
/** What may end an action, or a text in it. */
const NOTABLE = /["'`\\}%#]/g;
const GO_COMMENT = /\{\{-?\s*\/\*/y;

/**
 * The place behind the action that begins at `start`, which may have braces in its texts and comments;
 * -1 if it has no end.
 */
function actionEnd(text: string, start: number): number {
  const close = CLOSED_BY[text.slice(start, start + 2)] ?? "";
  GO_COMMENT.lastIndex = start;
  const from = GO_COMMENT.test(text) ? text.indexOf("*/", GO_COMMENT.lastIndex) : start + 2;
  if (from === -1) return -1;
  NOTABLE.lastIndex = from;
  for (let found = NOTABLE.exec(text); found !== null; found = NOTABLE.exec(text)) {
    let at = found.index;
    if (text.startsWith(close, at)) return at + close.length;
    if (found[0] === "\\") {
      at++;
    } else if (/["'`]/.test(found[0]) && close !== "#}") {
      at = stringEnd(text, at);
      if (at === -1) return -1;
    }
    NOTABLE.lastIndex = at + 1;
  }
  return -1;
}

/** The place of the quote that closes the one at `start`; -1 if none does. */
function stringEnd(text: string, start: number): number {
  const quote = text[start];
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === quote) return at;
    if (text[at] === "\\" && quote !== "`") at++;
  }
  return -1;
}

/**
 * The text with something else in place of each action. Where a text or a comment within one has no
 * end, the next braces end it, and so all later ones, so that no part is searched twice.
 */
export function replaceActions(text: string, instead: (action: string) => string): string {
  let result = "";
  let copied = 0;
  let isExact = true;
  const open = text.includes("#}") ? /\{[{%#]/g : /\{[{%]/g;
  for (let found = open.exec(text); found !== null; found = open.exec(text)) {
    const { index } = found;
    let end = isExact ? actionEnd(text, index) : -1;
    if (end === -1) {
      isExact = false;
      const close = text.indexOf(CLOSED_BY[found[0]] ?? "", index + 2);
      if (close === -1) break;
      end = close + 2;
    }
    result += text.slice(copied, index) + instead(text.slice(index, end));
    copied = end;
    open.lastIndex = end;
  }
  return result + text.slice(copied);
}

/** What is within the braces of an action of Helm, Jinja or Go's templates; null for another one. */
export function insideOf(action: string): string | null {
  if (!action.startsWith("{{")) return null;
  return action.slice(2, -2).replace(/^-/, "").replace(/-$/, "").trim();
}
