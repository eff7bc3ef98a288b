import { defineConfig } from "vitest/config";

// Three suites, so that a machine without Go can say what it did not run: unit needs Node alone,
// interop needs the programs that Go builds, cluster needs an API server as well.
export default defineConfig({
  define: { __VERSION__: JSON.stringify("0.0.0-test"), __COMMIT__: JSON.stringify("") },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/{shared,cli,controller,scenarios}/**/*.test.ts"],
          testTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: { name: "interop", include: ["test/interop/**/*.test.ts"], testTimeout: 60_000 },
      },
      {
        extends: true,
        test: {
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
