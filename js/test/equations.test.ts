import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeModel } from "../dev/fake";
import { fakeKernel, traitsFor } from "../dev/kernel";
import { DoWatch, type Do } from "../src/effect";
import { fixed } from "../src/format";
import { apart, verdict } from "../src/panels/answers";
import { median, worst } from "../src/panels/by-layer";
import { strongest } from "../src/panels/equation";
import { Session } from "../src/state";
import type { EffectInfo } from "../src/types";

const options = { collected: true, labels: true, theme: "auto" };
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function start(given = options): { model: FakeModel; session: Session; asked(op: string): any[] } {
  const model: FakeModel = new FakeModel(traitsFor("lenet", given), (message, answer) => kernel(message, answer));
  const kernel = fakeKernel("lenet", model, given);
  return { model, session: new Session(model), asked: (op) => model.sent.filter((message) => message.op === op).map(({ args }) => args) };
}

/** A question that is answered by hand. */
function byHand(): { watch: DoWatch<number>; asked: Do[]; answer(value: number): Promise<void> } {
  const asked: Do[] = [];
  let resolve: (value: number) => void = () => undefined;
  const watch = new DoWatch<number>({ ask: (intervention) => { asked.push(intervention); return new Promise((done) => (resolve = done)); }, unfinished: (value) => value < 0, changed: () => undefined, failed: () => undefined }, 5);
  return { watch, asked, answer: async (value) => { resolve(value); await wait(1); } };
}
const at = (scale: number): Do => ({ ablated: { conv1: [0] }, site: "activation", scale });

test("while a value is dragged one question is open at a time, and the newest follows", async () => {
  const { watch, asked, answer } = byHand();
  for (const scale of [0.9, 0.8, 0.7]) watch.update(at(scale), true);
  await wait(20);
  assert.deepEqual(asked.map(({ scale }) => scale), [0.7]);
  for (const scale of [0.6, 0.5]) watch.update(at(scale), true);
  await wait(20);
  assert.equal(asked.length, 1);
  await answer(1);
  assert.deepEqual([watch.current, watch.waiting, asked[1].scale], [1, true, 0.5]);
  await answer(2);
  assert.deepEqual([watch.current, watch.waiting, asked.length], [2, false, 2]);
});

test("an answer on a part of the images is shown, and asked to go on until it stands on all", async () => {
  const { watch, asked, answer } = byHand();
  watch.update(at(0.5), false);
  await wait(20);
  await answer(-1);
  assert.deepEqual([watch.current, watch.waiting, asked.length], [-1, false, 2]);
  watch.update(at(0.4), true); // even a value under the finger does not wait for the rest of the one before
  await wait(20);
  assert.equal(asked[asked.length - 1].scale, 0.4);
  await answer(-2);
  await answer(3);
  await wait(20);
  assert.deepEqual([watch.current, watch.waiting, asked.map(({ scale }) => scale)], [3, false, [0.5, 0.5, 0.4, 0.4]]);
});

test("another choice does not wait for the answer to the one before, and that answer is not shown", async () => {
  const { watch, asked, answer } = byHand();
  watch.update(at(0.5), true);
  await wait(20);
  watch.update({ ...at(0), ablated: { conv1: [1] } }, false);
  await answer(1);
  assert.equal(watch.current, null);
  await wait(20);
  assert.deepEqual(asked[1].ablated, { conv1: [1] });
  await answer(2);
  assert.equal(watch.current, 2);
});

test("dragging turns what is selected down: the prediction comes at once, the network's answer after it", async () => {
  const { model, session, asked } = start();
  await wait(120);
  session.set("selected", { conv2: [3] });
  session.scaleTo(0.6, false);
  assert.deepEqual([session.get("ablated"), session.get("scale")], [{ conv2: [3] }, 0.6]);
  await wait(45);
  assert.equal(session.prediction?.predicted?.scale, 0.6);
  const early = session.effect;
  assert.equal(early, null);
  session.scaleTo(0.4, true);
  await wait(450);
  assert.equal(session.effect?.scale, 0.4);
  assert.equal(session.prediction?.predicted?.scale, 0.4);
  assert.deepEqual(asked("predict").pop(), { ablated: { conv2: [3] }, site: "activation", scale: 0.4, by: "equations" });
  assert.ok(model.saved > 0);
  session.close();
});

