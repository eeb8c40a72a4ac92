// Bundles the page module, or (with --tests) compiles the tests, or (with --dev) the page with made-up data.
import { build } from "esbuild";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync } from "node:zlib";

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

/**
 * The whole module is copied into the saved state of every widget, so it travels deflated: a small module that
 * inflates the real one and hands on its default export. The browser imports it the way anywidget imports any module.
 */
function packed(code) {
  const data = deflateSync(code, { level: 9, memLevel: 9 }).toString("base64");
  return [
    "// causal_widget's page, deflated; its source is in js/src, and js/build.mjs makes this file.",
    `const data = "${data}";`,
    "const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));",
    'const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));',
    'const url = URL.createObjectURL(new Blob([await new Response(inflated).text()], { type: "text/javascript" }));',
    "const page = await import(/* webpackIgnore: true */ url);",
    "URL.revokeObjectURL(url);",
    "export default page.default;",
    "",
  ].join("\n");
}

if (process.argv.includes("--tests")) {
  rmSync(join(here, ".test-build"), { recursive: true, force: true });
  const tests = readdirSync(join(here, "test")).filter((name) => name.endsWith(".test.ts"));
  await build({ ...shared, entryPoints: tests.map((name) => `test/${name}`), outdir: ".test-build", platform: "node", outExtension: { ".js": ".mjs" } });
} else if (process.argv.includes("--dev")) {
  await build({ ...shared, entryPoints: ["dev/page.ts"], outfile: "dev/out/page.js" });
} else {
  const outfile = join(here, "../causal_widget/static/widget.js");
  const { outputFiles } = await build({ ...shared, entryPoints: ["src/index.ts"], write: false, minify: true });
  const text = packed(outputFiles[0].contents);
  mkdirSync(dirname(outfile), { recursive: true });
  writeFileSync(outfile, text);
  const kb = (n) => (n / 1024).toFixed(1);
  console.log(`widget.js: ${kb(text.length)} KB (${kb(outputFiles[0].contents.length)} KB inflated)`);
}
