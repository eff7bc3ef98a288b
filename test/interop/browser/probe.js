// Owns: what a page does with the package's files as they are, for the test to ask about.
// Does not own: what must come out of it (test/interop/browser.test.ts).
import * as signet from "./dist/browser.mjs";

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
const itemsOf = (values) =>
  new Map(Object.entries(values).map(([name, base64]) => [name, bytesOf(base64)]));
const inform = ({ name, code, message, hint }) => ({ name, code, message, hint });

globalThis.probe = {
  offers: () => Object.keys(signet),

  async certificate(pem) {
    try {
      const { spki, notBefore, notAfter, ...rest } = await signet.parseCertificate(pem);
      return { ...rest, spki: [...spki], notBefore: Number(notBefore), notAfter: Number(notAfter) };
    } catch (error) {
      return { ...inform(error), ours: error instanceof signet.SignetError };
    }
  },

  /** A manifest; more items, which are merged; items that are put in place of others. */
  async seal(pem, manifest, { scope, more = {}, set = {} }) {
    const certificate = await signet.parseCertificate(pem);
    const [document] = signet.parseManifests(manifest);
    const secret = signet.parseSecret(signet.objectsOf(document)[0]);
    const update = await signet.seal({ ...secret, data: itemsOf(more) }, certificate, scope);
    const sealed = signet.merge(await signet.seal(secret, certificate, scope), update);
    const changed = await signet.changeItems(sealed, { set: itemsOf(set) }, certificate);
    const text = signet.formatManifests([signet.formatSealedSecret(changed)], "yaml");
    signet.parseSealedSecret(signet.objectsOf(signet.parseManifests(text)[0])[0]);
    return text;
  },

  refusal(manifest) {
    try {
      return signet.parseSecret(signet.objectsOf(signet.parseManifests(manifest)[0])[0]);
    } catch (error) {
      return inform(error);
    }
  },

  /** What this page's policy forbids. */
  async escape() {
    const tries = {
      connection: () => fetch("http://127.0.0.1:1/elsewhere"),
      code: () => new Function("return 1")(),
    };
    const done = [];
    for (const [name, attempt] of Object.entries(tries)) {
      try {
        await attempt();
        done.push(name);
      } catch {}
    }
    return done;
  },
};
