import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeEdges, fakeGraph } from "../dev/kernel";
import { fit, toScreen, toWorld, zoomAt } from "../src/graph/camera";
import { histogram, meanStrength, quotas, strongest, strongestOfEach, touching } from "../src/graph/edges";
import { grid, layout, pick, pickBox, place } from "../src/graph/layout";
import { centred, overflows, placeAt } from "../src/graph/overview";

const nets = ["lenet", "resnet", "vgg"];
const matricesOf = (net: string) => {
  const graph = fakeGraph(net);
  return graph.wirings.map(({ cols }, wiring) => ({ wiring, cols, data: fakeEdges(graph, wiring) }));
};

test("the k strongest edges are those of a full sort, weakest first", () => {
  const matrices = matricesOf("resnet");
  const sorted = matrices.flatMap(({ data }) => [...data]).filter((value) => value > 0).sort((a, b) => b - a);
  for (const k of [0, 1, 7, 600, 5000, 10_000_000]) {
    const edges = strongest(matrices, k);
    assert.equal(edges.length, Math.min(k, sorted.length));
    assert.deepEqual([...edges.value].reverse(), sorted.slice(0, k));
    const seen = new Set<string>();
    for (let e = 0; e < edges.length; e++) {
      const { data, cols } = matrices[edges.wiring[e]];
      assert.equal(data[edges.row[e] * cols + edges.col[e]], edges.value[e]);
      seen.add(`${edges.wiring[e]} ${edges.row[e]} ${edges.col[e]}`);
    }
    assert.equal(seen.size, edges.length);
  }
});

test("each two layers show their own strongest edges, in equal shares, weakest first", () => {
  const strong = Uint8Array.from({ length: 100 }, (_, k) => 156 + k);
  const weak = Uint8Array.from({ length: 40 }, (_, k) => k % 20); // never above 19, two of each
  const few = Uint8Array.from([0, 7, 0]);
  const matrices = [strong, weak, few].map((data, wiring) => ({ wiring, data, cols: data.length }));
  assert.deepEqual(quotas([100, 38, 1], 21), [10, 10, 1]);
  const edges = strongestOfEach(matrices, 21);
  const of = (wiring: number) => [...edges.wiring].flatMap((each, k) => (each === wiring ? [matrices[wiring].data[edges.col[k]]] : []));
  assert.deepEqual([of(0), of(2)], [[246, 247, 248, 249, 250, 251, 252, 253, 254, 255], [7]]);
  assert.deepEqual(of(1), [15, 15, 16, 16, 17, 17, 18, 18, 19, 19]);
  assert.ok([...edges.value].every((value, k) => k === 0 || value >= edges.value[k - 1]));
  assert.equal([...edges.value].filter((value) => value === 255).length, 1 + 2 + 1);
  assert.equal(strongestOfEach(matrices, 1000).length, 100 + 38 + 1);
  assert.equal(strongestOfEach([], 10).length, 0);
});

test("the overview's camera shows the place that is asked for, and no more beyond the graph than its margins", () => {
  const view = { width: 600, height: 400 };
  const margins = { left: 14, right: 90, top: 40, bottom: 10 };
  const plan = layout(fakeGraph("vgg").layers, 1.5, 0, 200);
  const camera = { scale: 0.4, x: 12, y: 60 };
  assert.ok(overflows(plan, camera, view) && !overflows(plan, { ...camera, scale: 0.01 }, view));
  const asked = placeAt(plan, view, 300);
  const middle = centred(plan, camera, view, margins, asked);
  assert.ok(Math.abs(asked - plan.width / 2) < 1e-6 && Math.abs(toScreen(middle, asked, 0)[0] - 300) < 1e-6);
  assert.deepEqual([middle.y, middle.scale], [60, 0.4]);
  assert.equal(toScreen(centred(plan, camera, view, margins, -50), 0, 0)[0], 14);
  assert.ok(Math.abs(toScreen(centred(plan, camera, view, margins, plan.width), plan.width, 0)[0] - 510) < 1e-6);
});

