// The kernel's side of the protocol over made-up numbers, for looking at the page and for tests.
import type { BufferInfo, CheckInfo, ClassInfo, CurveInfo, EffectInfo, EquationInfo, EquationsInfo, GraphInfo, Job, LayerInfo, RankingInfo, UnitInfo, WiringInfo } from "../src/types";
import type { FakeModel, Kernel } from "./fake";

interface Options {
  collected: boolean;
  labels: boolean;
  theme: string;
  ranked?: boolean;
}

function random(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32);
}

function layer(name: string, index: number, units: number, kind = "conv", isOutput = false): LayerInfo {
  return { name, index, kind, units, isOutput, shape: kind === "conv" ? [units, 8, 8] : [units], sites: isOutput ? ["conv"] : kind === "conv" ? ["conv", "norm", "activation"] : ["conv", "activation"] };
}

const VGG = [[0, 64], [3, 64], [7, 128], [10, 128], [14, 256], [17, 256], [20, 256], [23, 256], [27, 512], [30, 512], [33, 512], [36, 512], [40, 512], [43, 512], [46, 512], [49, 512]];

export function fakeGraph(net: string): GraphInfo {
  let layers: LayerInfo[];
  if (net === "vgg") layers = [...VGG.map(([at, units], k) => layer(`features.${at}`, k, units)), layer("classifier", 16, 10, "linear", true)];
  else if (net === "resnet") {
    const names = ["conv1", ...[1, 2, 3].flatMap((stage) => [0, 1, 2].flatMap((block) => [`layer${stage}.${block}.conv1`, `layer${stage}.${block}.conv2`]))];
    layers = [...names.map((name, k) => layer(name, k, name.startsWith("layer3") ? 64 : name.startsWith("layer2") ? 32 : 16)), layer("fc", names.length, 10, "linear", true)];
  } else layers = [layer("conv1", 0, 6), layer("conv2", 1, 16), layer("<script>conv3", 2, 120), layer("fc1", 3, 84, "linear"), layer("fc2", 4, 10, "linear", true)];
  const wire = (source: number, target: number, kind = "dense"): WiringInfo => ({ source: layers[source].name, target: layers[target].name, kind, rows: layers[target].units, cols: layers[source].units });
  const wirings = layers.slice(1).map((_, k) => wire(k, k + 1));
  if (net === "resnet") for (let k = 0; k + 3 < layers.length; k += 2) wirings.push(wire(k, k + 3));
  return { layers, wirings, tracedBy: "symbolic" };
}

export function traitsFor(net: string, { theme }: Options): Record<string, unknown> {
  const { layers } = fakeGraph(net);
  return { layers: layers.map(({ name }) => name), selected: {}, ablated: {}, site: "activation", scale: 0, rule: "coefficient", n_edges: net === "vgg" ? 2000 : 600, panel: "inspector", image: 0, heat_layer: layers[1].name, device: "cpu", batches: 0, theme };
}

const f32 = (values: Float32Array, shift = 4): DataView => {
  const padded = new Uint8Array(values.byteLength + shift); // begins inside its ArrayBuffer, as real ones do
  padded.set(new Uint8Array(values.buffer), shift);
  return new DataView(padded.buffer, shift);
};
const u8 = (values: Uint8Array): DataView => new DataView(values.buffer);

export function fakeEdges(graph: GraphInfo, k: number): Uint8Array {
  const { rows, cols } = graph.wirings[k];
  const next = random(k + 7);
  const strength = Array.from({ length: cols }, () => next() ** 3);
  return Uint8Array.from({ length: rows * cols }, (_, at) => Math.min(255, Math.floor(255 * next() ** 4 * (0.25 + 0.75 * strength[at % cols]) * (64 / Math.max(64, cols)) ** 0.3)));
}

function fakeImportance(graph: GraphInfo, rule: string, collected: boolean): Float32Array {
  const parts = graph.layers.map(({ units, isOutput }, k) => {
    const next = random(k * 31 + rule.length);
    const raw = Array.from({ length: units }, () => (isOutput || (!collected && rule !== "l1") ? NaN : next() ** 2.2 + 0.01));
    const sum = raw.reduce((a, b) => a + b, 0);
    return raw.map((value) => value / sum);
  });
  return Float32Array.from(parts.flat());
}

