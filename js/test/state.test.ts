import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeModel } from "../dev/fake";
import { fakeKernel, traitsFor } from "../dev/kernel";
import { Session, type Topic } from "../src/state";

const options = { collected: true, labels: true, theme: "auto" };
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function start(net = "lenet", given = options): { model: FakeModel; session: Session; ops(): string[] } {
  const model: FakeModel = new FakeModel(traitsFor(net, given), (message, answer) => kernel(message, answer));
  const kernel = fakeKernel(net, model, given);
  const session = new Session(model);
  return { model, session, ops: () => model.sent.map(({ op }) => op) };
}

test("hello comes first; then graph, importance, edges, images and curve", async () => {
  const { session, ops } = start();
  await wait(120);
  assert.equal(ops()[0], "hello");
  for (const op of ["graph", "importance", "edges", "images", "pruning"]) assert.ok(ops().includes(op), op);
  assert.equal(session.importance("conv2")?.length, 16);
  assert.ok(session.edges.every((matrix) => matrix !== null));
  session.close();
});

test("two views that share a session hear each other's and Python's choices", async () => {
  const { model, session } = start();
  await wait(60);
  const heard: string[] = [];
  for (const view of ["one", "two"]) session.events.on("selected", () => heard.push(`${view} ${JSON.stringify(session.get("selected"))}`));
  session.set("selected", { conv1: [2] });
  model.set("selected", { conv2: [1] });
  assert.deepEqual(heard, ['one {"conv1":[2]}', 'two {"conv1":[2]}', 'one {"conv2":[1]}', 'two {"conv2":[1]}']);
  session.close();
});

test("toggling several effects in a row asks once, for the last one", async () => {
  const { session, model, ops } = start();
  await wait(100);
  session.toggle({ conv1: [0] });
  session.toggle({ conv1: [1] });
  session.toggle({ conv2: [4, 5] });
  assert.ok(session.effectWaiting);
  await wait(400);
  assert.equal(ops().filter((op) => op === "effect").length, 1);
  assert.deepEqual(model.sent.find(({ op }) => op === "effect").args, { ablated: { conv1: [0, 1], conv2: [4, 5] }, site: "activation", scale: 0, seconds: 0.12 });
  assert.ok(!session.effectWaiting && session.effect?.n === 360);
  session.close();
});

test("a stale effect stays until the new one is there, and goes when nothing is zeroed", async () => {
  const { session } = start();
  await wait(100);
  session.toggle({ conv1: [0] });
  await wait(350);
  const first = session.effect;
  session.toggle({ conv1: [1] });
  assert.equal(session.effect, first);
  assert.ok(session.effectWaiting);
  session.set("ablated", {});
  assert.equal(session.effect, null);
  await wait(300);
  assert.equal(session.effect, null);
  session.close();
});

test("toggle zeroes what is not, restores what all is, and leaves classes alone", async () => {
  const { session } = start();
  await wait(60);
  session.toggle({ conv1: [3, 1] });
  assert.deepEqual(session.get("ablated"), { conv1: [1, 3] });
  session.toggle({ conv1: [1], conv2: [2] });
  assert.deepEqual(session.get("ablated"), { conv1: [1, 3], conv2: [2] });
  session.toggle({ conv1: [1, 3], conv2: [2] });
  assert.deepEqual(session.get("ablated"), {});
  session.toggle({ fc2: [0] });
  assert.deepEqual(session.get("ablated"), {});
  assert.match(session.message!.text, /Classes/);
  session.close();
});

test("superseded is no error; others are shown with the kernel's words", async () => {
  const model: FakeModel = new FakeModel(traitsFor("lenet", options), ({ id, op }, answer) => {
    if (op === "effect") answer({ v: 1, id, ok: false, error: { kind: "Superseded", message: "newer" } });
    else if (op === "unit") answer({ v: 1, id, ok: false, error: { kind: "UnknownNameError", message: 'no layer "x"' } });
  });
  const session = new Session(model);
  session.set("ablated", { conv1: [1] });
  await wait(120);
  assert.equal(session.message, null);
  await session.unit("x", 0).catch((error) => session.fail(error, "Filter"));
  assert.deepEqual(session.message, { kind: "error", text: 'Filter: no layer "x"' });
  session.close();
});

test("collecting raises the revision: importances and edges are fetched again", async () => {
  const { session, ops } = start("lenet", { ...options, collected: false });
  await wait(120);
  assert.deepEqual([session.shownRule, session.edgeSource], ["l1", "weight"]);
  const topics: Topic[] = [];
  for (const topic of ["job", "revision", "edges"] as const) session.events.on(topic, () => topics.push(topic));
  await session.collect();
  assert.ok(session.running || session.job === null);
  await wait(2800);
  assert.equal(session.job?.state, "done");
  assert.deepEqual([session.kernel?.collected, session.shownRule, session.edgeSource], [true, "coefficient", "coefficient"]);
  assert.ok(topics.includes("revision") && topics.includes("edges"));
  assert.equal(ops().filter((op) => op === "graph").length, 2);
  session.close();
});

test("without events the poll carries a collect to its end", async () => {
  let done = 0;
  const model: FakeModel = new FakeModel(traitsFor("lenet", options), ({ id, op }, answer) => {
    const job = { id: 1, kind: "collect", state: done++ > 1 ? "done" : "running", done, total: 4, unit: "images", rate: null, remaining: null, message: "", error: null };
    if (op === "collect") answer({ v: 1, id, ok: true, result: { job: 1 } });
    if (op === "poll") answer({ v: 1, id, ok: true, result: { job, revision: 1 } });
  });
  const session = new Session(model);
  await session.collect();
  await wait(1600);
  assert.equal(session.job?.state, "done");
  const polls = model.sent.filter(({ op }) => op === "poll").length;
  await wait(700);
  assert.equal(model.sent.filter(({ op }) => op === "poll").length, polls);
  session.close();
});

test("when the kernel is gone the page says so and waits for nothing", async () => {
  let gone = false;
  const model: FakeModel = new FakeModel(traitsFor("lenet", options), (message, answer) => {
    if (gone) throw new Error("Cannot send");
    kernel(message, answer);
  });
  const kernel = fakeKernel("lenet", model, options);
  const session = new Session(model);
  await wait(120);
  model.emit("msg:custom", { v: 1, event: "job", job: { id: 7, kind: "effect", state: "running", done: 1, total: 2, unit: "images", rate: 1, remaining: 1, message: "", error: null } }, []);
  assert.ok(session.running && !session.unreachable);
  gone = true;
  model.emit("comm_live_update");
  await wait(20);
  assert.ok(session.unreachable && !session.running);
  assert.match(session.message!.text, /restarted or stopped/);
  await session.unit("conv1", 0).catch((error) => session.fail(error, "Filter"));
  assert.match(session.message!.text, /restarted or stopped/);
  session.close();
});

test("a choice that the kernel refuses is said, and the closed session is silent", async () => {
  const { session, model } = start();
  await wait(60);
  model.emit("msg:custom", { v: 1, event: "refused", trait: "layers", message: 'layer "x" does not exist' }, []);
  assert.match(session.message!.text, /layers: layer "x" does not exist/);
  session.close();
  model.set("selected", { conv1: [0] });
  const sent = model.sent.length;
  model.set("ablated", { conv1: [0] });
  await wait(150);
  assert.equal(model.sent.length, sent);
});