test("a unit's own edges are the row and the column of its matrices", () => {
  const graph = fakeGraph("lenet");
  const matrices = matricesOf("lenet");
  const edges = touching(matrices, graph.wirings, "conv2", 5, 1000);
  const incoming = [...matrices[0].data.subarray(5 * 6, 6 * 6)];
  const outgoing = Array.from({ length: 120 }, (_, row) => matrices[1].data[row * 16 + 5]);
  assert.deepEqual([...edges.value], [...incoming, ...outgoing].filter((value) => value > 0).sort((a, b) => a - b));
});

test("mean strength leaves out edges that are not there", () => {
  assert.equal(meanStrength(histogram(Uint8Array.from([0, 0, 255, 51]))), (255 + 51) / 2 / 255);
  assert.equal(meanStrength(histogram(new Uint8Array(9))), 0);
});

test("what is placed is picked: every unit of every network, in every shape of window", () => {
  for (const net of nets) for (const aspect of [0.5, 1.6, 3]) {
    const plan = layout(fakeGraph(net).layers, aspect, 70);
    for (const [k, column] of plan.columns.entries()) for (let unit = 0; unit < column.layer.units; unit++) {
      const [x, y] = place(column, unit);
      assert.deepEqual(pick(plan, x, y), { column: k, unit }, `${net} ${column.layer.name} ${unit}`);
      assert.ok(x >= 0 && x <= plan.width + 1e-9 && y >= 70 - 1e-9 && y <= plan.height - 70 + 1e-9);
    }
    assert.equal(pick(plan, -50, 500), null);
    assert.equal(pick(plan, plan.width + 50, 500), null);
  }
});

test("columns do not overlap", () => {
  for (const net of nets) {
    const { columns } = layout(fakeGraph(net).layers, 1.2);
    columns.slice(1).forEach((column, k) => assert.ok(column.left > columns[k].left + columns[k].across * columns[k].cell));
  }
});

test("a box picks the units whose centres it holds", () => {
  const plan = layout(fakeGraph("lenet").layers, 1.6);
  const [x, y] = place(plan.columns[1], 3);
  assert.deepEqual(pickBox(plan, { x0: x + 4, y0: y + 4, x1: x - 4, y1: y - 4 }), { conv2: [3] });
  const all = pickBox(plan, { x0: -1, y0: -1, x1: plan.width + 1, y1: plan.height + 1 });
  assert.equal(Object.values(all).flat().length, 6 + 16 + 120 + 84 + 10);
});

test("the grid holds all units within its room", () => {
  for (const units of [1, 2, 6, 64, 120, 512, 1000, 2048]) for (const [width, height] of [[30, 1000], [200, 1000], [90, 400]]) {
    const { across, down, cell } = grid(units, width, height);
    assert.ok(across * down >= units && across * cell <= width + 1e-6 && down * cell <= height + 1e-6 && cell > 0);
  }
});

test("camera: there and back, fit within margins, zoom keeps the point under the pointer", () => {
  const margins = { left: 10, right: 60, top: 40, bottom: 5 };
  const camera = fit({ width: 1600, height: 1000 }, { width: 820, height: 500 }, margins);
  const [x0, y0] = toScreen(camera, 0, 0);
  const [x1, y1] = toScreen(camera, 1600, 1000);
  assert.ok(x0 >= 10 - 1e-9 && y0 >= 40 - 1e-9 && x1 <= 760 + 1e-9 && y1 <= 495 + 1e-9);
  const zoomed = zoomAt(camera, 3, 200, 100, [0.01, 100]);
  const before = toWorld(camera, 200, 100);
  toWorld(zoomed, 200, 100).forEach((value, k) => assert.ok(Math.abs(value - before[k]) < 1e-9));
  assert.equal(zoomAt(camera, 1e9, 0, 0, [0.01, 7]).scale, 7);
});
