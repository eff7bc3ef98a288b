// A Firefox without a window, and one page in it, by WebDriver BiDi: Firefox's own protocol, one JSON
// message in one of a WebSocket.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { PATIENCE_MS, startProgram, untilReady } from "../../cluster/program.ts";
import { partPath } from "../../parts/parts.ts";
import type { Page } from "./page.ts";

interface Message {
  readonly id?: number;
  readonly type: "success" | "error" | "event";
  readonly method?: string;
  readonly message?: string;
  readonly params?: {
    request?: { url: string };
    text?: string;
  };
  readonly result?: unknown;
}

/** A page with the mouse and the keyboard of a person. Without a window, no key presses a button. */
export interface HandledPage extends Page {
  /** Clicks into the middle of an element. */
  press: (selector: string) => Promise<void>;
  /** Presses and releases the key of each character, in what has the focus. */
  type: (text: string) => Promise<void>;
}

export async function startFirefox(): Promise<HandledPage> {
  const home = mkdtempSync(join(tmpdir(), "signet-firefox-"));
  const options = ["--headless", "--no-remote", "--remote-debugging-port=0", "--profile", home];
  const program = startProgram([partPath("firefox"), ...options], {
    env: { PATH: process.env["PATH"], HOME: home },
  });
  let address = "";
  await untilReady("Firefox", program, () => {
    address = /BiDi listening on (ws:\S+)/.exec(program.logs())?.[1] ?? "";
    return Promise.resolve(address !== "");
  });
  const socket = new WebSocket(`${address}/session`);
  const closed = new Promise<void>((done) => socket.once("close", done));
  await new Promise((done, fail) => socket.once("open", done).once("error", fail));
  const waiting = new Map<number, (message: Message) => void>();
  const requests: string[] = [];
  const complaints: string[] = [];

  socket.on("message", (data: Buffer) => {
    const { id, ...message } = JSON.parse(data.toString()) as Message;
    if (typeof id === "number") waiting.get(id)?.(message);
    const { method, params } = message;
    const url = params?.request?.url ?? "data:";
    // What is at such an address is in the address.
    if (method === "network.beforeRequestSent" && !url.startsWith("data:")) requests.push(url);
    if (method === "log.entryAdded") complaints.push(params?.text ?? "");
  });

  let count = 0;
  async function send(method: string, params = {}): Promise<Record<string, unknown>> {
    const id = ++count;
    const answer = await new Promise<Message>((done, fail) => {
      const late = (): void => {
        fail(new Error(`Firefox does not answer ${method}; it said: ${program.logs()}`));
      };
      const timer = setTimeout(late, PATIENCE_MS);
      void closed.then(late);
      waiting.set(id, (message) => {
        clearTimeout(timer);
        done(message);
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
    if (answer.type === "error") throw new Error(`${method}: ${answer.message ?? ""}`);
    return answer.result as Record<string, unknown>;
  }

  await send("session.new", { capabilities: {} });
  await send("session.subscribe", { events: ["network.beforeRequestSent", "log.entryAdded"] });
  const { contexts } = (await send("browsingContext.getTree")) as {
    contexts: { context: string }[];
  };
  const [{ context } = { context: "" }] = contexts;

  async function ask(expression: string): Promise<unknown> {
    const { type, result, exceptionDetails } = (await send("script.evaluate", {
      expression: `Promise.resolve(${expression}).then((value) => JSON.stringify([value]))`,
      target: { context },
      awaitPromise: true,
    })) as { type: string; result?: { value: string }; exceptionDetails?: { text: string } };
    if (type !== "success") throw new Error(exceptionDetails?.text);
    return (JSON.parse(result?.value ?? "[]") as unknown[])[0];
  }

  async function act(type: "key" | "pointer", actions: readonly object[]): Promise<void> {
    await send("input.performActions", { context, actions: [{ type, id: type, actions }] });
  }

  return {
    async open(url) {
      requests.length = 0;
      complaints.length = 0;
      await send("browsingContext.navigate", { context, url, wait: "complete" });
    },
    ask,
    async press(selector) {
      const [x, y] = (await ask(`(() => {
        const element = document.querySelector(${JSON.stringify(selector)});
        element.scrollIntoView({ block: "center", behavior: "instant" });
        const { left, top, width, height } = element.getBoundingClientRect();
        return [left + width / 2, top + height / 2].map(Math.round);
      })()`)) as [number, number];
      await act("pointer", [
        { type: "pointerMove", x, y },
        { type: "pointerDown", button: 0 },
        { type: "pointerUp", button: 0 },
      ]);
    },
    async type(text) {
      const keys = Array.from(text).flatMap((value) =>
        ["keyDown", "keyUp"].map((type) => ({ type, value })),
      );
      await act("key", keys);
    },
    requests,
    complaints,
    async close() {
      socket.terminate();
      await program.stop("SIGKILL");
      rmSync(home, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}