test("zeroing is to zero, whatever the value was before; and what is chosen next is silent again", async () => {
  const { session } = start();
  await wait(80);
  session.set("selected", { conv1: [1] });
  session.scaleTo(0.5, true);
  session.toggle({ conv2: [2] });
  assert.deepEqual([session.get("scale"), session.get("ablated")], [0, { conv1: [1], conv2: [2] }]);
  session.scaleTo(0.3, true);
  session.set("ablated", {});
  assert.equal(session.get("scale"), 0);
  assert.deepEqual([session.effect, session.prediction], [null, null]);
  session.close();
});

test("a class is not turned down, and nothing is asked of equations that are not there", async () => {
  const { session, asked } = start({ ...options, collected: false });
  await wait(120);
  session.set("selected", { fc2: [1] });
  session.scaleTo(0.5, true);
  assert.deepEqual(session.get("ablated"), {});
  session.toggle({ conv1: [0] });
  await wait(300);
  assert.equal(session.effect?.n, 360);
  assert.deepEqual(asked("predict"), []);
  assert.equal(session.equations, null);
  session.close();
});

test("local equations say their cost, are measured, and then predict", async () => {
  const { session, asked } = start();
  await wait(80);
  session.toggle({ conv1: [0, 1] });
  session.predictBy("local");
  await wait(60);
  assert.equal(session.prediction?.predicted, null);
  assert.ok(session.prediction!.cost!.passes > 0);
  await session.measureLocal();
  await wait(2900);
  assert.equal(session.job?.kind, "local");
  assert.ok(session.prediction?.predicted);
  assert.equal(asked("predict").pop().by, "local");
  session.close();
});

test("equations and their check are fetched when something was learned, one equation once", async () => {
  const { session, asked } = start();
  await wait(120);
  const known = session.equations!;
  assert.equal(known.r2.length, known.info.layers.reduce((sum, { units }) => sum + units, 0));
  assert.ok(session.checked?.cost && !session.checked.fidelity);
  const [one, same] = await Promise.all([session.equation("conv2", 3), session.equation("conv2", 3)]);
  assert.equal(one, same);
  assert.equal(one.points.length % 2, 0);
  assert.equal(asked("equation").length, 1);
  assert.match((await session.equation("conv1", 0)).info.reason!, /image/);
  session.close();
});

test("the worst equations first, of all layers or of one, without dead units", () => {
  const layer = (name: string, units: number) => ({ layer: name, units, parents: 1, dead: 0, notes: [] });
  const info = { estimator: "ridge", data: "both", transform: "mean", site: "activation", images: 9, layers: [layer("a", 3), layer("b", 2)] };
  const known = { info, r2: Float32Array.from([1, 1, 1, 1, 1]), heldout: Float32Array.from([0.5, NaN, -0.25, 0.125, 0.75]) };
  assert.deepEqual(worst(known, null).map(({ layer: name, unit }) => `${name}${unit}`), ["a2", "b0", "a0", "b1"]);
  assert.deepEqual(worst(known, "b").map(({ r2 }) => r2), [0.125, 0.75]);
  assert.deepEqual(worst({ ...known, heldout: new Float32Array(5).fill(NaN) }, "a", 2).length, 2);
  assert.deepEqual([median([3, NaN, 1, 2]), median([1, 2, 3, 10])], [2, 2.5]);
});

test("the strongest parents by either kind of coefficient", () => {
  const parent = (unit: number, coefficient: number, standardised: number) => ({ layer: "a", unit, coefficient, standardised });
  const all = [parent(0, 9, 0.1), parent(1, -1, -0.8), parent(2, 3, 0.4)];
  assert.deepEqual(strongest(all, "standardised").map(({ unit }) => unit), [1, 2, 0]);
  assert.deepEqual(strongest(all, "coefficient", 2).map(({ unit }) => unit), [0, 2]);
});

test("whether prediction and measurement differ is said in words", () => {
  const effect = (change: number | null, accuracyHalf = 0.02) => ({ change: { accuracy: change, accuracyHalf, loss: 0, lossHalf: 0 } }) as EffectInfo;
  assert.equal(apart(effect(-0.05), effect(-0.055)), 0);
  assert.match(verdict(effect(-0.05), effect(-0.055)), /^≈/);
  assert.match(verdict(effect(-0.02), effect(-0.08)), /^≠ .* 6\.0 points worse/);
  assert.match(verdict(effect(-0.15), effect(-0.014)), /13\.6 points better/);
  assert.equal(verdict(effect(null), effect(null)), "");
  assert.deepEqual([fixed(0.6), fixed(-2), fixed(-0.001), fixed(null)], ["0.60", "−2.00", "0.00", "–"]);
});
