import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, decode, RequestError, type Events } from "../src/protocol";
import { FakeModel, type Kernel } from "../dev/fake";

const quiet: Events = { job: () => undefined, changed: () => undefined, refused: () => undefined, lost: () => undefined };
const client = (kernel: Kernel, events = quiet, poll = 20) => {
  const model = new FakeModel({}, kernel);
  return { model, client: new Client(model, events, poll) };
};

test("replies are matched to requests by id, whatever their order", async () => {
  const held: [any, (reply: any) => void][] = [];
  const { client: c } = client((message, answer) => void held.push([message, answer]));
  const both = [c.request("graph"), c.request("images")];
  for (const [{ id, op }, answer] of held.reverse()) answer({ v: 1, id, ok: true, result: { op } });
  const results = (await Promise.all(both)).map(({ result }: any) => result.op);
  assert.deepEqual(results, ["graph", "images"]);
  c.close();
});

test("a reply meant for another browser tab is left alone", async () => {
  const { client: c } = client(({ id }, answer) => {
    answer({ v: 1, id, page: "somebody else", ok: true, result: { whose: "theirs" } });
    answer({ v: 1, id, ok: true, result: { whose: "ours" } });
  });
  const { result } = await c.request<{ whose: string }>("hello");
  assert.equal(result.whose, "ours");
  c.close();
});

test("buffers are read from where their view begins, also when misaligned", () => {
  const values = Float32Array.from([1.5, -2, 3.25]);
  for (const shift of [0, 3, 4, 7]) {
    const bytes = new Uint8Array(values.byteLength + shift + 2);
    bytes.set(new Uint8Array(values.buffer), shift);
    const { data } = decode(new DataView(bytes.buffer, shift, values.byteLength), { name: "x", dtype: "float32", shape: [3] });
    assert.deepEqual([...data], [1.5, -2, 3.25]);
  }
  const bytes = Uint8Array.from([9, 9, 1, 2, 3, 4]);
  assert.deepEqual([...decode(new DataView(bytes.buffer, 2), { name: "x", dtype: "uint8", shape: [2, 2] }).data], [1, 2, 3, 4]);
});

test("a buffer of another size than its shape says is refused", async () => {
  assert.throws(() => decode(new DataView(new ArrayBuffer(7)), { name: "x", dtype: "uint8", shape: [2, 4] }), /"x" has 7 bytes, expected 8/);
  const { client: c } = client(({ id }, answer) => answer({ v: 1, id, ok: true, result: { buffers: [{ name: "a", dtype: "uint8", shape: [1] }] } }, []));
  await assert.rejects(c.request("edges"), (error: RequestError) => error.kind === "Malformed" && /0 buffers, expected 1/.test(error.message));
  c.close();
});

test("errors keep the kernel's class and message", async () => {
  const { client: c } = client(({ id }, answer) => answer({ v: 1, id, ok: false, error: { kind: "OrderError", message: "collect first" } }));
  await assert.rejects(c.request("effect"), (error: RequestError) => error.kind === "OrderError" && error.message === "collect first");
  c.close();
});

test("a request without an answer times out and says which", async () => {
  const { client: c } = client(() => undefined);
  await assert.rejects(c.request("graph", {}, 15), (error: RequestError) => error.kind === "Timeout" && /"graph"/.test(error.message));
  c.close();
});

test("closing rejects what is open and stops listening", async () => {
  const { client: c, model } = client(() => undefined);
  const open = c.request("graph");
  c.close();
  await assert.rejects(open, (error: RequestError) => error.kind === "Closed");
  model.emit("msg:custom", { v: 1, event: "job", job: {} }, []);
});

test("a message that cannot be sent is said at once: the kernel is gone", async () => {
  let lost = 0;
  const { client: c } = client(() => { throw new Error("Cannot send"); }, { ...quiet, lost: () => lost++ });
  await assert.rejects(c.request("unit"), ({ kind }: RequestError) => kind === "Disconnected");
  assert.equal(lost, 1);
  c.close();
});

test("messages of another version are ignored", async () => {
  let jobs = 0;
  const { client: c, model } = client(() => undefined, { ...quiet, job: () => void jobs++ });
  model.emit("msg:custom", { v: 2, event: "job", job: {} }, []);
  model.emit("msg:custom", "rubbish", []);
  model.emit("msg:custom", { v: 1, event: "job", job: {} }, []);
  assert.equal(jobs, 1);
  c.close();
});

test("while busy it polls in the absence of events, and stops when the job is gone", async () => {
  let left = 3;
  const seen: unknown[] = [];
  const { client: c, model } = client(({ id }, answer) => answer({ v: 1, id, ok: true, result: { job: left-- > 0 ? { id: 1, state: "running" } : null, revision: 4 } }), { ...quiet, job: (job) => void seen.push(job) });
  c.watch(true);
  await new Promise((resolve) => setTimeout(resolve, 250));
  const polls = model.sent.filter(({ op }) => op === "poll").length;
  assert.equal(seen.length, 3);
  assert.equal(polls, 4);
  c.close();
});

test("it does not poll while events arrive", async () => {
  const { client: c, model } = client(() => undefined, quiet, 60);
  c.watch(true);
  for (let k = 0; k < 10; k++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    model.emit("msg:custom", { v: 1, event: "job", job: {} }, []);
  }
  assert.equal(model.sent.length, 0);
  c.close();
});
