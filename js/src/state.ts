// What one model's views share: the connection, what the kernel said, and the person's choices (the traits).
import { DoWatch, type Do } from "./effect";
import { Emitter } from "./emitter";
import { Known } from "./known";
import { Client, RequestError } from "./protocol";
import { heatmapsOf, type ClassTable, type ClassUnit, type Equation, type Equations, type Heatmap, type Images, type Message, type Ranking, type Table, type Unit } from "./records";
import { countUnits, toggled, without, withUnits } from "./units";
import {
  CHOICES, type By, type CheckInfo, type Choice, type Choices, type ClassChoice, type ClassPlan, type ClassUnitInfo, type CurveInfo, type EffectInfo, type GraphInfo, type Job, type KernelState, type LayerInfo, type MapInfo,
  type Model, type PredictionInfo, type RankPlan, type Units,
} from "./types";

export type Topic = Choice | "state" | "graph" | "importance" | "edges" | "job" | "effect" | "prediction" | "equations" | "check" | "ranking" | "class" | "images" | "curve" | "message" | "revision";

const EFFECT_TIMEOUT = 900_000;
const EFFECT_DELAY = 20;
const PATIENCE = [0.12, 0.4, 1]; // s: an answer on a part of the images is said after so long, then refined

export class Session {
  readonly events = new Emitter<Topic>();
  readonly client: Client;
  kernel: KernelState | null = null;
  job: Job | null = null;
  message: Message | null = null;
  unreachable = false;
  private readonly known: Known;
  private revision = -1;
  private measured: number | undefined;
  private found: number | undefined;
  by: By = "equations";
  /** Whether the graph shows verdicts. */
  verdictsOn = true;
  /** The class that is looked at, and one that it is compared with. */
  target = 0;
  other: number | null = null;
  private readonly effects = this.watch<EffectInfo>("effect", "effect", "Effect", EFFECT_DELAY, (round) => ({ seconds: PATIENCE[Math.min(round, PATIENCE.length - 1)] }), ({ n, of }) => n < (of ?? n));
  private readonly predictions = this.watch<PredictionInfo>("predict", "prediction", "Prediction", 0, () => ({ by: this.by }));
  private readonly handlers: [string, () => void][] = [];

  constructor(private readonly model: Model) {
    const alive = () => void this.client.request("poll", {}, 20_000).catch(() => undefined); // says "lost" if it cannot be sent
    this.handlers.push(["comm_live_update", alive]);
    model.on("comm_live_update", alive);
    this.client = new Client(model, { lost: () => this.lose(), job: (job) => this.onJob(job), changed: (state) => this.onChanged(state), refused: (trait, message) => this.fail(message, `Choice of ${trait}`) });
    this.known = new Known(this.client, (topic) => this.events.emit(topic), (error, what) => this.fail(error, what));
    for (const name of CHOICES) {
      const handler = () => this.onChoice(name);
      this.handlers.push([`change:${name}`, handler]);
      model.on(`change:${name}`, handler);
    }
    this.hello();
  }

  private watch<T>(op: string, topic: Topic, name: string, delay: number, more: (round: number) => Record<string, unknown>, unfinished: (answer: T) => boolean = () => false): DoWatch<T> {
    return new DoWatch<T>({
      ask: async (intervention, round) => (await this.client.request<T>(op, { ...intervention, ...more(round) }, EFFECT_TIMEOUT)).result,
      unfinished,
      changed: () => this.events.emit(topic),
      failed: (error) => this.fail(error, name),
    }, delay);
  }

  close(): void {
    for (const [event, handler] of this.handlers) this.model.off(event, handler);
    this.effects.stop();
    this.predictions.stop();
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
    const ablated = this.get("ablated") ?? {};
    this.set("ablated", zero ? withUnits(ablated, layer, units) : without(ablated, layer, units));
  }

  /** Zeroes all the given units, or restores them if all of them are zeroed already. */
  toggle(units: Units): void {
    const entries = Object.entries(units).filter(([layer]) => !this.layer(layer)?.isOutput);
    if (entries.length) {
      this.set("scale", 0);
      this.set("ablated", toggled(this.get("ablated") ?? {}, Object.fromEntries(entries)));
    }
    else if (Object.keys(units).length) this.note("Classes are read, not zeroed: choose a filter.");
  }

  /** Filters of the selection: classes are read, not set. */
  get selectedFilters(): Units {
    return Object.fromEntries(Object.entries(this.get("selected") ?? {}).filter(([layer, list]) => list.length && !this.layer(layer)?.isOutput));
  }

  /** Scales what is chosen, or else what is selected; `save: false` while the value is under the finger. */
  scaleTo(scale: number, save: boolean): void {
    this.set("scale", scale, save);
    if (!this.zeroed && countUnits(this.selectedFilters)) this.set("ablated", this.selectedFilters, save);
    else if (save) this.model.save_changes();
  }

