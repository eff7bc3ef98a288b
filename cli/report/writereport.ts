// Writes a report to the file that a person named.

import { writeFiles } from "../../host/writefiles.ts";
import { say } from "../terminal/messages.ts";
import { htmlReport, type Report } from "./htmlreport.ts";

/** @throws SignetError io */
export async function writeReport(file: string, report: Report, now: Date): Promise<void> {
  await writeFiles([{ path: file, root: undefined, text: htmlReport(report, now) }]);
  say(`${file}: wrote a report that can be viewed in a browser or printed`);
}