function fakeUnit(graph: GraphInfo, name: string, unit: number, collected: boolean): [UnitInfo, Float32Array] {
  const at = graph.layers.findIndex((each) => each.name === name);
  const next = random(at * 1000 + unit + 3);
  const relatives = (others: WiringInfo[], side: "source" | "target") => others.flatMap((w) => Array.from({ length: 10 }, (_, k) => ({ layer: w[side], unit: Math.floor(next() * (side === "source" ? w.cols : w.rows)), coefficient: (next() - 0.5) * 2, standardised: (k % 3 ? 1 : -1) * 0.6 * 0.8 ** k }))).slice(0, 10);
  const { kind, units, isOutput } = graph.layers[at];
  const channels = at === 0 ? 3 : Math.min(64, graph.layers[at - 1].units);
  const shape = kind === "conv" ? [at === 0 ? 3 : graph.layers[at - 1].units, 3, 3] : [graph.layers[at - 1].units, 1, 1];
  const importance = isOutput ? {} : Object.fromEntries((collected ? ["coefficient", "standardised", "l1", "variance", "response"] : ["l1"]).map((rule) => [rule, { value: next() / units, rank: 1 + Math.floor(next() * units), of: units }]));
  return [{
    layer: name, unit, response: collected ? { mean: next() * 10, sd: next() * 2 } : null, r2: collected ? 0.5 + next() / 2 : null, heldoutR2: collected ? 0.4 + next() / 2 : null, importance,
    parents: collected ? relatives(graph.wirings.filter((w) => w.target === name), "source") : [], children: collected ? relatives(graph.wirings.filter((w) => w.source === name), "target") : [],
    weights: { shape }, notes: unit % 5 === 4 ? ["No variance over these images: the filter is dead."] : [],
  }, Float32Array.from({ length: channels * shape[1] * shape[2] }, () => (next() + next() + next() - 1.5) * 0.4)];
}

function fakeEffect(ablated: Record<string, number[]>, scale: number, classes: string[], labels: boolean, nStrip: number): EffectInfo {
  const n = Object.values(ablated).flat().length;
  const next = random(n * 13 + 1);
  const drop = Math.min(0.85, 0.012 * n ** 1.3) * (1 - scale) ** 1.5;
  return {
    n: 360, units: ablated, site: "activation", scale, before: { accuracy: labels ? 0.9778 : null, loss: labels ? 0.0812 : null }, after: { accuracy: labels ? 0.9778 - drop : null, loss: labels ? 0.0812 + 3 * drop : null },
    change: { accuracy: labels ? -drop : null, accuracyHalf: labels ? 0.012 : null, loss: labels ? 3 * drop : null, lossHalf: labels ? 0.02 : null },
    classes: classes.map((name) => { const change = (next() - 0.75) * drop * 2; return { name, before: labels ? 0.97 : null, after: labels ? 0.97 + change : null, change: labels ? change : null, half: labels ? 0.02 + 0.04 * next() : null, logit: change * 8, logitHalf: 0.2 }; }),
    flipped: Math.round(drop * 380), seconds: 0.21,
    strip: Array.from({ length: nStrip }, (_, k) => ({ before: { cls: k % 10, p: 0.9 + 0.1 * next() }, after: k % 4 === 1 ? { cls: (k + 3) % 10, p: 0.5 + 0.2 * next() } : { cls: k % 10, p: 0.7 + 0.2 * next() } })),
  };
}

/** R² of every unit, NaN for one that is dead; lower and below zero here and there on held-out images. */
function fakeEquations(graph: GraphInfo): [EquationsInfo, Float32Array, Float32Array] {
  const layers = graph.layers.slice(1);
  const r2 = layers.flatMap(({ units }, at) => {
    const next = random(at * 77 + 5);
    return Array.from({ length: units }, (_, k) => (k % 29 === 28 ? NaN : 1 - next() ** 2.4 * (0.25 + 0.1 * at)));
  });
  const next = random(99);
  return [{
    estimator: "ridge", data: "both", transform: "frobenius", site: "activation", images: 1150,
    layers: layers.map(({ name, units }, k) => ({ layer: name, units, parents: graph.layers[k].units, dead: Math.floor(units / 29), notes: k === 1 ? ["120 units, 40 parents that are nearly collinear: condition 4.1e+03"] : [] })),
  }, Float32Array.from(r2), Float32Array.from(r2.map((value) => value - next() ** 6 * 1.6 - 0.03))];
}

