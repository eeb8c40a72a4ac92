// Ranking: its plan before it runs, its rows in every order, its text as CSV, and the verdicts by unit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeModel } from "../dev/fake";
import { fakeGraph, fakeKernel, fakeRanking, traitsFor } from "../dev/kernel";
import { verdictsOf } from "../src/graph/verdicts";
import { change, csv, effectLine, ordered, pValue, range } from "../src/panels/ranks";
import { decode } from "../src/protocol";
import { rankingOf, rowOf, type Ranking } from "../src/records";
import { Session } from "../src/state";

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const made = (layers: string[] | null, outcome = "loss"): Ranking => {
  const [ranking, buffers, infos] = fakeRanking(fakeGraph("lenet"), layers, outcome, null);
  return rankingOf({ result: { ranking }, arrays: infos.map((info, k) => decode(buffers[k], info)) })!;
};

test("rows in order: by size of either sign first, what is missing last, equal ones as in the network", () => {
  const found = made(["conv1"]);
  found.effect.set([0.1, -0.5, 0.3, NaN, 0.3, 0]);
  assert.deepEqual(ordered(found, { key: "effect", by: "size" }), [1, 2, 4, 0, 5, 3]);
  assert.deepEqual(ordered(found, { key: "effect", by: "up" }), [1, 5, 0, 2, 4, 3]);
  assert.deepEqual(ordered(found, { key: "effect", by: "down" }), [2, 4, 0, 5, 1, 3]);
  assert.deepEqual(ordered(found, { key: "unit", by: "down" }), [5, 4, 3, 2, 1, 0]);
  assert.deepEqual(ordered(found, { key: "images", by: "up" }), [0, 1, 2, 3, 4, 5]);
});

test("numbers of the table: accuracy in points, p-values short", () => {
  assert.deepEqual([change("loss", 0.12345), change("correct", -0.01234), change("loss", 0)], ["+0.123", "−1.23", "0.000"]);
  assert.deepEqual([range("loss", -0.01, 0.25), range("correct", 0.001, 0.02), range("loss", NaN, NaN)], ["[−0.010, 0.250]", "[0.10, 2.00]", "–"]);
  assert.deepEqual([pValue(1e-9), pValue(0.0004), pValue(0.049), pValue(1), pValue(NaN)], ["<.0001", ".0004", ".05", "1.00", "–"]);
});

test("CSV: a line a row, names quoted, nothing where nothing is known", () => {
  const found = made(["<script>conv3"], "correct");
  found.info.layers[0] = 'a "b", c';
  const lines = csv(found, [1, 0]).split("\r\n");
  assert.equal(lines.length, 4);
  assert.match(lines[0], /^layer,unit,outcome,effect,low,high,p,corrected p,verdict,images,images needed,least effect$/);
  assert.match(lines[1], /^"a ""b"", c",1,"correct",-?[\d.e-]+,/);
  found.needed[0] = Infinity;
  assert.match(csv(found, [0]).split("\r\n")[1], /,360,,0\.01$/);
});

test("a unit's row and verdict, none where it was not ranked", () => {
  const found = made(["conv2"]);
  assert.deepEqual([rowOf(found, "conv2", 5), rowOf(found, "conv1", 0), rowOf(found, "conv2", 99)], [5, -1, -1]);
  assert.equal(verdictsOf(found, "conv1"), null);
  assert.equal(verdictsOf(found, "conv2")!(3), found.info.verdicts[found.verdict[3]]);
  assert.match(effectLine(found, "conv2", 3), /^loss [+−]?[\d.]+ \[.*\] · [▲▼•○] (critical|neutral|detrimental|undecided)$/);
  assert.equal(effectLine(null, "conv2", 3), "");
});

test("a ranking is there after its job, with the rule by effects asked anew", async () => {
  const options = { collected: true, labels: true, theme: "auto" };
  const model: FakeModel = new FakeModel(traitsFor("lenet", options), (message, answer) => kernel(message, answer));
  const kernel = fakeKernel("lenet", model, options);
  const session = new Session(model);
  await wait(120);
  assert.equal(session.ranking, null);
  assert.equal((await session.planRanking(["conv2"], null)).units, 16);
  session.importance("conv2", "effect");
  await wait(40);
  await session.rank(["conv2"], null);
  for (let k = 0; k < 60 && !session.ranking; k++) await wait(100);
  assert.deepEqual(session.ranking!.info.layers, ["conv2"]);
  session.importance("conv2", "effect");
  assert.equal(model.sent.filter(({ op, args }) => op === "importance" && args.rule === "effect").length, 2);
  session.judge("correct", 0.02);
  await wait(60);
  assert.deepEqual([session.ranking!.info.outcome, session.ranking!.info.minEffect], ["correct", 0.02]);
  session.close();
});
