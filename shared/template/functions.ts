// Which functions a template may call, and why the others may not be called.
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
  // The text is the template author's, but it may be made of values.
  throw new Fault("the template called fail");
});

/** Every function by name. A Map, so that no name reaches a prototype. */
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

const UNREPEATABLE = "it would give another Secret at every reconcile";
const EXPENSIVE = "it takes too much time for a template that runs at every reconcile";
const UNSUPPORTED = "it is not supported";

/**
 * sprig's functions that are refused, and why.
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
