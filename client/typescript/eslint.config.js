import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["build/", "src/gen/", "node_modules/"] },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Sizes and counts in texts.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/explicit-function-return-type": ["error", { allowExpressions: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "max-lines": ["error", 400],
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: {
      // What node:test returns for a test is for node:test.
      "@typescript-eslint/no-floating-promises": "off",
    },
  },
  {
    files: ["conformance/operations.ts"],
    rules: {
      // Ops are asynchronous, whether there is something to wait for or not.
      "@typescript-eslint/require-await": "off",
    },
  },
);
