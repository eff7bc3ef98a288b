// Parts of a value that a tool replaces later: variables, templates' actions, references.

/** What Helm, Jinja, ERB, envsubst, Argo CD's plugin for Vault, ytt and similar tools replace. */
const HOLES = [
  ["{{", "}}"],
  ["{%", "%}"],
  ["<%", "%>"],
  ["${", "}"],
  ["<path:", ">"],
  ["(@", "@)"],
] as const;

/** A variable of Kubernetes, of Azure Pipelines, or of Tekton. */
const VARIABLE = /\$\([A-Za-z0-9_.-]+(?:\[[^\]\s()]{0,64}\])?\)/y;
/** What the output of a command replaces. */
const COMMAND = /\$\((?:[^()]|\([^()]*\))+\)/y;
/** A variable of the shell, as a word of its own: a password may have a dollar in it. */
const SHELL =
  /(?<=^|[\s"'/:@=,;])\$(?!ANSIBLE_VAULT;)(?:[A-Z][A-Z0-9]{0,63}_[A-Z0-9_]{0,64}|[A-Z]{4,64})(?=$|[\s"'/:@=,;?&.])/y;
/** What scripts replace by its name: `__NAME__`, `@NAME@`, `%NAME%`, `#{Name}#`. */
const NAMED = {
  _: /(?<![A-Za-z0-9])__[A-Z](?:[A-Z0-9]|_(?!_)){1,63}__(?![A-Za-z0-9])/y,
  "@": /(?<![A-Za-z0-9])@@?[A-Z][A-Z0-9_]{2,63}@@?(?![A-Za-z0-9])/y,
  "%": /(?<![A-Za-z0-9%])%%?[A-Z][A-Z0-9_]{2,63}%%?(?![A-Za-z0-9%])/y,
  "#": /#\{[A-Za-z_][\w.-]{0,99}\}#?/y,
} as const;
/** A variable of Concourse. */
const DOUBLE = /\(\([\w./:-]{1,99}\)\)/y;
/** A reference of vals within an address, which ends with a plus sign. */
const REFERENCE = /(?<![A-Za-z0-9])(?:secret)?ref\+(?!echo:)[a-z0-9]{1,40}:\/\/[^\s+]{1,256}\+/y;
/** A name that the plugin for Vault replaces, within an address. */
const ANGLED = /(?<=[:/@=])<[A-Za-z][\w.-]{0,63}(?: *\| *\w{1,32})?>/y;

/** The forms that may begin with a character, for a text. */
function formsFor(text: string): Readonly<Record<string, readonly RegExp[]>> {
  const isLine = !text.includes("\n");
  // A script's own variables are no holes.
  const isScript = text.startsWith("#!");
  // XML tags are not names.
  const isAddress = isLine && !text.includes("</") && /:\/\/|[=;]/.test(text);
  return {
    $: [VARIABLE, ...(isLine ? [COMMAND] : []), ...(isScript ? [] : [SHELL])],
    _: [NAMED._],
    "@": [NAMED["@"]],
    "%": [NAMED["%"]],
    "#": [NAMED["#"]],
    r: [REFERENCE],
    s: [REFERENCE],
    "(": isLine ? [DOUBLE] : [],
    "<": isAddress ? [ANGLED] : [],
  };
}

/**
 * `indexOf` for calls with ascending offsets: each looks only where none looked before, so that all
 * together take one pass.
 */
function ascendingIndexOf(text: string, wanted: string): (from: number) => number {
  let found = text.indexOf(wanted);
  return (from) => {
    if (found !== -1 && found < from) found = text.indexOf(wanted, from);
    return found;
  };
}

/** The text with NUL in place of each hole. */
export function withoutHoles(text: string): string {
  const kinds = HOLES.map(([open, close]) => ({
    open,
    close,
    closeFrom: ascendingIndexOf(text, close),
  }));
  const keyFrom = ascendingIndexOf(text, "#");
  const forms = formsFor(text);
  let rest = "";
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    let end = -1;
    for (const { open, close, closeFrom } of kinds) {
      if (end !== -1 || !text.startsWith(open, at)) continue;
      const closed = closeFrom(at + open.length);
      // A path of the plugin for Vault names a key.
      const isHole = open !== "<path:" || (keyFrom(at) !== -1 && keyFrom(at) < closed);
      if (closed !== -1 && isHole) end = closed + close.length;
    }
    for (const form of end === -1 ? (forms[text[at] ?? ""] ?? []) : []) {
      form.lastIndex = at;
      if (end === -1 && form.test(text)) end = form.lastIndex;
    }
    if (end === -1) continue;
    rest += `${text.slice(copied, at)}\0`;
    copied = end;
    at = end - 1;
  }
  return rest + text.slice(copied);
}
