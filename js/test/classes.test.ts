// The graph of a class: its table and paths, layer by layer while it is found, two classes compared.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeModel } from "../dev/fake";
import { fakeClass, fakeGraph, fakeKernel, traitsFor } from "../dev/kernel";
import { inkOf } from "../src/graph/ink";
import { inkFor, isBold, verdictsOf } from "../src/graph/verdicts";
import { effectLine, pOf } from "../src/panels/ranks";
import { decode } from "../src/protocol";
import { classOf, type ClassTable } from "../src/records";
import { Session } from "../src/state";

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const graph = fakeGraph("lenet");
const names = graph.layers.map(({ name }) => name);
const made = (found: string[], other: number | null = null): ClassTable => {
  const [info, buffers, infos] = fakeClass(graph, 3, found, other);
  return classOf({ result: { graph: info }, arrays: infos.map((each, k) => decode(buffers[k], each)) })!;
};

function connected(): { session: Session; model: FakeModel } {
  const options = { collected: true, labels: true, theme: "auto" };
  const model: FakeModel = new FakeModel(traitsFor("lenet", options), (message, answer) => kernel(message, answer));
  const kernel = fakeKernel("lenet", model, options);
  return { session: new Session(model), model };
}

test("paths lead from units that are reported to critical ones or the class, with the kind of their source", () => {
  const found = made(names);
  const { paths, info } = found;
  assert.ok(paths.length > 0);
  assert.deepEqual([paths.wiring, paths.row, paths.col].map((each) => each.constructor.name), ["Uint16Array", "Uint32Array", "Uint32Array"]);
  for (let k = 0; k < paths.length; k++) {
    const { source, target } = graph.wirings[paths.wiring[k]];
    assert.equal(info.verdicts[paths.kind[k]], verdictsOf(found, source)!(paths.col[k]));
    const child = verdictsOf(found, target);
    assert.ok(child ? child(paths.row[k]) === "critical" : paths.row[k] === 3);
  }
});

test("a layer that is not found yet has no verdicts, and no answer is no graph", () => {
  const found = made(["fc1"]);
  assert.equal(verdictsOf(found, "conv2"), null);
  assert.notEqual(verdictsOf(found, "fc1"), null);
  assert.equal(classOf({ result: { graph: null }, arrays: [] }), null);
});

test("a unit's line and p-value, none where it was not asked", () => {
  const found = made(names);
  const critical = Array.from(found.verdict).findIndex((kind) => kind === 0);
  const unasked = Array.from(found.verdict).findIndex((kind) => kind === 4);
  const of = (k: number) => [found.info.layers[found.layer[k]], found.unit[k]] as const;
  assert.match(effectLine(found, ...of(critical)), /^output −[\d.]+ \[−[\d.]+, −[\d.]+\] · ▲ critical$/);
  assert.equal(pOf(found, ...of(critical)), " · p .004");
  found.p[unasked] = NaN;
  assert.equal(pOf(found, ...of(unasked)), "");
});

test("what stands out is told apart by shape, and by colour beside it", () => {
  const ink = inkOf(false, "#ffffff");
  const kinds = ["critical", "detrimental", "shared", "only a", "only b"];
  assert.ok(kinds.every(isBold));
  assert.ok(["neutral", "undecided", "not asked", "neither"].every((kind) => !isBold(kind)));
  const colours = ["shared", "only a", "only b"].map((kind) => String(inkFor(ink, kind)));
  assert.equal(new Set(colours).size, 3);
});

test("a class is shown layer by layer while it is found, belongs to its panel, and is compared", async () => {
  const { session, model } = connected();
  await wait(150);
  assert.equal(session.classGraph, null);
  assert.equal((await session.planClass({ target: 3, images: null, mode: "sound" })).available, 126);
  const seen: string[] = [];
  session.events.on("class", () => seen.push(((session.classGraph as ClassTable | null)?.info.layers ?? []).join(" ")));
  model.set("panel", "classes");
  await session.explain({ target: 3, images: null, mode: "sound" });
  for (let k = 0; k < 80 && !(session.classGraph as ClassTable | null)?.info.done; k++) await wait(50);
  const parts = [...new Set(seen)].filter(Boolean);
  assert.deepEqual(parts.slice(0, 2), ["fc1", "<script>conv3 fc1"]);
  for (let k = 0; k < 60 && session.running; k++) await wait(50);
  await wait(60);
  assert.equal(session.judged, session.classGraph);
  assert.equal(session.pathsShown, session.classGraph);
  session.showVerdicts(false);
  assert.equal(session.pathsShown, null);
  session.showVerdicts(true);
  model.set("panel", "inspector");
  assert.equal(session.pathsShown, null);
  session.showClass(3, 5);
  await wait(60);
  assert.deepEqual(session.classGraph!.info.verdicts, ["shared", "only a", "only b", "neither"]);
  session.showClass(7, null);
  await wait(60);
  assert.equal(session.classGraph, null);
  assert.deepEqual(session.classesKnown.map(({ target }) => target), [3]);
  session.close();
});
