// What the kernel has said about graph, importances, edges, units, equations, images, curve and check; fetched when asked for, forgotten when it changes.
import type { Client, Reply } from "./protocol";
import { classOf, rankingOf, type ClassTable, type Equation, type Equations, type Images, type Ranking, type Unit } from "./records";
import type { CheckInfo, ClassInfo, CurveInfo, EquationInfo, EquationsInfo, GraphInfo, ImagesInfo, LayerInfo, RankingInfo, UnitInfo } from "./types";
import { chunks, unitKey } from "./units";

const UNIT_CACHE = 300;
const EDGE_BYTES = 1 << 20; // of edges in one request

export class Known {
  graph: GraphInfo | null = null;
  images: Images | null = null;
  curve: CurveInfo | null = null;
  equations: Equations | null = null;
  check: CheckInfo | null = null;
  ranking: Ranking | null = null;
  /** The graph of the class that is looked at, and all classes that have one. */
  classGraph: ClassTable | null = null;
  classes: { target: number; name: string }[] = [];
  private classAsked = 0;
  /** One matrix a wiring, by its position in the graph; null until it arrived. */
  edges: (Uint8Array | null)[] = [];
  edgeSource: string | null = null;

  private readonly importances = new Map<string, Float32Array | "asked">();
  private readonly units = new Map<string, Promise<Unit>>();
  private readonly single = new Map<string, Promise<Equation>>();
  private readonly edgesAsked = new Set<number>();
  private readonly offsets = new Map<string, number>();
  private generation = 0;

  constructor(
    private readonly client: Client,
    private readonly emit: (topic: "graph" | "revision" | "importance" | "edges" | "images" | "curve" | "equations" | "check" | "ranking" | "class") => void,
    private readonly fail: (error: unknown, what: string) => void,
  ) {}

  layer(name: string): LayerInfo | undefined {
    return this.graph?.layers.find((layer) => layer.name === name);
  }

  /** Importances of one layer by a rule (a view, not a copy); null while they are on their way. */
  importance(layer: string, rule: string): Float32Array | null {
    const all = this.importances.get(rule);
    const offset = this.offsets.get(layer);
    if (all === undefined) this.askImportance(rule);
    if (!(all instanceof Float32Array) || offset === undefined) return null;
    return all.subarray(offset, offset + (this.layer(layer)?.units ?? 0));
  }

  unit(layer: string, unit: number): Promise<Unit> {
    return remembered(this.units, unitKey(layer, unit), () =>
      this.client.request<UnitInfo>("unit", { layer, unit }).then(({ result, arrays }) => ({ info: result, weights: (arrays[0]?.data as Float32Array) ?? null })));
  }

  equation(layer: string, unit: number): Promise<Equation> {
    return remembered(this.single, unitKey(layer, unit), () =>
      this.client.request<EquationInfo>("equation", { layer, unit }).then(({ result, arrays }) => ({ info: result, points: (arrays[0]?.data as Float32Array) ?? new Float32Array() })));
  }

  /** Fetches the graph anew and forgets what hangs on it; false if that failed or something newer came between. */
  async renew(): Promise<boolean> {
    const generation = ++this.generation;
    this.units.clear();
    this.single.clear();
    this.importances.clear();
    try {
      const { result } = await this.client.request<GraphInfo>("graph");
      if (generation !== this.generation) return false;
      this.take(result);
      return true;
    } catch (error) {
      this.fail(error, "Graph");
      return false;
    }
  }

