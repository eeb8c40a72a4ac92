// What one model's views share: the connection, what the kernel said, and the person's choices (the traits).
import { Emitter } from "./emitter";
import { Client, RequestError, type Reply } from "./protocol";
import { chunks, unitKey, without } from "./units";
import {
  CHOICES, type Choice, type Choices, type CurveInfo, type EffectInfo, type GraphInfo, type ImagesInfo, type Job, type KernelState, type LayerInfo, type MapInfo,
  type Model, type UnitInfo, type Units,
} from "./types";

export type Topic = Choice | "state" | "graph" | "importance" | "edges" | "job" | "effect" | "images" | "curve" | "message" | "revision";

export interface Unit {
  info: UnitInfo;
  weights: Float32Array | null;
}
export interface Images {
  info: ImagesInfo;
  shape: number[];
  data: Uint8Array;
}
export interface Heatmap {
  map: MapInfo;
  shape: number[];
  data: Float32Array;
}
export interface Message {
  kind: "error" | "note";
  text: string;
}

const EFFECT_DELAY = 60;
const EFFECT_TIMEOUT = 900_000;
const UNIT_CACHE = 300;

export class Session {
  readonly events = new Emitter<Topic>();
  readonly client: Client;
  kernel: KernelState | null = null;
  graph: GraphInfo | null = null;
  job: Job | null = null;
  images: Images | null = null;
  effect: EffectInfo | null = null;
  effectWaiting = false;
  curve: CurveInfo | null = null;
  message: Message | null = null;
  unreachable = false;
  /** One matrix a wiring, by its position in the graph; null until it arrived. */
  edges: (Uint8Array | null)[] = [];
  edgeSource: string | null = null;

  private readonly importances = new Map<string, Float32Array | "asked">();
  private readonly units = new Map<string, Promise<Unit>>();
  private readonly edgesAsked = new Set<number>();
  private readonly offsets = new Map<string, number>();
  private revision = -1;
  private generation = 0;
  private effectTimer: ReturnType<typeof setTimeout> | null = null;
  private effectRun = 0;
  private readonly handlers: [string, () => void][] = [];

  constructor(private readonly model: Model) {
    this.client = new Client(model, { job: (job) => this.onJob(job), changed: (state) => this.onChanged(state), refused: (trait, message) => this.fail(message, `Choice of ${trait}`) });
    for (const name of CHOICES) {
      const handler = () => this.onChoice(name);
      this.handlers.push([`change:${name}`, handler]);
      model.on(`change:${name}`, handler);
    }
    this.hello();
  }

  close(): void {
    for (const [event, handler] of this.handlers) this.model.off(event, handler);
    if (this.effectTimer) clearTimeout(this.effectTimer);
    this.effectRun++;
    this.client.close();
    this.events.clear();
  }

  // -- the person's choices ---------------------------------------------------------------------

  get<K extends Choice>(name: K): Choices[K] {
    return this.model.get(name);
  }

  /** `save: false` only shows a choice that is still being made (a slider under the finger). */
  set<K extends Choice>(name: K, value: Choices[K], save = true): void {
    this.model.set(name, value);
    if (save) this.model.save_changes();
  }

  get layers(): LayerInfo[] {
    if (!this.graph) return [];
    const chosen = new Set(this.get("layers") ?? []);
    return this.graph.layers.filter((layer) => chosen.has(layer.name));
  }

  isAblated(layer: string, unit: number): boolean {
    return Boolean(this.get("ablated")?.[layer]?.includes(unit));
  }

  setAblated(layer: string, units: number[], zero: boolean): void {
    const rest = without(this.get("ablated") ?? {}, layer, units);
    if (zero) rest[layer] = [...(rest[layer] ?? []), ...units].sort((a, b) => a - b);
    this.set("ablated", rest);
  }

  /** Zeroes all the given units, or restores them if all of them are zeroed already. */
  toggle(units: Units): void {
    const entries = Object.entries(units).filter(([layer]) => !this.layer(layer)?.isOutput);
    const zero = !entries.every(([layer, list]) => list.every((unit) => this.isAblated(layer, unit)));
    let ablated = this.get("ablated") ?? {};
    for (const [layer, list] of entries) {
      ablated = without(ablated, layer, list);
      if (zero) ablated[layer] = [...(ablated[layer] ?? []), ...list].sort((a, b) => a - b);
    }
    if (entries.length) this.set("ablated", ablated);
    else if (Object.keys(units).length) this.note("Classes are read, not zeroed: choose a filter.");
  }

  // -- what the kernel knows -----------------------------------------------------------------------

  layer(name: string): LayerInfo | undefined {
    return this.graph?.layers.find((layer) => layer.name === name);
  }

  /** The rule that colours the graph: until something is collected only the weights can speak. */
  get shownRule(): string {
    return this.kernel && !this.kernel.collected ? "l1" : this.get("rule");
  }

