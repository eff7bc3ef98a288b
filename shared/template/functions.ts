// Lists the functions that a template may call, and explains why others are refused.
import { BUILTIN_FUNCTIONS } from "./builtinfunctions.ts";
import { DATE_FUNCTIONS } from "./datefunctions.ts";
import { ENCODING_FUNCTIONS } from "./encodingfunctions.ts";
import { SourceFault } from "./lexer.ts";
import { LIST_FUNCTIONS } from "./listfunctions.ts";
import { MATH_FUNCTIONS } from "./mathfunctions.ts";
import { PATH_FUNCTIONS } from "./pathfunctions.ts";
import { REGEX_FUNCTIONS } from "./regexfunctions.ts";
import { SEMVER_FUNCTIONS } from "./semver.ts";
import { type Builtin, fn } from "./signature.ts";
import { TEXT_FUNCTIONS } from "./textfunctions.ts";
import { URL_FUNCTIONS } from "./urlfunctions.ts";
import { Fault } from "./value.ts";

const fail = fn(["string"], () => {
  // The template's author chooses the message, but it may contain values.
  throw new Fault("the template called fail");
});

/** Every function by name. It is a Map so that no name resolves to a prototype's property. */
export const FUNCTIONS: ReadonlyMap<string, Builtin> = new Map(
  Object.entries({
    ...BUILTIN_FUNCTIONS,
    ...TEXT_FUNCTIONS,
    ...PATH_FUNCTIONS,
    ...LIST_FUNCTIONS,
    ...MATH_FUNCTIONS,
    ...ENCODING_FUNCTIONS,
    ...REGEX_FUNCTIONS,
    ...SEMVER_FUNCTIONS,
    ...URL_FUNCTIONS,
    ...DATE_FUNCTIONS,
    fail,
  }),
);

const UNREPEATABLE = "it would produce a different Secret at every reconcile";
const EXPENSIVE = "it takes too much time for a template that runs at every reconcile";
const UNSUPPORTED = "it is not supported";

/**
 * Sprig's functions that templates may not call, each with the reason.
 * @internal for its test
 */
export const REFUSED_FUNCTIONS: ReadonlyMap<string, string> = new Map([
  ...[
    "ago",
    "bcrypt",
    "encryptAES",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "htpasswd",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "shuffle",
    "uuidv4",
  ].map((name) => [name, UNREPEATABLE] as const),
  ["derivePassword", EXPENSIVE],
  ["buildCustomCert", UNSUPPORTED],
]);

/** @throws SourceFault for a function that a template cannot call */
export function checkFunction(name: string, line: number): void {
  const reason = REFUSED_FUNCTIONS.get(name);
  if (reason !== undefined) {
    throw new SourceFault(`function "${name}" is not allowed: ${reason}`, line);
  }
  if (!FUNCTIONS.has(name)) throw new SourceFault(`function "${name}" not defined`, line);
}