  private take(graph: GraphInfo): void {
    this.graph = graph;
    let sum = 0;
    for (const layer of graph.layers) {
      this.offsets.set(layer.name, sum);
      sum += layer.units;
    }
    // Old edges stay to be looked at until new ones are there, unless the network is another one now.
    this.edges = graph.wirings.map(({ rows, cols }, k) => (this.edges[k]?.length === rows * cols ? this.edges[k] : null));
    this.edgesAsked.clear();
    this.emit("graph");
    this.emit("revision");
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
        this.emit("importance");
      })
      .catch((error) => this.fail(error, "Importance"));
  }

  async askEdges(layers: string[]): Promise<void> {
    const graph = this.graph;
    if (!graph) return;
    const generation = this.generation;
    const shown = new Set(layers);
    const wanted = graph.wirings.map((_, k) => k).filter((k) => !this.edgesAsked.has(k) && shown.has(graph.wirings[k].source) && shown.has(graph.wirings[k].target));
    wanted.forEach((k) => this.edgesAsked.add(k));
    try {
      for (const group of chunks(wanted, (k) => graph.wirings[k].rows * graph.wirings[k].cols, EDGE_BYTES)) {
        const { result, arrays }: Reply<{ source: string }> = await this.client.request("edges", { wirings: group });
        if (generation !== this.generation) return;
        this.edgeSource = result.source;
        group.forEach((wiring, k) => (this.edges[wiring] = arrays[k].data as Uint8Array));
        this.emit("edges");
      }
    } catch (error) {
      if (generation === this.generation) wanted.filter((k) => !this.edges[k]).forEach((k) => this.edgesAsked.delete(k));
      this.fail(error, "Edges");
    }
  }

  askImages(): void {
    this.client
      .request<ImagesInfo>("images", {}, 120_000)
      .then(({ result, arrays }) => {
        this.images = { info: result, shape: arrays[0].shape, data: arrays[0].data as Uint8Array };
        this.emit("images");
      })
      .catch((error) => this.fail(error, "Images"));
  }

  askCurve(): void {
    this.client
      .request<{ curve: CurveInfo | null }>("pruning")
      .then(({ result }) => {
        this.curve = result.curve ?? this.curve;
        this.emit("curve");
      })
      .catch((error) => this.fail(error, "Pruning"));
  }

  askEquations(): void {
    this.client
      .request<{ known: EquationsInfo | null }>("equations")
      .then(({ result: { known }, arrays }) => {
        const values = (name: string) => (arrays.find((array) => array.name === name)?.data as Float32Array) ?? new Float32Array();
        this.equations = known && { info: known, r2: values("r2"), heldout: values("heldoutR2") };
        this.emit("equations");
      })
      .catch((error) => this.fail(error, "Equations"));
  }

  /** The last ranking, judged by an outcome and a least effect; null asks for the usual ones. */
  askRanking(outcome: string | null, minEffect: number | null): void {
    this.client
      .request<{ ranking: RankingInfo | null }>("ranking", { outcome, minEffect })
      .then((reply) => {
        this.ranking = rankingOf(reply);
        this.emit("ranking");
      })
      .catch((error) => this.fail(error, "Ranking"));
  }

  /** The graph of a class, or what it shares with another; null asks for the one that is being found, or was found last. */
  askClass(target: number | null, other: number | null): void {
    const asked = ++this.classAsked;
    this.client
      .request<{ graph: ClassInfo | null; known: { target: number; name: string }[] }>("explained", { target, other })
      .then((reply) => {
        if (asked !== this.classAsked) return;
        this.classes = reply.result.known;
        this.classGraph = classOf(reply);
        this.emit("class");
      })
      .catch((error) => this.fail(error, "Class"));
  }

  forgetEffects(): void {
    this.importances.delete("effect");
    this.units.clear();
    this.emit("importance");
  }

  askCheck(): void {
    this.client
      .request<CheckInfo>("checked")
      .then(({ result }) => {
        this.check = result;
        this.emit("check");
      })
      .catch((error) => this.fail(error, "Check"));
  }
}

/** What was asked for `key`, asked once; the oldest is forgotten when there are many, and what failed may be asked again. */
function remembered<T>(cache: Map<string, Promise<T>>, key: string, ask: () => Promise<T>): Promise<T> {
  let wanted = cache.get(key);
  if (!wanted) {
    wanted = ask();
    wanted.catch(() => cache.delete(key));
    if (cache.size >= UNIT_CACHE) cache.delete(cache.keys().next().value!);
    cache.set(key, wanted);
  }
  return wanted;
}