  get zeroed(): number {
    return countUnits(this.get("ablated") ?? {});
  }

  get effect(): EffectInfo | null {
    return this.effects.current;
  }

  get effectWaiting(): boolean {
    return this.effects.waiting;
  }

  get prediction(): PredictionInfo | null {
    return this.predictions.current;
  }

  get predictionWaiting(): boolean {
    return this.predictions.waiting;
  }

  private get intervention(): Do {
    return { ablated: this.get("ablated") ?? {}, site: this.get("site"), scale: this.get("scale") ?? 0 };
  }

  /** Chooses who predicts. */
  predictBy(by: By): void {
    this.by = by;
    this.askPrediction(false);
  }

  private askPrediction(dragged: boolean): void {
    this.predictions.update(this.kernel?.collected ? this.intervention : { ...this.intervention, ablated: {} }, dragged);
  }

  private askEffect(dragged = false): void {
    this.askPrediction(dragged);
    this.effects.update(this.intervention, dragged);
  }

  // -- what the kernel knows -----------------------------------------------------------------------

  /** The rule that colours the graph: until something is collected only the weights can speak. */
  get shownRule(): string {
    return this.kernel && !this.kernel.collected ? "l1" : this.get("rule");
  }

  get graph(): GraphInfo | null {
    return this.known.graph;
  }

  get edges(): (Uint8Array | null)[] {
    return this.known.edges;
  }

  get edgeSource(): string | null {
    return this.known.edgeSource;
  }

  get images(): Images | null {
    return this.known.images;
  }

  get curve(): CurveInfo | null {
    return this.known.curve;
  }

  layer(name: string): LayerInfo | undefined {
    return this.known.layer(name);
  }

  importance(layer: string, rule = this.shownRule): Float32Array | null {
    return this.known.importance(layer, rule);
  }

  unit(layer: string, unit: number): Promise<Unit> {
    return this.known.unit(layer, unit);
  }

  get equations(): Equations | null {
    return this.known.equations;
  }

  equation(layer: string, unit: number): Promise<Equation> {
    return this.known.equation(layer, unit);
  }

  get checked(): CheckInfo | null {
    return this.known.check;
  }

  get ranking(): Ranking | null {
    return this.known.ranking;
  }

  /** Whether every convolution was ranked. */
  get allRanked(): boolean {
    return Boolean(this.ranking && this.graph?.layers.every(({ name, kind, isOutput }) => isOutput || kind !== "conv" || this.ranking!.first.has(name)));
  }

  get classGraph(): ClassTable | null {
    return this.known.classGraph;
  }

  get classesKnown(): { target: number; name: string }[] {
    return this.known.classes;
  }

  /** The graph of a class while its panel is open. */
  get pathsShown(): ClassTable | null {
    return this.verdictsOn && this.get("panel") === "classes" ? this.classGraph : null;
  }

  /** The verdicts that the graph can show: of the class while its panel is open, else of the ranking. */
  get judged(): Table | null {
    return this.get("panel") === "classes" && this.classGraph ? this.classGraph : this.ranking;
  }

  showClass(target: number, other: number | null): void {
    [this.target, this.other] = [target, other];
    this.known.askClass(target, other);
  }

  async planClass(choice: ClassChoice): Promise<ClassPlan> {
    return (await this.client.request<ClassPlan>("classPlan", choice, EFFECT_TIMEOUT)).result;
  }

  explain(choice: ClassChoice): Promise<unknown> {
    [this.target, this.other] = [choice.target, null];
    return this.start("explain", choice);
  }

  repair(): Promise<unknown> {
    return this.start("repair", { target: this.target });
  }

  async classUnit(target: number, layer: string, unit: number, image: number): Promise<ClassUnit> {
    const { result, arrays } = await this.client.request<ClassUnitInfo>("classUnit", { target, layer, unit, image }, 120_000);
    return { info: result, images: arrays[0], maps: arrays[1] } as ClassUnit;
  }

  /** Judges the ranking anew. */
  judge(outcome: string, minEffect: number | null): void {
    this.known.askRanking(outcome, minEffect);
  }

  showVerdicts(on: boolean): void {
    this.verdictsOn = on;
    this.events.emit("ranking");
  }

  /** What ranking these layers would cost; null means every convolution, and all images. */
  async planRanking(layers: string[] | null, precision: number | null): Promise<RankPlan> {
    return (await this.client.request<RankPlan>("rankPlan", { layers, precision }, EFFECT_TIMEOUT)).result;
  }

