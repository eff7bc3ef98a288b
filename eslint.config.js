import directions from "./build/directions.mjs";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist/", "dist.*/", "node_modules/"] },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_" },
      ],
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "@typescript-eslint/no-unnecessary-condition": [
        "error",
        { allowConstantLoopConditions: "only-allowed-literals" },
      ],
    },
  },
  {
    files: ["{shared,host,cli,controller,library,page}/**/*.ts"],
    plugins: { house: directions },
    rules: {
      "house/direction": "error",
      "max-lines-per-function": ["error", 80],
    },
  },
  {
    files: ["shared/**/*.ts"],
    rules: {
      "no-restricted-globals": [
        "error",
        { name: "process", message: "shared/ knows no process" },
        { name: "fetch", message: "shared/ knows no network" },
        { name: "setTimeout", message: "shared/ knows no clock" },
      ],
    },
  },
);
