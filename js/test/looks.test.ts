import assert from "node:assert/strict";
import { test } from "node:test";
import style from "../src/style.css";
import { contrast, diverging, heat, luminance, parse, sequence, type Rgb } from "../src/colour";
import { bytes, count, duration, figures, fixedSigned, number, percent, plural, points, shorten, signed, abbreviate } from "../src/format";
import { niceSteps } from "../src/panels/chart";
import { edgesOf, sliderOf } from "../src/panels/graph";
import { spread } from "../src/panels/layers";
import { percentsOf } from "../src/panels/pruning";
import { across } from "../src/panels/weights";
import { chunks, without } from "../src/units";

const steps = Array.from({ length: 101 }, (_, k) => k / 100);
const monotone = (values: number[]) => values.slice(1).every((value, k) => value > values[k] - 1e-9) || values.slice(1).every((value, k) => value < values[k] + 1e-9);

test("colour maps are monotone in luminance, so they read in grey", () => {
  for (const map of [sequence(true), sequence(false), heat]) {
    const values = steps.map((t) => luminance(map(t)));
    assert.ok(monotone(values));
    assert.ok(Math.abs(values[100] - values[0]) > 0.5);
  }
});

test("the diverging maps are monotone on either side of zero, and zero is the extreme", () => {
  for (const dark of [true, false]) {
    const map = diverging(dark);
    assert.ok(monotone(steps.map((t) => luminance(map(t)))) && monotone(steps.map((t) => luminance(map(-t)))));
    assert.ok(contrast(map(0), map(1)) > 3 && contrast(map(0), map(-1)) > 3);
  }
});

test("text, links and marks keep AA contrast in both themes", () => {
  const blocks = { light: /\.cw-root ?\{([^}]*)\}/.exec(style)![1], dark: /\.cw-root\[data-theme="?dark"?\] ?\{([^}]*)\}/.exec(style)![1] };
  const grounds: Record<string, Rgb[]> = { light: [[255, 255, 255], [246, 247, 249]], dark: [[20, 23, 28], [17, 17, 17], [30, 30, 30]] };
  for (const [theme, block] of Object.entries(blocks)) for (const name of ["text", "muted", "accent", "zero", "warn", "plus", "minus", "c0", "c1", "c2", "c3", "c4", "c5"]) {
    const colour = parse(new RegExp(`--${name}: ?(#[0-9a-f]{3,6})`).exec(block)![1])!;
    for (const ground of grounds[theme]) assert.ok(contrast(colour, ground) >= 4.5, `${theme} ${name}: ${contrast(colour, ground).toFixed(2)}`);
  }
});

test("numbers as a person reads them", () => {
  assert.deepEqual([count(5504), count(12), count(null), count(-1234567)], ["5,504", "12", "–", "−1,234,567"]);
  assert.deepEqual([number(0.123456), number(0), number(1e-7), number(NaN), number(123456), number(-2.5)], ["0.123", "0", "1.00e-7", "–", "1.23e+5", "−2.5"]);
  assert.deepEqual([percent(0.9778), percent(null), percent(1, 0)], ["97.8 %", "–", "100 %"]);
  assert.deepEqual([points(-0.0123), points(0.0123), points(0.00001), points(-0.00001)], ["−1.2", "+1.2", "0.0", "0.0"]);
  assert.deepEqual([fixedSigned(0.5, 2), fixedSigned(-0.001, 2), signed(0.25)], ["+0.50", "0.00", "+0.25"]);
  assert.deepEqual([bytes(80e9), bytes(512), bytes(null)], ["74.5 GB", "512 B", "–"]);
  assert.deepEqual([duration(0.21), duration(4.26), duration(42), duration(125), duration(3700)], ["210 ms", "4.3 s", "42 s", "2 min 5 s", "1 h 1 min"]);
  assert.deepEqual([plural(1, "filter"), plural(2, "class", "classes")], ["1 filter", "2 classes"]);
  assert.deepEqual([shorten("a long name of class 4", 9), shorten("short", 9)], ["a lo…ss 4", "short"]);
  assert.deepEqual([figures(1.1), figures(0.0018), figures(-12.345), figures(0), figures(123456), figures(null)], ["1.10", "0.00180", "−12.3", "0", number(123456), "–"]);
});

test("abbreviated module paths stay apart: their numbers are whole", () => {
  assert.equal(abbreviate("conv1", 14), "conv1");
  const names = [1, 2, 3].flatMap((k) => [`layer${k}.0.downsample.0`, `layer${k}.10.downsample.0`, `features.denseblock${k}.denselayer1${k}.conv2`]);
  for (const length of [14, 17, 22]) {
    const short = names.map((name) => abbreviate(name, length));
    assert.equal(new Set(short).size, names.length);
    assert.ok(short.every((name) => name.length <= length));
  }
});

test("slider and number of edges are each other's inverse", () => {
  assert.equal(edgesOf(0), 0);
  assert.equal(edgesOf(100), 20000);
  for (const k of [1, 17, 50, 99]) assert.ok(Math.abs(sliderOf(edgesOf(k)) - k) < 1);
});

test("axis ticks are round numbers within the range", () => {
  assert.deepEqual(niceSteps(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(niceSteps(0, 60, 6), [0, 10, 20, 30, 40, 50, 60]);
  assert.deepEqual(niceSteps(0.93, 1, 5), [0.94, 0.96, 0.98, 1]);
});

test("small sums: histogram, percentages, kernels a row, chunks, sets", () => {
  assert.deepEqual(spread(Float32Array.from([0, 0.5, 1, 1]), 2), [1, 3]);
  assert.deepEqual(percentsOf(60, 6), [0, 10, 20, 30, 40, 50, 60]);
  assert.deepEqual(percentsOf(3, 10), [0, 1, 2, 3]);
  assert.equal(across(16, 3, 3), 4);
  assert.deepEqual([...chunks([3, 3, 3, 9, 1], (x) => x, 6)], [[3, 3], [3], [9], [1]]);
  assert.deepEqual(without({ a: [1, 2], b: [3] }, "b", [3]), { a: [1, 2] });
});
