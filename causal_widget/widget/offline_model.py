"""The page's program that stands in for the kernel."""

SCRIPT = """
const recorded = JSON.parse(document.getElementById("recorded").textContent);
const listeners = new Map();
const values = recorded.traits;
const OFFLINE = "this is an offline copy: open the notebook with a running kernel for that";

function emit(event, ...args) {
  for (const callback of [...(listeners.get(event) ?? [])]) callback(...args);
}

function units(choice) {
  const kept = Object.entries(choice ?? {}).filter(([, numbers]) => numbers.length);
  return kept.map(([layer, numbers]) => [layer, [...numbers].sort((a, b) => a - b)])
    .sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

function intervention(op, args) {
  const chosen = units(args.ablated ?? values.ablated);
  if (!chosen.length) return [];
  // of the values that were recorded for these filters the nearest
  const wanted = args.scale ?? values.scale;
  const keys = Object.keys(recorded.replies).filter((key) => key.startsWith(`["${op}",`));
  const dos = keys.map((key) => JSON.parse(key).pop());
  const same = dos.filter((one) => JSON.stringify(one[0]) === JSON.stringify(chosen)).map((one) => one[2]);
  const nearest = same.sort((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted))[0];
  return [chosen, args.site ?? values.site, nearest ?? wanted.toFixed(2)];
}

function keyOf(op, args) {
  if (op === "importance") return [op, args.rule];
  if (op === "unit" || op === "equation") return [op, args.layer, args.unit];
  if (op === "ranking") return [op, args.outcome ?? null];
  if (op === "explained") return [op, args.target ?? null, args.other ?? null];
  if (op === "classUnit") return [op, args.target, args.layer, args.unit];
  if (op === "effect" || (op === "predict" && args.by !== "local")) return [op, intervention(op, args)];
  if (op !== "heatmap") return [op];
  const unit = args.unit ?? null;
  const layer = unit === null ? null : args.unitLayer ?? args.layer;
  return [op, args.image, args.layer, unit, layer, values.rule, intervention(op, args)];
}

function bytes(text) {
  return new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

function edges(args) {
  const graph = recorded.replies['["graph"]'][0];
  const infos = [], data = [];
  let source = "weight";
  for (const i of args.wirings) {
    const known = recorded.replies[JSON.stringify(["edges", i])];
    const { rows, cols } = graph.wirings[i];
    if (known) source = known[0].source;
    infos.push(known ? known[0].buffers[0] : { name: `edges ${i}`, dtype: "uint8", shape: [rows, cols] });
    data.push(known ? bytes(known[1][0]) : new DataView(new ArrayBuffer(rows * cols)));
  }
  return [{ source, wirings: args.wirings, buffers: infos }, data];
}

function answer({ id, op, args = {}, ...rest }) {
  const reply = { ...rest, v: 1, id };
  if (op === "edges") {
    const [result, data] = edges(args);
    return [{ ...reply, ok: true, result }, data];
  }
  if (op === "poll") return [{ ...reply, ok: true, result: { job: null, revision: 1, measured: 1 } }, []];
  if (op === "cancel") return [{ ...reply, ok: true, result: { cancelled: false } }, []];
  const known = recorded.replies[JSON.stringify(keyOf(op, args))];
  const silent = { predicted: null, reason: OFFLINE };
  if (!known && op === "predict") return [{ ...reply, ok: true, result: silent }, []];
  if (known) return [{ ...reply, ok: true, result: known[0] }, known[1].map(bytes)];
  return [{ ...reply, ok: false, error: { kind: "Offline", message: OFFLINE } }, []];
}

const model = {
  get: (name) => values[name],
  set(name, value) {
    if (JSON.stringify(values[name]) === JSON.stringify(value)) return;
    values[name] = value;
    emit(`change:${name}`, model, value);
    emit("change", model);
  },
  save_changes() {},
  on(event, callback) {
    for (const name of event.split(" ")) listeners.set(name, [...(listeners.get(name) ?? []), callback]);
  },
  off(event, callback) {
    if (!event) return listeners.clear();
    for (const name of event.split(" ")) {
      listeners.set(name, callback ? (listeners.get(name) ?? []).filter((c) => c !== callback) : []);
    }
  },
  send(content) {
    setTimeout(() => emit("msg:custom", ...answer(content)), 0);
  },
};

const program = URL.createObjectURL(new Blob([recorded.program], { type: "text/javascript" }));
const { default: widget } = await import(program);
await widget.initialize?.({ model });
await widget.render({ model, el: document.getElementById("widget") });
"""
