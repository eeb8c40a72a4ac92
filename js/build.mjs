// Bundles the page module, or (with --tests) compiles the tests, or (with --dev) the page with made-up data.
import { build } from "esbuild";
import { readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const shared = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2020",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  loader: { ".css": "text" },
  plugins: [
    {
      // The style sheet travels inside the bundle as a string: minify it as CSS before it becomes one.
      name: "minified-css-text",
      setup(b) {
        b.onLoad({ filter: /\.css$/ }, async ({ path }) => {
          const out = await build({ entryPoints: [path], minify: true, write: false, target: "es2020", loader: { ".css": "css" } });
          return { contents: out.outputFiles[0].text.trim(), loader: "text" };
        });
      },
    },
  ],
};

if (process.argv.includes("--tests")) {
  rmSync(join(here, ".test-build"), { recursive: true, force: true });
  const tests = readdirSync(join(here, "test")).filter((name) => name.endsWith(".test.ts"));
  await build({ ...shared, entryPoints: tests.map((name) => `test/${name}`), outdir: ".test-build", platform: "node", outExtension: { ".js": ".mjs" } });
} else if (process.argv.includes("--dev")) {
  await build({ ...shared, entryPoints: ["dev/page.ts"], outfile: "dev/out/page.js" });
} else {
  const outfile = join(here, "../causal_widget/static/widget.js");
  await build({ ...shared, entryPoints: ["src/index.ts"], outfile, minify: true });
  console.log(`widget.js: ${(statSync(outfile).size / 1024).toFixed(1)} KB`);
}
