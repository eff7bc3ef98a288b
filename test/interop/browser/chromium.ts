// A Chromium without a window, and one page in it: what it is asked, what it answers, what it asks
// of the network. Over DevTools' own pipe: one JSON message, one zero byte.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { PATIENCE_MS } from "../../cluster/program.ts";
import { partPath } from "../../parts/parts.ts";
import type { Page } from "./page.ts";

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: {
    request?: { url: string };
    exceptionDetails?: Thrown;
    entry?: { text: string };
  };
  readonly result?: Record<string, unknown>;
  readonly error?: { message: string };
}

interface Thrown {
  readonly text: string;
  readonly exception?: { description?: string };
}

export interface DevToolsPage extends Page {
  /** A call of DevTools for the page, such as of `Emulation` or `DOM`. */
  call: (method: string, params?: object) => Promise<Record<string, unknown>>;
}

export async function startChromium(): Promise<DevToolsPage> {
  const home = mkdtempSync(join(tmpdir(), "signet-chromium-"));
  const options = ["--headless", "--no-sandbox", "--remote-debugging-pipe"];
  const command = [partPath("chromium"), ...options, `--user-data-dir=${home}`];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
    env: { PATH: process.env["PATH"], HOME: home },
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
  });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = new Promise<void>((done) => child.once("close", done).once("error", done));
  const [toBrowser, fromBrowser] = child.stdio.slice(3) as unknown as [Writable, Readable];
  const waiting = new Map<number, (message: Message) => void>();
  const requests: string[] = [];
  const complaints: string[] = [];

  function take({ id, ...message }: Message): void {
    if (id !== undefined) waiting.get(id)?.(message);
    const { method, params } = message;
    if (method === "Network.requestWillBeSent") requests.push(params?.request?.url ?? "");
    if (method === "Log.entryAdded") complaints.push(params?.entry?.text ?? "");
    if (method === "Runtime.exceptionThrown") complaints.push(words(params?.exceptionDetails));
  }
  let rest = "";
  fromBrowser.setEncoding("utf8").on("data", (text: string) => {
    const messages = `${rest}${text}`.split("\0");
    rest = messages.pop() ?? "";
    for (const message of messages) take(JSON.parse(message) as Message);
  });
  toBrowser.on("error", () => undefined);

  let count = 0;
  async function send(method: string, params = {}, sessionId?: string): Promise<unknown> {
    const id = ++count;
    const { result, error } = await new Promise<Message>((done, fail) => {
      const late = (): void => {
        fail(new Error(`Chromium does not answer ${method}; it said: ${said}`));
      };
      const timer = setTimeout(late, PATIENCE_MS);
      void ended.then(late);
      waiting.set(id, (message) => {
        clearTimeout(timer);
        done(message);
      });
      toBrowser.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  const blank = { url: "about:blank" };
  const { targetId } = (await send("Target.createTarget", blank)) as { targetId: string };
  const attach = { targetId, flatten: true };
  const { sessionId } = (await send("Target.attachToTarget", attach)) as { sessionId: string };
  for (const domain of ["Network", "Runtime", "Log"]) await send(`${domain}.enable`, {}, sessionId);

  async function ask(expression: string): Promise<unknown> {
    const how = { awaitPromise: true, returnByValue: true, allowUnsafeEvalBlockedByCSP: false };
    const { result, exceptionDetails } = (await send(
      "Runtime.evaluate",
      { expression, ...how },
      sessionId,
    )) as { result: { value?: unknown }; exceptionDetails?: Thrown };
    if (exceptionDetails !== undefined) throw new Error(words(exceptionDetails));
    return result.value;
  }

  return {
    async open(url) {
      requests.length = 0;
      complaints.length = 0;
      await send("Page.navigate", { url }, sessionId);
      await ask("document.readyState === 'complete' || new Promise((done) => (onload = done))");
    },
    ask,
    call: async (method, params = {}) =>
      (await send(method, params, sessionId)) as Record<string, unknown>,
    requests,
    complaints,
    async close() {
      child.kill("SIGKILL");
      await ended;
      // The processes of its pages end a moment after it.
      rmSync(home, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

function words(thrown: Thrown | undefined): string {
  return thrown?.exception?.description ?? thrown?.text ?? "";
}
