// Opens the wrapped sealing keys of key Secrets through the key service, and keeps them open in memory.
// SPEC.md, "Wrapped keys".

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { SignetError } from "../shared/errors.ts";
import type { KeyService } from "../shared/keys/keyservice.ts";
import { openWrappedKey, readWrappedKey, type WrappedKey } from "../shared/keys/wrappedkey.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";
import { Gate } from "./gate.ts";
import type { Log } from "./log.ts";

interface WrappedKeysWiring {
  /** Null if the controller has no key service. */
  readonly service: KeyService | null;
  readonly log: Log;
  /** Called after a key was opened or refused. */
  readonly onChange: () => void;
}

/** Why a key is not open. */
export interface Waiting {
  /**
   * `service`: it cannot answer now. `settings`: the controller is configured for a different
   * service, or for none.
   */
  readonly for: "service" | "settings";
  readonly reason: string;
}

/**
 * - `pem`: the text of the `tls.key`.
 * - `waiting`: it may be opened later.
 * - `refused`: it cannot be opened, although the service works.
 */
type Opening =
  { readonly pem: string } | { readonly waiting: Waiting } | { readonly refused: string };

interface Entry {
  readonly namespace: string;
  readonly name: string;
  readonly wrapped: WrappedKey;
  opening: Opening;
}

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 15_000;
/** A key may have been refused because of the service's settings. */
const REFUSED_RETRY_MS = 300_000;
/** How often to check that the service still works, because a restarted controller needs it. */
const PROBE_MS = 300_000;

/** Bounded, because anyone who may write Secrets here can create many that must be tried. */
const MAX_CALLS = 4;

/** All wrapped keys that were found, opened or not. */
export class WrappedKeys {
  readonly #wiring: WrappedKeysWiring;
  /** By the Secret's namespace, name and wrapped key. */
  readonly #entries = new Map<string, Entry>();
  readonly #calls = new Gate(MAX_CALLS, Infinity, () => performance.now());
  #signal = new AbortController().signal;
  #toldAway = false;

  constructor(wiring: WrappedKeysWiring) {
    this.#wiring = wiring;
  }

  /** Work in the background ends when `signal` aborts. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    if (this.#wiring.service !== null) void this.#probeForever(this.#wiring.service);
  }

  /**
   * Returns what is known about the key in a Secret. The first call for a key starts to open it.
   * @throws SignetError key-invalid if the wrapped key is damaged
   */
  look(secret: Secret): Opening & { readonly wrapped: WrappedKey } {
    const id = idOf(secret);
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      const wrapped = readWrappedKey(secret);
      const { namespace, name } = secret.metadata;
      entry = { namespace, name, wrapped, opening: this.#expected(wrapped) };
      this.#entries.set(id, entry);
      if ("waiting" in entry.opening && entry.opening.waiting.for === "service")
        void this.#open(id, entry);
    }
    return { ...entry.opening, wrapped: entry.wrapped };
  }

  /** Records a key that this process wrapped itself, and that is therefore open. */
  remember(secret: Secret, pem: string): void {
    const { namespace, name } = secret.metadata;
    const opening = { pem };
    this.#entries.set(idOf(secret), { namespace, name, wrapped: readWrappedKey(secret), opening });
  }

  /** Forgets all keys but those of these Secrets. */
  keepOnly(secrets: readonly Secret[]): void {
    const ids = new Set(secrets.map(idOf));
    for (const id of this.#entries.keys()) if (!ids.has(id)) this.#entries.delete(id);
  }

  #expected({ provider }: WrappedKey): Opening {
    const { service } = this.#wiring;
    if (service?.provider === provider) return awaiting("service", "not tried yet");
    const has = service === null ? "no --kms-provider" : `--kms-provider ${service.provider}`;
    return awaiting("settings", `wrapped by ${provider}, but this controller has ${has}`);
  }

  /** Retries until the key is open or no longer needed. */
  async #open(id: string, entry: Entry): Promise<void> {
    for (let delayMs = RETRY_MIN_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MAX_MS)) {
      const opening = await this.#calls.run({ address: "", client: "" }, () =>
        this.#tryToOpen(entry),
      );
      if (this.#signal.aborted || this.#entries.get(id) !== entry) return;
      const before = entry.opening;
      entry.opening = opening;
      if ("pem" in opening) {
        this.#wiring.onChange();
        return;
      }
      if ("refused" in opening && !("refused" in before)) {
        const { refused: error } = opening;
        this.#tell("wrapped sealing key cannot be opened, skipped", entry, error);
        this.#wiring.onChange();
      }
      if ("waiting" in opening) this.#tellAway(entry, opening.waiting.reason);
      const waitMs = "refused" in opening ? REFUSED_RETRY_MS : delayMs * (0.5 + Math.random());
      await sleep(waitMs, undefined, { signal: this.#signal, ref: false }).catch(() => undefined);
      if (this.#entries.get(id) !== entry) return;
    }
  }

  async #tryToOpen({ wrapped, namespace, name }: Entry): Promise<Opening> {
    const { service } = this.#wiring;
    if (service === null) return this.#expected(wrapped);
    const { fingerprint } = wrapped;
    try {
      const pem = await openWrappedKey(wrapped, { namespace, name, fingerprint }, service);
      this.#toldAway = false;
      return { pem };
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      if (error.code === "network") return awaiting("service", error.message);
      // A misconfigured service refuses every key, so check whether the fault lies with this one.
      const fault = await faultOf(service);
      if (fault !== null) return awaiting("service", fault);
      return { refused: error.message };
    }
  }

  /** Logs once that the service is unavailable, and again only after it has recovered. */
  #tellAway(entry: Entry, reason: string): void {
    if (this.#toldAway) return;
    this.#toldAway = true;
    this.#tell("wrapped sealing keys are waiting for the key service, retrying", entry, reason);
  }

  #tell(
    message: string,
    { namespace, name, wrapped: { fingerprint } }: Entry,
    error: string,
  ): void {
    this.#wiring.log.error(message, { secret: `${namespace}/${name}`, fingerprint, error });
  }

  async #probeForever(service: KeyService): Promise<void> {
    const { log } = this.#wiring;
    let before: string | null = null;
    while (!this.#signal.aborted) {
      const fault = await faultOf(service);
      if (fault !== null) {
        log.warn("key service is not working: a restarted controller would not become ready", {
          error: fault,
        });
      } else if (before !== null)
        log.info("key service works again", { service: service.describe() });
      before = fault;
      await sleep(PROBE_MS, undefined, { signal: this.#signal, ref: false }).catch(() => undefined);
    }
  }
}

function awaiting(what: Waiting["for"], reason: string): Opening {
  return { waiting: { for: what, reason } };
}

/** Names in Kubernetes cannot contain the separator, and the text is not decoded. */
function idOf({ metadata: { namespace, name }, data }: Secret): string {
  const text = Buffer.from(data.get("tls.key.wrapped") ?? []).toString("latin1");
  return `${namespace}/${name}\0${text}`;
}

const PROBE_CONTEXT = { namespace: "probe", name: "probe", fingerprint: "probe" };

/** Lets the service wrap and unwrap something. Returns why that fails, or null if it works. */
export async function faultOf(service: KeyService): Promise<string | null> {
  const dataKey = randomBytes(32);
  try {
    const wrapped = await service.wrap(dataKey, PROBE_CONTEXT);
    const again = await service.unwrap(wrapped, PROBE_CONTEXT);
    return dataKey.equals(again) ? null : `${service.describe()} does not return what it was given`;
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    return error.message;
  }
}