function fakeEquation(graph: GraphInfo, name: string, unit: number, collected: boolean): [EquationInfo, Float32Array] {
  const at = graph.layers.findIndex((each) => each.name === name);
  const next = random(at * 1000 + unit + 11);
  const sources = graph.wirings.filter((w) => w.target === name);
  if (!collected || !sources.length) return [{ layer: name, unit, equation: null, reason: collected ? "its units read the image itself, so they have no equation" : "nothing is collected yet" }, new Float32Array()];
  const n = sources.reduce((sum, { cols }) => sum + cols, 0);
  const parents = Array.from({ length: Math.min(20, n) }, (_, k) => ({ layer: sources[k % sources.length].source, unit: k, standardised: (k % 3 ? 1 : -1) * 0.7 * 0.8 ** k, coefficient: (k % 3 ? 1 : -1) * (0.2 + next()) }));
  const noise = 0.05 + 0.4 * next();
  const points = Float32Array.from({ length: 260 }, () => next() + next()).map((x) => 4 * x);
  return [{
    layer: name, unit, equation: {
      estimator: "ridge", linear: true, components: 1, dead: unit % 29 === 28, notes: unit % 5 === 4 ? ["dead: its response is the same for every image"] : [], parents, nParents: n,
      r2: 1 - noise, heldoutR2: 0.97 - noise, mse: noise * 2, relativeMse: noise, condition: 10 + 4000 * next() ** 3, penalty: 0.0032, noPoints: null,
    },
  }, Float32Array.from([...points].flatMap((x) => [x, 4 + (x - 4) * (1 - noise / 2) + 5 * noise * (next() + next() - 1)]))];
}

function fakeCheck(graph: GraphInfo, done: boolean): CheckInfo {
  const layers = graph.layers.slice(0, -1).map(({ name }) => name);
  const depth = layers.map((_, k) => 0.35 + (0.63 * (k + 1)) / layers.length);
  const row = (name: string, ours: boolean, correlation: number, passes: number) => ({ name, ours, correlation, r2: correlation ** 2 - 0.05, flips: 0.6 * correlation, passes });
  const rows = (by: number) => [row("SCM equations", true, 0.71 * by, 1), row("local SCM", true, 0.86 * by, 3), row("COAR masks", false, 0.62 * by, 2000), row("gradient", false, 0.58 * by, 3), row("leave-one-out", false, 0.41 * by, 143), row("weight norm", false, 0.12 * by, 0), row("no change", false, 0, 0)];
  return {
    cost: { passes: 27_200, images: 64, draws: 10, seconds: 11.4, labelled: true },
    depth: done ? { layers, agreement: depth, accuracy: depth.map((x) => x - 0.02), network: 0.9778, images: 287 } : null,
    fidelity: done ? { skipped: [], settings: [{ name: "one unit", rows: rows(1) }, { name: "10 % of a layer", rows: rows(0.9) }, { name: "10 % of the network", rows: rows(0.8) }], images: 64, interventions: 30, seconds: 10.2 } : null,
  };
}

function fakeImages(n: number, side: number): Uint8Array {
  const out = new Uint8Array(n * side * side * 3);
  for (let k = 0; k < n; k++) for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    const r = Math.hypot(x - side / 2 - 3 * Math.sin(k), y - side / 2 - 3 * Math.cos(k));
    const v = 255 * Math.exp(-(((r - side * (0.15 + 0.02 * k)) / (side * 0.09)) ** 2));
    out.set([v, v * (0.7 + 0.03 * k), v * 0.85], 3 * ((k * side + y) * side + x));
  }
  return out;
}

function fakeMap(side: number, seed: number, signed: boolean): Float32Array {
  return Float32Array.from({ length: side * side }, (_, at) => {
    const value = Math.sin((at % side) / side * 5 + seed) * Math.cos(at / side / side * 4 + seed);
    return signed ? value : Math.max(0, value);
  });
}