  async heatmaps(): Promise<Heatmap[]> {
    const [selected] = Object.entries(this.get("selected") ?? {}).filter(([name, list]) => list.length && !this.layer(name)?.isOutput);
    const args = { image: this.get("image"), layer: this.get("heat_layer"), unit: selected ? selected[1][0] : null, unitLayer: selected ? selected[0] : null, ...this.intervention };
    return heatmapsOf(await this.client.request<{ maps: MapInfo[] }>("heatmap", args, 120_000));
  }

  hello(): void {
    const again = this.unreachable;
    this.unreachable = false;
    this.client
      .request<KernelState>("hello", {}, 20_000)
      .then(({ result }) => {
        if (again) this.dismiss();
        this.onChanged(result);
      })
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

  /** Holds the equations against the network. */
  check(): Promise<unknown> {
    return this.start("check", {});
  }

  /** Measures the equations that are local to each image. */
  measureLocal(): Promise<unknown> {
    return this.start("local", {});
  }

  /** Silences every filter alone, and judges each. */
  rank(layers: string[] | null, precision: number | null): Promise<unknown> {
    return this.start("rank", { layers, precision });
  }

  cancel(): Promise<unknown> {
    return this.client.request("cancel").catch((error) => this.fail(error, "Cancel"));
  }

  private start(kind: Exclude<Job["kind"], "effect">, args: Record<string, unknown>): Promise<unknown> {
    this.dismiss();
    this.client.watch(true);
    return this.client
      .request<{ job: number }>(kind, args)
      // A poll may have run before the job was there and found nothing: watch again, unless it ended already.
      .then(({ result }) => this.client.watch(this.job?.id !== result.job || this.running))
      .catch((error) => {
        this.client.watch(this.running);
        this.fail(error, TITLES[kind]);
      });
  }

  get running(): boolean {
    return this.job !== null && (this.job.state === "queued" || this.job.state === "running");
  }

  // -- messages to the person ------------------------------------------------------------------------

  fail(error: unknown, what: string): void {
    if (error instanceof RequestError && ["Superseded", "Closed", "Disconnected"].includes(error.kind)) return;
    this.say({ kind: "error", text: `${what}: ${error instanceof Error ? error.message : String(error)}` });
  }

  private lose(): void {
    this.unreachable = true;
    this.job = null;
    this.client.watch(false);
    this.say({ kind: "error", text: "The kernel was restarted or stopped: run the notebook's cells again. What was learned before is still shown." });
    this.events.emit("job");
    this.events.emit("state");
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
    if (name === "ablated" && !this.zeroed && this.get("scale")) this.set("scale", 0); // the next one chosen is silenced again
    if (name === "ablated" || name === "site" || name === "scale") this.askEffect(name === "scale");
    this.events.emit(name);
    if (name === "layers") this.known.askEdges(this.get("layers") ?? []);
  }

  private onJob(job: Job): void {
    const before = this.job;
    const ended = job.state === "done" || job.state === "failed" || job.state === "cancelled";
    const news = !before || before.id !== job.id || before.state !== job.state;
    this.job = job;
    this.client.watch(!ended);
    this.events.emit("job");
    if (!news || !ended) return;
    if (job.state === "failed") this.say({ kind: "error", text: `${TITLES[job.kind] ?? job.kind} failed: ${job.message || job.error || "no reason was given"}` });
    if (job.state === "cancelled" && job.kind !== "effect") this.note(`${TITLES[job.kind] ?? job.kind} was ${job.message || "cancelled"}`);
    if (job.kind === "prune" && job.state === "done") this.known.askCurve();
    if (job.kind === "explain" || job.kind === "repair") this.known.askClass(this.target, this.other);
    if (job.kind === "check" && job.state === "done") this.known.askCheck();
    if (job.kind === "local" && job.state === "done") this.askPrediction(false);
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
    const measured = state.measured !== this.measured && this.measured !== undefined;
    this.measured = state.measured;
    if (measured) {
      this.known.forgetEffects();
      this.known.askRanking(null, null);
    }
    if (state.found !== this.found && this.found !== undefined && this.running) this.known.askClass(null, null);
    this.found = state.found;
    if (state.revision === this.revision) return;
    if (!full) return this.hello(); // a poll that saw a new revision: ask for the whole state
    this.revision = state.revision;
    void this.renew();
  }


  private async renew(): Promise<void> {
    if (!(await this.known.renew())) return;
    this.importance(this.graph!.layers[0].name);
    this.known.askEdges(this.get("layers") ?? []);
    this.askEffect();
    this.known.askCurve();
    this.known.askEquations();
    this.known.askCheck();
    this.known.askRanking(this.ranking?.info.outcome ?? null, null);
    this.known.askClass(this.classGraph && this.target, this.other);
    if (this.kernel?.nStrip) this.known.askImages();
  }
}

const TITLES: Record<string, string> = { collect: "Collect", prune: "Pruning", check: "Check", rank: "Ranking", explain: "Explaining", repair: "Repair", local: "Local equations", effect: "Effect" };
