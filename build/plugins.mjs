// esbuild plugins that omit code which a bundle would include but never run.

/** Commander imports it to run subcommands as separate programs, which Signet does not have. */
export const withoutChildProcess = {
  name: "without-child-process",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      importer.includes("/commander/") ? { path: "none", namespace: "none" } : undefined,
    );
    onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "module.exports = {}" }));
  },
};

/**
 * The Kubernetes library does not declare that its modules have no side effects, though they have
 * none. Declaring it here drops unused code, the classes of every API object, from the bundle. That
 * saves half of its size and 10 MB of the controller's memory.
 */
export const withoutUnusedKubernetes = {
  name: "without-unused-kubernetes",
  setup({ onResolve, resolve: resolvePath }) {
    onResolve({ filter: /^(@kubernetes\/client-node$|\.)/ }, async (request) => {
      const { path, importer, pluginData, ...rest } = request;
      const isOurs = path.startsWith(".") && !importer.includes("/@kubernetes/client-node/");
      if (isOurs || pluginData?.resolved === true) return undefined;
      const found = await resolvePath(path, { ...rest, importer, pluginData: { resolved: true } });
      return { ...found, sideEffects: false };
    });
  },
};