export function fakeCurve(percents: number[], rules: string[], repeats: number): CurveInfo {
  return {
    percents, baseline: 0.9778, n: 360,
    rules: rules.map((name, k) => {
      const mean = percents.map((p) => 0.1 + 0.878 / (1 + Math.exp((p - 38 - 6 * k) / 7)));
      const wide = name === "random" ? 0.09 : 0;
      return { name, mean, low: mean.map((m) => Math.max(0, m - wide)), high: mean.map((m) => Math.min(1, m + wide)), repeats: name === "random" ? repeats : 1 };
    }),
  };
}

/** Every filter of some layers with a made-up effect; some near the least effect stay undecided. */
export function fakeRanking(graph: GraphInfo, layers: string[] | null, outcome: string | null, minEffect: number | null): [RankingInfo, DataView[], BufferInfo[]] {
  const named = layers ?? graph.layers.filter(({ kind, isOutput }) => kind === "conv" && !isOutput).map(({ name }) => name);
  const least = minEffect ?? 0.01;
  const columns: Record<string, number[]> = { layer: [], unit: [], effect: [], low: [], high: [], p: [], corrected: [], images: [], needed: [] };
  const verdict: number[] = [];
  named.forEach((name, k) => {
    const next = random(k * 17 + 3);
    for (let unit = 0; unit < graph.layers.find((each) => each.name === name)!.units; unit++) {
      const effect = (next() ** 4 - 0.02) * 0.3 * (outcome === "correct" ? -0.5 : 1);
      const half = 0.2 * Math.abs(effect) + 0.002 + 0.012 * next() ** 3;
      const harm = outcome === "correct" || outcome === "margin" ? -effect : effect;
      const kind = harm - half > least ? 0 : harm + half < -least ? 2 : Math.abs(harm) + half < least ? 1 : 3;
      const p = kind === 3 ? 0.05 + 0.9 * next() : 10 ** (-2 - 9 * next());
      const row = { layer: k, unit, effect, low: effect - half, high: effect + half, p, corrected: Math.min(1, 3 * p), images: 360, needed: kind === 3 ? Math.round(400 + 4000 * next()) : NaN };
      for (const [column, value] of Object.entries(row)) columns[column].push(value);
      verdict.push(kind);
    }
  });
  const info = { outcome: outcome ?? "loss", outcomes: [{ name: "loss", worse: 1 }, { name: "correct", worse: -1 }, { name: "margin", worse: -1 }, { name: "kl", worse: 1 }], minEffect: least, defaultMinEffect: 0.01, layers: named, images: 360, seconds: 1.24, site: "activation", verdicts: ["critical", "neutral", "detrimental", "undecided"] };
  const shape = [verdict.length];
  return [info, [...Object.values(columns).map((values) => f32(Float32Array.from(values))), u8(Uint8Array.from(verdict))], [...Object.keys(columns).map((name) => ({ name, dtype: "float32" as const, shape })), { name: "verdict", dtype: "uint8" as const, shape }]];
}

