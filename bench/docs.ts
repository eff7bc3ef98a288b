// `npm run bench:docs`: writes the tables of docs/benchmarks.md from the results in bench/results.
import { readFileSync, writeFileSync } from "node:fs";
import { keptResults, PAGE, withResults } from "./results.ts";

const before = readFileSync(PAGE, "utf8");
const after = withResults(before, keptResults());
if (after !== before) writeFileSync(PAGE, after);
process.stdout.write(after === before ? `${PAGE}: nothing to change\n` : `${PAGE}: written\n`);