  /** Importances of one layer by a rule (a view, not a copy); null while they are on their way. */
  importance(layer: string, rule = this.shownRule): Float32Array | null {
    const all = this.importances.get(rule);
    const offset = this.offsets.get(layer);
    if (all === undefined) this.askImportance(rule);
    if (!(all instanceof Float32Array) || offset === undefined) return null;
    return all.subarray(offset, offset + (this.layer(layer)?.units ?? 0));
  }

  unit(layer: string, unit: number): Promise<Unit> {
    const key = unitKey(layer, unit);
    let wanted = this.units.get(key);
    if (!wanted) {
      wanted = this.client.request<UnitInfo>("unit", { layer, unit }).then(({ result, arrays }) => ({ info: result, weights: (arrays[0]?.data as Float32Array) ?? null }));
      wanted.catch(() => this.units.delete(key));
      if (this.units.size >= UNIT_CACHE) this.units.delete(this.units.keys().next().value!);
      this.units.set(key, wanted);
    }
    return wanted;
  }

  async heatmaps(): Promise<Heatmap[]> {
    const [selected] = Object.entries(this.get("selected") ?? {}).filter(([name, list]) => list.length && !this.layer(name)?.isOutput);
    const args = { image: this.get("image"), layer: this.get("heat_layer"), unit: selected ? selected[1][0] : null, unitLayer: selected ? selected[0] : null, ...this.intervention };
    const { result, arrays } = await this.client.request<{ maps: MapInfo[] }>("heatmap", args, 120_000);
    const present = result.maps ?? [];
    // An absent map may come with or without an empty buffer of its own.
    return arrays.length === present.length
      ? present.map((map, k) => ({ map, shape: arrays[k].shape, data: arrays[k].data as Float32Array }))
      : present.map((map) => {
          const array = arrays.find(({ name }) => name === map.name);
          return { map, shape: array?.shape ?? [0, 0], data: (array?.data as Float32Array) ?? new Float32Array() };
        });
  }

  hello(): void {
    this.unreachable = false;
    this.client
      .request<KernelState>("hello", {}, 20_000)
      .then(({ result }) => this.onChanged(result))
      .catch((error) => {
        if (error instanceof RequestError && error.kind === "Closed") return;
        this.unreachable = true;
        this.fail(error, "No answer from the kernel");
        this.events.emit("state");
      });
  }

  // -- jobs ------------------------------------------------------------------------------------------

  collect(): Promise<unknown> {
    return this.start("collect", { batches: this.get("batches") ?? 0, device: this.get("device") });
  }

  prune(args: { percents: number[]; rules: string[]; repeats: number; seed: number }): Promise<unknown> {
    return this.start("prune", args);
  }

  cancel(): Promise<unknown> {
    return this.client.request("cancel").catch((error) => this.fail(error, "Cancel"));
  }

  private start(kind: "collect" | "prune", args: Record<string, unknown>): Promise<unknown> {
    this.dismiss();
    this.client.watch(true);
    return this.client
      .request<{ job: number }>(kind, args)
      // A poll may have run before the job was there and found nothing: watch again, unless it ended already.
      .then(({ result }) => this.client.watch(this.job?.id !== result.job || this.running))
      .catch((error) => {
        this.client.watch(this.running);
        this.fail(error, kind === "collect" ? "Collect" : "Prune");
      });
  }

  get running(): boolean {
    return this.job !== null && (this.job.state === "queued" || this.job.state === "running");
  }

  // -- messages to the person ------------------------------------------------------------------------

  fail(error: unknown, what: string): void {
    if (error instanceof RequestError && (error.kind === "Superseded" || error.kind === "Closed")) return;
    this.say({ kind: "error", text: `${what}: ${error instanceof Error ? error.message : String(error)}` });
  }

  note(text: string): void {
    this.say({ kind: "note", text });
  }

  dismiss(): void {
    if (this.message) this.say(null);
  }

  private say(message: Message | null): void {
    this.message = message;
    this.events.emit("message");
  }

  // -- what arrives ------------------------------------------------------------------------------------

  private onChoice(name: Choice): void {
    if (name === "ablated" || name === "site") this.askEffect();
    this.events.emit(name);
    if (name === "layers") this.askEdges();
  }

  private onJob(job: Job): void {
    const before = this.job;
    const ended = job.state === "done" || job.state === "failed" || job.state === "cancelled";
    const news = !before || before.id !== job.id || before.state !== job.state;
    this.job = job;
    this.client.watch(!ended);
    this.events.emit("job");
    if (!news || !ended) return;
    if (job.state === "failed") this.say({ kind: "error", text: `${title(job)} failed: ${job.message || job.error || "no reason was given"}` });
    if (job.state === "cancelled" && job.kind !== "effect") this.note(`${title(job)} was cancelled. ${job.message}`.trim());
    if (job.kind === "prune" && job.state === "done") this.askCurve();
  }