/** The graph of a class over made-up effects: of the layers in `found`, or what it shares with another class. */
export function fakeClass(graph: GraphInfo, target: number, found: string[], other: number | null): [ClassInfo, DataView[], BufferInfo[]] {
  const hidden = graph.layers.filter(({ isOutput }) => !isOutput).map(({ name }) => name);
  const layers = hidden.filter((name) => found.includes(name));
  const columns: Record<string, number[]> = { layer: [], unit: [], effect: [], low: [], high: [], p: [], corrected: [], needed: [], images: [] };
  const kinds = new Map<string, number[]>();
  const kindOf = (k: number, unit: number, of: number) => { const next = random((k + 1) * 7919 + unit * 104_729 + of * 15_485_863); next(); next(); const x = next(); return x < 0.3 ? 0 : x < 0.6 ? 1 : x < 0.75 ? 2 : x < 0.85 ? 3 : 4; };
  layers.forEach((name, k) => {
    const { units } = graph.layers.find((each) => each.name === name)!;
    kinds.set(name, Array.from({ length: units }, (_, unit) => kindOf(k, unit, target)));
    kinds.get(name)!.forEach((kind, unit) => {
      const effect = kind === 4 ? NaN : [-1.2, 0.001, 0.8, -0.1][kind] * (0.5 + random(unit + 3)());
      const row = { layer: k, unit, effect, low: effect - 0.1, high: effect + 0.1, p: 0.001, corrected: kind % 2 ? 0.4 : 0.004, needed: kind === 3 ? 212 : NaN, images: 47 };
      for (const [column, value] of Object.entries(row)) columns[column].push(value);
    });
  });
  const paths: number[][] = [[], [], [], []];
  const strength: number[] = [];
  graph.wirings.forEach(({ source, target: to, rows, cols }, wiring) => {
    for (let col = 0; col < cols; col++) for (let row = 0; row < rows; row++) {
      const kind = kinds.get(source)?.[col] ?? 1;
      if ((kind === 0 || kind === 2) && (kinds.has(to) ? kinds.get(to)![row] === 0 : row === target)) {
        [wiring, row, col, kind].forEach((value, k) => paths[k].push(value));
        strength.push(1 + ((row * 7 + col * 13) % 255));
      }
    }
  });
  const verdict = layers.flatMap((name, k) => kinds.get(name)!.map((kind, unit) => (other === null ? kind : [0, 1, 2, 3][(kind === 0 ? 0 : 2) + (kindOf(k, unit, other) === 0 ? 0 : 1)])));
  const done = layers.length === hidden.length;
  const rows = (from: number) => Array.from({ length: 11 }, (_, k) => ({ share: k / 10, blocked: k, before: from, after: from + 0.002 * k, change: 0.002 * k, low: -0.01, high: 0.01 + 0.002 * k, n: 32 }));
  const info: ClassInfo = {
    target, name: String(target), mode: "sound", outcome: "output", layers, images: 94, needed: 60, own: 32, others: 1171, done, wrong: 1, minEffect: 0.17, seconds: 0.4, notes: [],
    verdicts: other === null ? ["critical", "neutral", "detrimental", "undecided", "not asked"] : ["shared", "only a", "only b", "neither"], repair: done ? { own: rows(0.9), others: rows(0.97) } : null,
  };
  const floats = { ...columns, wiring: paths[0], row: paths[1], col: paths[2] };
  const bytes = { verdict, kind: paths[3], strength };
  return [info, [...Object.values(floats).map((values) => f32(Float32Array.from(values))), ...Object.values(bytes).map((values) => u8(Uint8Array.from(values)))],
    [...Object.entries(floats).map(([name, { length }]) => ({ name, dtype: "float32" as const, shape: [length] })), ...Object.entries(bytes).map(([name, { length }]) => ({ name, dtype: "uint8" as const, shape: [length] }))]];
}

