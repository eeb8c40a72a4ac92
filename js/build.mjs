// Bundles the page module, or (with --tests) compiles the tests, or (with --dev) the page with made-up data.
import { build } from "esbuild";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { minify } from "terser";
import zopfli from "@gfx/zopfli";

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

// Ninety-one characters that mean nothing special in a JavaScript string, in JSON or in HTML: "#" to "}" without "\\" and "<".
const DIGITS = Array.from({ length: 91 }, (_, k) => String.fromCharCode(k + 35)).map((c) => ({ "\\": "~", "<": "!" })[c] ?? c);

/** Thirteen bits in two characters (91 squared is above 2 to the 13): 8 % shorter than base64. */
function written(bytes) {
  let [text, bits, n] = ["", 0, 0];
  const put = () => (text += DIGITS[Math.floor((bits & 8191) / 91)] + DIGITS[(bits & 8191) % 91]);
  for (const byte of bytes) {
    bits = (bits << 8) | byte;
    n += 8;
    if (n < 13) continue;
    n -= 13;
    const rest = bits;
    bits >>= n;
    put();
    bits = rest & ((1 << n) - 1);
  }
  if (n) {
    bits <<= 13 - n;
    put();
  }
  return text;
}

/**
 * The whole module is copied into the saved state of every widget, so it travels deflated: a small module that
 * inflates the real one and hands on its default export. The browser imports it the way anywidget imports any module.
 * Terser's names take 4 % less when deflated than esbuild's; zopfli deflates 4 % smaller than node's own zlib, and to
 * the same bytes on every machine.
 */
async function packed(code) {
  const short = await minify(code, { module: true, ecma: 2020, compress: { passes: 3 } });
  const bytes = await zopfli.zlibAsync(Buffer.from(short.code), { numiterations: 30 });
  return [
    "// causal_widget's page, deflated, 13 bits in two characters; its source is in js/src, and js/build.mjs makes this file.",
    `const data = "${written(bytes)}";`,
    `const bytes = new Uint8Array(${bytes.length});`,
    "const digit = (at) => { const code = data.charCodeAt(at); return (code === 126 ? 92 : code === 33 ? 60 : code) - 35; };",
    "for (let at = 0, k = 0, bits = 0, n = 0; at < data.length; at += 2) {",
    "  bits = (bits << 13) | (digit(at) * 91 + digit(at + 1));",
    "  for (n += 13; n >= 8 && k < bytes.length; ) bytes[k++] = bits >> (n -= 8);",
    "}",
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
  const text = await packed(outputFiles[0].text);
  mkdirSync(dirname(outfile), { recursive: true });
  writeFileSync(outfile, text);
  const kb = (n) => (n / 1024).toFixed(1);
  console.log(`widget.js: ${kb(text.length)} KB (${kb(outputFiles[0].contents.length)} KB inflated)`);
}
