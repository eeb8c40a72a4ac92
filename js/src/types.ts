// The words of the protocol and of the traits, as the kernel speaks them.

export type Units = Record<string, number[]>;

/** The traits: the person's choices, shared by every view and by Python. */
export interface Choices {
  layers: string[];
  selected: Units;
  ablated: Units;
  site: string;
  /** What the maps of the chosen ("ablated") filters are multiplied by: 0 silences them, 1 leaves them alone. */
  scale: number;
  rule: string;
  n_edges: number;
  panel: string;
  image: number;
  heat_layer: string;
  device: string;
  batches: number;
  theme: string;
}
export type Choice = keyof Choices;
export const CHOICES: readonly Choice[] = [
  "layers", "selected", "ablated", "site", "scale", "rule", "n_edges", "panel", "image", "heat_layer", "device", "batches", "theme",
];

/** What anywidget hands to the page; the tests and the offline page hand in a small stand-in. */
export interface Model {
  get(name: string): any;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, callback: (...args: any[]) => void): void;
  off(event: string, callback?: (...args: any[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: unknown): void;
}

export interface Job {
  id: number;
  kind: "collect" | "prune" | "check" | "local" | "rank" | "explain" | "repair" | "effect";
  state: "queued" | "running" | "done" | "cancelled" | "failed";
  done: number;
  total: number | null;
  unit: string;
  rate: number | null;
  remaining: number | null;
  message: string;
  error: string | null;
}

export interface Device {
  name: string;
  label: string;
  memory: number | null;
  free: number | null;
}

export interface KernelState {
  version: number;
  model: string;
  nFilters: number;
  nLayers: number;
  classes: string[];
  devices: Device[];
  collected: boolean;
  nImages: number;
  accuracy: number | null;
  loss: number | null;
  hasLabels: boolean;
  nStrip: number;
  canCollect: boolean;
  job: Job | null;
  revision: number;
  /** Rises whenever effects were measured. */
  measured?: number;
  /** Rises with every layer that is found of a class's graph. */
  found?: number;
  /** Name of the still picture that stands in for the display where there is no kernel. */
  still?: string;
}

export interface LayerInfo {
  name: string;
  index: number;
  kind: string;
  units: number;
  isOutput: boolean;
  shape: number[];
  sites: string[];
}
export interface WiringInfo {
  source: string;
  target: string;
  kind: string;
  rows: number;
  cols: number;
}
export interface GraphInfo {
  layers: LayerInfo[];
  wirings: WiringInfo[];
  tracedBy: string;
}

export interface Relative {
  layer: string;
  unit: number;
  coefficient: number | null;
  standardised: number | null;
  /** Norm of the weights, where there is no coefficient yet. */
  weight?: number | null;
}
export interface UnitInfo {
  layer: string;
  unit: number;
  response: { mean: number; sd: number } | null;
  r2: number | null;
  heldoutR2: number | null;
  importance: Record<string, { value: number | null; rank: number | null; of: number }>;
  parents: Relative[];
  children: Relative[];
  weights: { shape: number[] } | null;
  notes: string[];
}

export interface Guess {
  cls: number;
  p: number;
}
export interface ClassChange {
  name: string;
  before: number | null;
  after: number | null;
  change: number | null;
  /** Half of the 95 % interval around the change. */
  half: number | null;
  logit: number | null;
  logitHalf: number | null;
}
export interface EffectInfo {
  n: number;
  /** How many images there are, where the answer stands on `n` of them; it is refined until these are all. */
  of?: number;
  units: Units | number;
  site?: string;
  scale?: number;
  before: { accuracy: number | null; loss: number | null };
  after: { accuracy: number | null; loss: number | null };
  change: { accuracy: number | null; accuracyHalf: number | null; loss: number | null; lossHalf: number | null };
  classes: ClassChange[];
  flipped: number;
  strip: { before: Guess; after: Guess }[];
  seconds: number;
}

/** Who predicts: equations fitted once for all images, or some that are local to each image, measured by gradients. */
export type By = "equations" | "local";

/** What is predicted for a do(), or why it cannot be, and what would have to be measured first. */
export interface PredictionInfo {
  predicted: EffectInfo | null;
  reason?: string;
  cost?: { passes: number; images: number; seconds: number | null };
}

export interface EquationLayer {
  layer: string;
  units: number;
  parents: number;
  dead: number;
  notes: string[];
}
export interface EquationsInfo {
  estimator: string;
  data: string;
  transform: string;
  site: string;
  images: number;
  layers: EquationLayer[];
}
export interface Parent {
  layer: string;
  unit: number;
  coefficient: number | null;
  standardised: number | null;
}
export interface EquationInfo {
  layer: string;
  unit: number;
  reason?: string;
  equation: {
    estimator: string;
    linear: boolean;
    components: number;
    dead: boolean;
    notes: string[];
    parents: Parent[];
    nParents: number;
    r2: number | null;
    heldoutR2: number | null;
    mse: number | null;
    relativeMse: number | null;
    condition: number | null;
    penalty: number | null;
    noPoints: string | null;
  } | null;
}

/** How far the equations can be believed: what it costs to find out, and what was found. */
export interface DepthInfo {
  layers: string[];
  agreement: (number | null)[];
  accuracy: (number | null)[];
  network: number | null;
  images: number;
}
export interface FidelityRow {
  name: string;
  ours: boolean;
  correlation: number | null;
  r2: number | null;
  flips: number | null;
  passes: number | null;
}
export interface FidelityInfo {
  settings: { name: string; rows: FidelityRow[] }[];
  skipped: { name: string; why: string }[];
  images: number;
  interventions: number;
  seconds: number;
}
export interface CheckInfo {
  cost: { passes: number; images: number; draws: number; seconds: number | null; labelled: boolean } | null;
  reason?: string | null;
  depth: DepthInfo | null;
  fidelity: FidelityInfo | null;
}

export interface ImagesInfo {
  labels: (number | null)[];
  predictions: number[];
}
export interface MapInfo {
  name: "importance" | "activation" | "difference";
  present: boolean;
  low: number;
  high: number;
  signed: boolean;
}

export interface CurveRule {
  name: string;
  mean: number[];
  low: number[];
  high: number[];
  repeats: number;
}
export interface CurveInfo {
  percents: number[];
  baseline: number | null;
  n: number;
  rules: CurveRule[];
}

/** What ranking would cost. */
export interface RankPlan {
  units: number;
  layers: number;
  images: number | null;
  seconds: number | null;
  /** If no filter is settled before all images are measured. */
  mostSeconds: number | null;
  /** How many times the work of a loop of whole passes. */
  less: number;
  reason: string | null;
  site: string;
}
/** What a table of units with their verdicts is of. */
export interface TableInfo {
  outcome: string;
  minEffect: number;
  layers: string[];
  images: number;
  seconds: number;
  verdicts: string[];
}
export interface RankingInfo extends TableInfo {
  outcomes: { name: string; worse: number }[];
  defaultMinEffect: number;
  site: string;
}

export interface ClassChoice extends Record<string, unknown> {
  target: number;
  images: number | null;
  mode: string;
}
/** What finding a class's graph would cost. */
export interface ClassPlan {
  target: number;
  images: number;
  available: number;
  /** Images that a verdict takes. */
  needed: number;
  units: number;
  seconds: number | null;
  /** Images left, of the class and of all others. */
  own: number;
  others: number;
}
/** Accuracy with a share of the detrimental units blocked. */
export interface RepairRow {
  share: number;
  blocked: number;
  before: number;
  after: number;
  change: number;
  low: number;
  high: number;
  n: number;
}
/** The graph of a class, as far as it is found. */
export interface ClassInfo extends TableInfo {
  target: number;
  name: string;
  mode: string;
  needed: number;
  own: number;
  others: number;
  done: boolean;
  wrong: number;
  /** Where the graph ends, and why. */
  notes: string[];
  repair: { own: RepairRow[]; others: RepairRow[] } | null;
}
export interface ClassUnitInfo {
  responses: number[];
  low: number;
  high: number;
  /** Which parents the maps are of: the class's critical ones, or all where it has none. */
  parents: string;
  /** Why there are no maps. */
  reason: string;
}

export interface BufferInfo {
  name: string;
  dtype: "uint8" | "float32";
  shape: number[];
}