export function fakeKernel(net: string, model: FakeModel, options: Options): Kernel {
  const graph = fakeGraph(net);
  const classes = net === "lenet" ? "0123456789".split("") : ["airplane", "automobile", "bird", "cat", "<script>deer", "dog", "frog", "horse", "ship", "truck"];
  const [nStrip, side] = [12, net === "lenet" ? 28 : 32];
  let [collected, revision, cancelled] = [options.collected, 1, false];
  let job: Job | null = null;
  let curve: CurveInfo | null = null;
  let [checked, localised] = [false, false];
  let [measured, found] = [1, 1];
  const explained = new Set<number>();
  let finding: { target: number; layers: string[] } | null = null;
  let ranked: { layers: string[] | null } | null = options.ranked ? { layers: null } : null;
  const state = () => ({
    version: 1, model: { lenet: "LeNet5", vgg: "VGG-19-BN", resnet: "CIFAR ResNet-20" }[net] ?? net, nFilters: graph.layers.filter((l) => l.kind === "conv").reduce((sum, l) => sum + l.units, 0), nLayers: graph.layers.length, classes,
    devices: [{ name: "cpu", label: "CPU, 8 threads", memory: 16e9, free: 9e9 }, { name: "cuda:0", label: "NVIDIA H100", memory: 80e9, free: 71e9 }],
    collected, nImages: collected ? 1437 : 0, accuracy: collected && options.labels ? 0.9833 : null, loss: collected && options.labels ? 0.0612 : null, hasLabels: options.labels, nStrip, canCollect: true, job, revision, measured, found,
  });
  const emit = (content: any) => model.emit("msg:custom", { v: 1, ...content }, []);

  function run(kind: Job["kind"], total: number, end: () => void): { job: number } {
    cancelled = false;
    job = { id: (job?.id ?? 0) + 1, kind, state: "running", done: 0, total, unit: "images", rate: null, remaining: null, message: "", error: null };
    const tick = () => {
      const ended = cancelled || job!.done >= total;
      job = { ...job!, done: Math.min(total, job!.done + total / 20), rate: 512.3, remaining: (total - job!.done) / 512, state: cancelled ? "cancelled" : ended ? "done" : "running" };
      if (ended && !cancelled) end();
      emit({ event: "job", job });
      if (ended) emit({ event: "changed", state: state() });
      else setTimeout(tick, 100);
    };
    setTimeout(tick, 50);
    return { job: job.id };
  }

  const ops: Record<string, (args: any) => [result: any, buffers?: DataView[], infos?: any[]]> = {
    hello: () => [state()],
    graph: () => [graph],
    importance: ({ rule }) => { const values = fakeImportance(graph, rule, collected); return [{ rule }, [f32(values)], [{ name: "importance", dtype: "float32", shape: [values.length] }]]; },
    edges: ({ wirings }) => [{ source: collected ? "coefficient" : "weight" }, wirings.map((k: number) => u8(fakeEdges(graph, k))), wirings.map((k: number) => ({ name: `wiring ${k}`, dtype: "uint8", shape: [graph.wirings[k].rows, graph.wirings[k].cols] }))],
    unit: ({ layer: name, unit }) => { const [info, weights] = fakeUnit(graph, name, unit, collected); return [info, [f32(weights, 6)], [{ name: "weights", dtype: "float32", shape: [weights.length / (info.weights!.shape[1] * info.weights!.shape[2]), ...info.weights!.shape.slice(1)] }]]; },
    equations: () => {
      if (!collected) return [{ known: null }];
      const [known, r2, heldout] = fakeEquations(graph);
      return [{ known }, [f32(r2), f32(heldout)], ["r2", "heldoutR2"].map((name) => ({ name, dtype: "float32", shape: [r2.length] }))];
    },
    equation: ({ layer: name, unit }) => {
      const [info, points] = fakeEquation(graph, name, unit, collected);
      return info.equation ? [info, [f32(points)], [{ name: "points", dtype: "float32", shape: [points.length / 2, 2] }]] : [info];
    },
    effect: ({ ablated, scale }) => [fakeEffect(ablated ?? model.get("ablated"), scale ?? model.get("scale"), classes, options.labels, nStrip)],
    predict: ({ ablated, scale, site, by }) => {
      if (by === "local" && !localised) return [{ predicted: null, reason: "the local equations of these images are not measured yet", cost: { passes: 98_280, images: 360, seconds: 7.7 } }];
      if (site !== "activation") return [{ predicted: null, reason: `the equations are about responses at the activation, the intervention is at the ${site}` }];
      // they foresee less than happens, and for some classes something else
      const predicted = fakeEffect(ablated, scale, classes, options.labels, 0);
      const less = by === "local" ? 0.96 : 0.55;
      predicted.change = { ...predicted.change, accuracy: predicted.change.accuracy! * less, loss: predicted.change.loss! * less };
      predicted.after = { accuracy: predicted.before.accuracy! + predicted.change.accuracy!, loss: predicted.before.loss! + predicted.change.loss! };
      predicted.flipped = Math.round(predicted.flipped * less);
      predicted.classes = predicted.classes.map((each, k) => ({ ...each, change: each.change === null ? null : each.change * less + (k % 3 || by === "local" ? 0 : 0.012 * (1 - scale)), logit: each.logit! * less }));
      return [{ predicted: options.labels ? predicted : { ...predicted, change: { accuracy: null, accuracyHalf: null, loss: null, lossHalf: null }, after: { accuracy: null, loss: null } } }];
    },
    images: () => [{ labels: Array.from({ length: nStrip }, (_, k) => (options.labels ? k % 10 : null)), predictions: Array.from({ length: nStrip }, (_, k) => (k === 3 || k === 8 ? 5 : k % 10)) }, [u8(fakeImages(nStrip, side))], [{ name: "images", dtype: "uint8", shape: [nStrip, side, side, 3] }]],
    heatmap: ({ unit }) => {
      const present = [collected, unit !== null, Object.keys(model.get("ablated")).length > 0];
      const names = ["importance", "activation", "difference"];
      const kept = names.map((_, k) => k).filter((k) => present[k]);
      return [{ maps: names.map((name, k) => ({ name, present: present[k], low: k === 2 ? -0.38 : 0, high: k === 2 ? 0.38 : 2.41, signed: k === 2 })) }, kept.map((k) => f32(fakeMap(side, k, k === 2))), kept.map((k) => ({ name: names[k], dtype: "float32", shape: [side, side] }))];
    },
    collect: () => [run("collect", 1437, () => { collected = true; revision++; })],
    prune: ({ percents, rules, repeats }) => [run("prune", 4000, () => { curve = fakeCurve(percents, rules, repeats); })],
    pruning: () => [{ curve }],
    check: () => [run("check", 640, () => { checked = true; })],
    local: () => [run("local", 360, () => { localised = true; })],
    rankPlan: ({ layers, precision }) => {
      const chosen = graph.layers.filter(({ name, kind }) => (layers ? layers.includes(name) : kind === "conv"));
      return [{ units: chosen.reduce((sum, { units }) => sum + units, 0), layers: chosen.length, images: 360, seconds: precision ? 4.1 : 41.3, mostSeconds: 41.3, less: 3.02, reason: null, site: model.get("site") }];
    },
    rank: ({ layers }) => [run("rank", 51_120, () => { ranked = { layers }; measured++; })],
    ranking: ({ outcome, minEffect }) => {
      if (!ranked) return [{ ranking: null }];
      const [info, buffers, infos] = fakeRanking(graph, ranked.layers, outcome, minEffect);
      return [{ ranking: info }, buffers, infos];
    },
    checked: () => [collected ? fakeCheck(graph, checked) : { cost: null, reason: "there are no equations yet: collect first", depth: null, fidelity: null }],
    classPlan: ({ target, images }) => [{ target, images: images ?? 94, available: 126, needed: 60, units: 270, seconds: 0.4, own: 32, others: 1171 }],
    explain: ({ target }) => {
      finding = { target, layers: [] };
      const backwards = graph.layers.filter(({ isOutput }) => !isOutput).map(({ name }) => name).reverse();
      const next = () => {
        if (!finding || cancelled || !backwards.length) return;
        finding.layers.push(backwards.shift()!);
        found++;
        emit({ event: "changed", state: { revision, measured, found, job } });
        setTimeout(next, 300);
      };
      setTimeout(next, 120);
      return [run("explain", 500, () => { explained.add(target); finding = null; })];
    },
    explained: ({ target, other }) => {
      if (cancelled) finding = null;
      const known = [...explained].map((k) => ({ target: k, name: classes[k], mode: "sound" }));
      const one = target ?? finding?.target ?? known[known.length - 1]?.target;
      if (one === undefined || (finding?.target !== one && !explained.has(one))) return [{ known, graph: null }];
      const [info, buffers, infos] = fakeClass(graph, one, finding?.target === one ? finding!.layers : graph.layers.map(({ name }) => name), other);
      return [{ known, graph: info }, buffers, infos];
    },
    classUnit: () => [{ responses: [6, 5, 4, 3, 2, 1], low: -0.4, high: 1.2, parents: "critical", reason: "" }, [u8(fakeImages(7, side)), f32(Float32Array.from(Array.from({ length: 7 }, (_, k) => [...fakeMap(side, k, true)]).flat()))], [{ name: "images", dtype: "uint8", shape: [7, side, side, 3] }, { name: "maps", dtype: "float32", shape: [7, side, side] }]],
    repair: () => [run("repair", 40, () => { found++; })],
    poll: () => [{ job, revision, measured, found }],
    cancel: () => { cancelled = true; return [{ cancelled: true }]; },
  };
  return ({ id, op, args, page }, answer) => {
    setTimeout(() => {
      if (!ops[op]) return answer({ v: 1, id, page, ok: false, error: { kind: "ArgumentError", message: `no operation "${op}"` } });
      const [result, buffers = [], infos] = ops[op](args);
      answer({ v: 1, id, page, ok: true, result: infos ? { ...result, buffers: infos } : result }, buffers);
    }, op === "effect" ? 150 : 15);
  };
}