  private onChanged(state: Partial<KernelState> & { revision: number }): void {
    const first = this.kernel === null;
    const full = "model" in state;
    if (full) {
      this.kernel = state as KernelState;
      if (first) this.job = state.job ?? null; // how a job ended before this page was there is no news
      else if (state.job) this.onJob(state.job);
      this.client.watch(this.running);
      this.events.emit("job");
      this.events.emit("state");
    }
    if (state.revision === this.revision) return;
    if (!full) return this.hello(); // a poll that saw a new revision: ask for the whole state
    this.revision = state.revision;
    this.refetch(first);
  }

  private refetch(first: boolean): void {
    const generation = ++this.generation;
    this.units.clear();
    this.importances.clear();
    this.client
      .request<GraphInfo>("graph")
      .then(({ result }) => {
        if (generation !== this.generation) return;
        this.graph = result;
        let sum = 0;
        for (const layer of result.layers) {
          this.offsets.set(layer.name, sum);
          sum += layer.units;
        }
        this.edges = result.wirings.map((_, k) => (first ? null : (this.edges[k] ?? null)));
        this.edgesAsked.clear();
        this.events.emit("graph");
        this.events.emit("revision");
        this.askImportance(this.shownRule);
        this.askEdges();
        this.askEffect();
        this.askCurve();
        this.askImages();
      })
      .catch((error) => this.fail(error, "Graph"));
  }

  private askImportance(rule: string): void {
    if (!this.graph || this.importances.has(rule)) return;
    const generation = this.generation;
    this.importances.set(rule, "asked");
    this.client
      .request<{ rule: string }>("importance", { rule })
      .then(({ arrays }) => {
        if (generation !== this.generation) return;
        this.importances.set(rule, arrays[0].data as Float32Array);
        this.events.emit("importance");
      })
      .catch((error) => this.fail(error, "Importance"));
  }

  private async askEdges(): Promise<void> {
    const graph = this.graph;
    if (!graph) return;
    const generation = this.generation;
    const shown = new Set(this.get("layers") ?? []);
    const wanted = graph.wirings.map((_, k) => k).filter((k) => !this.edgesAsked.has(k) && shown.has(graph.wirings[k].source) && shown.has(graph.wirings[k].target));
    wanted.forEach((k) => this.edgesAsked.add(k));
    try {
      for (const group of chunks(wanted, (k) => graph.wirings[k].rows * graph.wirings[k].cols, 1 << 20)) {
        const { result, arrays }: Reply<{ source: string }> = await this.client.request("edges", { wirings: group });
        if (generation !== this.generation) return;
        this.edgeSource = result.source;
        group.forEach((wiring, k) => (this.edges[wiring] = arrays[k].data as Uint8Array));
        this.events.emit("edges");
      }
    } catch (error) {
      if (generation === this.generation) wanted.filter((k) => !this.edges[k]).forEach((k) => this.edgesAsked.delete(k));
      this.fail(error, "Edges");
    }
  }

  private askImages(): void {
    if (!this.kernel?.nStrip) return;
    this.client
      .request<ImagesInfo>("images", {}, 120_000)
      .then(({ result, arrays }) => {
        this.images = { info: result, shape: arrays[0].shape, data: arrays[0].data as Uint8Array };
        this.events.emit("images");
      })
      .catch((error) => this.fail(error, "Images"));
  }

  private askCurve(): void {
    this.client
      .request<{ curve: CurveInfo | null }>("pruning")
      .then(({ result }) => {
        this.curve = result.curve ?? this.curve;
        this.events.emit("curve");
      })
      .catch((error) => this.fail(error, "Pruning"));
  }

  // -- the effect of the current do(): debounced, the latest wins, stale values stay until new ones come ------

  private askEffect(): void {
    const run = ++this.effectRun;
    if (this.effectTimer) clearTimeout(this.effectTimer);
    this.effectWaiting = this.zeroed > 0;
    if (!this.zeroed) this.effect = null;
    else this.effectTimer = setTimeout(() => this.runEffect(run), EFFECT_DELAY);
    this.events.emit("effect");
  }

  /** The do() goes along with the question: choices travel on another lane and may come later. */
  private get intervention(): { ablated: Units; site: string } {
    return { ablated: this.get("ablated") ?? {}, site: this.get("site") };
  }

  get zeroed(): number {
    return Object.values(this.get("ablated") ?? {}).reduce((sum, list) => sum + list.length, 0);
  }

  private async runEffect(run: number): Promise<void> {
    try {
      const { result } = await this.client.request<EffectInfo>("effect", this.intervention, EFFECT_TIMEOUT);
      if (run !== this.effectRun) return;
      this.effect = result;
    } catch (error) {
      if (run !== this.effectRun) return;
      this.fail(error, "Effect");
    }
    this.effectWaiting = false;
    this.events.emit("effect");
  }
}

function title(job: Job): string {
  return { collect: "Collect", prune: "Pruning", effect: "Effect" }[job.kind] ?? job.kind;
}
