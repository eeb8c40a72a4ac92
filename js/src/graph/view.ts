// The graph's canvas: off-screen layers for what is slow, an overlay for what changes under the pointer.
import { luminance } from "../colour";
import { h } from "../dom";
import type { Session } from "../state";
import { unitKey, pairs } from "../units";
import { arrange } from "./arrange";
import { toScreen, toWorld, type Camera, type Margins } from "./camera";
import { paintEdges, paintPaths, paintRing, paintUnits, paintZeroed, type Ink, type Pen } from "./draw";
import { subset, touching, type EdgeList } from "./edges";
import { inkOf } from "./ink";
import { classNames, layerNames, unitNumbers } from "./labels";
import { pick, place, type Box, type Column, type Hit } from "./layout";
import { paintBox, paintChosen, paintOwn } from "./marks";
import { centred, overflows, paintOverview, placeAt } from "./overview";
import { offscreen, type Offscreen } from "./offscreen";
import { buildScene, emptyScene, type Scene } from "./scene";
import { inkFor, isBold, paintVerdicts, verdictsOf } from "./verdicts";

const OVERSCAN = 0.3; // painted beyond each edge of the view, so that a pan has something to show
const OWN_EDGES = 60; // edges drawn for a unit that is pointed at or selected
const SETTLE = 90; // ms without zooming after which slow layers are painted anew
const FOCUSED = 24; // units of a selection whose own edges can be told apart
const FADED = 0.3; // what is not in the graph of a class
const QUICK = 12; // ms: below this, painting anew every frame is fluid anyway

export class GraphView {
  readonly canvas = h("canvas", {
    class: "cw-canvas", test: "cw-graph", tabindex: 0, role: "application",
    "aria-label": "Graph of filters. Arrow keys move between filters and layers, Enter zeroes or restores, Escape clears the selection, plus and minus zoom.",
  });
  scene: Scene = emptyScene();
  camera: Camera = { scale: 1, x: 0, y: 0 };
  width = 0;
  height = 0;
  hover: Hit | null = null;
  box: Box | null = null;
  fitted = true;
  readonly timings = { frame: 0, repaint: 0, scene: 0 };

  private readonly pen: Pen = this.canvas.getContext("2d")!;
  private readonly edgeLayer = offscreen();
  private readonly unitLayer = offscreen();
  private painted: Camera | null = null;
  private ink: Ink = inkOf(false, "#ffffff");
  private ratio = 1;
  private fitScale = 1;
  private flat = true;
  private whole = false;
  private margins: Margins = { left: 0, right: 0, top: 0, bottom: 0 };
  private keep: number | null = null; // share of the width that stays in the middle when the size changes
  private frame = 0;
  private settle: ReturnType<typeof setTimeout> | null = null;
  private sceneStale = true;
  private readonly own = new Map<string, EdgeList>();

  constructor(private readonly session: Session) {}

  destroy(): void {
    cancelAnimationFrame(this.frame);
    if (this.settle) clearTimeout(this.settle);
  }

  setTheme(dark: boolean, back: string): void {
    this.ink = inkOf(dark, back);
    this.repaint();
  }

  resize(width: number, height: number): void {
    if (width < 2 || height < 2) return; // a hidden tab
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    if (width === this.width && height === this.height && ratio === this.ratio) return;
    const panned = !this.fitted && this.camera.scale === this.fitScale && this.scene.plan.width > 0;
    this.keep = panned ? toWorld(this.camera, this.width / 2, 0)[0] / this.scene.plan.width : null;
    [this.width, this.height, this.ratio] = [width, height, ratio];
    for (const [canvas, k] of [[this.canvas, 1], [this.edgeLayer.canvas, 1 + 2 * OVERSCAN], [this.unitLayer.canvas, 1 + 2 * OVERSCAN]] as const) {
      canvas.width = Math.round(width * ratio * k);
      canvas.height = Math.round(height * ratio * k);
    }
    if (this.fitted || this.keep !== null) this.rebuild();
    else this.repaint();
  }

  // -- asking for a new picture -------------------------------------------------------------------

  rebuild(): void {
    this.sceneStale = true;
    this.repaint();
  }

  repaint(): void {
    this.own.clear();
    this.painted = null;
    this.draw();
  }

  draw(): void {
    if (!this.frame && this.width) this.frame = requestAnimationFrame(() => this.onFrame());
  }

  moveTo(camera: Camera): void {
    this.camera = camera;
    this.fitted = false;
    this.draw();
  }

  /** The whole graph; asked again, columns of readable width where the whole is too crowded. */
  fit(): void {
    this.whole = !(this.fitted && this.whole);
    this.fitted = true;
    this.rebuild();
  }

  get overflows(): boolean {
    return overflows(this.scene.plan, this.camera, this);
  }

  get zoomLimits(): [number, number] {
    return [this.fitScale * 0.15, Math.max(this.fitScale * 40, 2)];
  }

  // -- geometry ---------------------------------------------------------------------------------------

  at(x: number, y: number): Hit | null {
    return pick(this.scene.plan, ...toWorld(this.camera, x, y));
  }

  column(layer: string): Column | undefined {
    return this.scene.plan.columns[this.scene.plan.index.get(layer) ?? -1];
  }

  /** Where a unit is now, in client coordinates. */
  clientPosition(layer: string, unit: number): { x: number; y: number } | null {
    if (this.sceneStale) this.refresh();
    const column = this.column(layer);
    if (!column || unit < 0 || unit >= column.layer.units) return null;
    const [x, y] = toScreen(this.camera, ...place(column, unit));
    const frame = this.canvas.getBoundingClientRect();
    return { x: frame.left + x, y: frame.top + y };
  }

  /** Moves the camera just enough that a unit is in view. */
  reveal(layer: string, unit: number): void {
    const column = this.column(layer);
    if (!column) return;
    const [x, y] = toScreen(this.camera, ...place(column, unit));
    const dx = Math.min(0, this.width - 40 - x) + Math.max(0, 40 - x);
    const dy = Math.min(0, this.height - 40 - y) + Math.max(0, 90 - y);
    if ((dx || (dy && !this.fitted)) && (this.overflows || !this.fitted)) this.moveTo({ ...this.camera, x: this.camera.x + dx, y: this.camera.y + dy });
  }

  /** What is chosen elsewhere (a parent in the inspector, Python) comes into view. */
  revealSelected(): void {
    const [first, ...others] = this.chosen();
    if (!first || others.length || this.sceneStale || !this.width) return;
    const [x, y] = toScreen(this.camera, ...place(this.column(first[0])!, first[1]));
    const outside = x < 0 || x > this.width;
    const dy = y < 0 || y > this.height ? this.height / 2 - y : 0;
    const there = outside ? centred(this.scene.plan, this.camera, this, this.margins, toWorld(this.camera, x, 0)[0]) : this.camera;
    if (outside || dy) this.moveTo({ ...there, y: there.y + dy });
  }

  /** Goes where the overview was touched. */
  slideTo(x: number): void {
    this.moveTo(centred(this.scene.plan, this.camera, this, this.margins, placeAt(this.scene.plan, this, x)));
  }

  /** The selected units that are in the graph. */
  private chosen(): [string, number][] {
    return pairs(this.session.get("selected") ?? {}).filter(([layer, unit]) => unit < (this.column(layer)?.layer.units ?? 0));
  }

  ownEdges(layer: string, unit: number): EdgeList {
    const key = unitKey(layer, unit);
    const known = this.own.get(key) ?? this.pathsOf(layer, unit) ?? touching(this.scene.matrices, this.scene.wirings, layer, unit, OWN_EDGES);
    if (this.own.size > 200) this.own.clear();
    this.own.set(key, known);
    return known;
  }

  /** A unit's paths in the graph of a class, where one is shown. */
  private pathsOf(layer: string, unit: number): EdgeList | null {
    const found = this.session.pathsShown;
    return found && subset(found.paths, (k) => {
      const { source, target } = this.scene.wirings[found.paths.wiring[k]];
      return (source === layer && found.paths.col[k] === unit) || (target === layer && found.paths.row[k] === unit);
    });
  }

  // -- painting ----------------------------------------------------------------------------------------

  private refresh(): void {
    const start = performance.now();
    this.sceneStale = false;
    this.own.clear();
    const { plan, flat, camera, margins } = arrange(this.pen, this.session, this, this.whole);
    this.scene = buildScene(this.session, plan);
    this.flat = flat;
    this.margins = margins;
    this.fitScale = camera.scale;
    if (this.fitted) this.camera = camera;
    else if (this.keep !== null) this.camera = centred(plan, camera, this, margins, this.keep * plan.width);
    this.keep = null;
    this.timings.scene = performance.now() - start;
  }

  private onFrame(): void {
    this.frame = 0;
    const start = performance.now();
    if (this.sceneStale) this.refresh();
    const painted = this.painted;
    if (!painted || (painted.scale !== this.camera.scale && this.timings.repaint < QUICK) || this.beyond(painted)) this.paintLayers();
    else if (painted.scale !== this.camera.scale) this.settleLater();
    this.compose();
    this.timings.frame = performance.now() - start;
  }

  /** Whether the pan has left what the off-screen layers hold. */
  private beyond(painted: Camera): boolean {
    if (painted.scale !== this.camera.scale) return false;
    return Math.abs(this.camera.x - painted.x) > this.width * OVERSCAN || Math.abs(this.camera.y - painted.y) > this.height * OVERSCAN;
  }

  private settleLater(): void {
    if (this.settle) clearTimeout(this.settle);
    this.settle = setTimeout(() => this.repaint(), SETTLE);
  }

  private paintLayers(): void {
    const start = performance.now();
    const shifted = { ...this.camera, x: this.camera.x + this.width * OVERSCAN, y: this.camera.y + this.height * OVERSCAN };
    for (const { canvas, pen } of [this.edgeLayer, this.unitLayer]) {
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    }
    const found = this.session.pathsShown;
    this.edgeLayer.pen.globalAlpha = this.unitLayer.pen.globalAlpha = found ? FADED : 1;
    paintEdges(this.edgeLayer.pen, this.scene, shifted, this.ink, this.camera.scale / this.fitScale);
    this.edgeLayer.pen.globalAlpha = 1;
    found?.info.verdicts.forEach((kind, at) => isBold(kind) && paintPaths(this.edgeLayer.pen, this.scene, shifted, subset(found.paths, (k) => found.paths.kind[k] === at), inkFor(this.ink, kind), kind === "detrimental" || kind === "only b"));
    paintUnits(this.unitLayer.pen, this.scene, shifted, this.ink, (column) => this.shares(column), this.width * (1 + 2 * OVERSCAN), (pen, column, camera) => this.paintVerdicts(pen, column, camera));
    this.painted = { ...this.camera };
    this.timings.repaint = performance.now() - start;
  }

  private verdicts(layer: string): ((unit: number) => string | null) | null {
    return this.session.verdictsOn ? verdictsOf(this.session.judged, layer) : null;
  }

  private paintVerdicts(pen: Pen, column: Column, camera: Camera): boolean {
    const found = this.verdicts(column.layer.name);
    if (found) paintVerdicts(pen, column, camera, this.ink, found);
    return found !== null;
  }

  private shares(column: Column): { values: Float32Array; max: number } | null {
    const values = this.session.importance(column.layer.name);
    if (!values) return null;
    let max = 0;
    for (const value of values) if (value > max) max = value;
    return max > 0 ? { values, max } : null;
  }

  private compose(): void {
    const { pen, ink, camera, scene } = this;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    const focus = this.focus();
    pen.globalAlpha = focus.length ? 0.22 : 1;
    this.blit(this.edgeLayer);
    pen.globalAlpha = 1;
    if (camera.scale / this.fitScale > 0.3) for (const [layer, unit] of focus) paintOwn(pen, scene, camera, ink, layer, this.ownEdges(layer, unit));
    this.blit(this.unitLayer);
    paintZeroed(pen, scene, camera, ink, this.session.get("ablated") ?? {}, this.session.get("scale") ?? 0);
    unitNumbers(pen, scene.plan, camera, this.width, this.height, (column, unit) => this.numberColour(column, unit));
    this.paintMarks();
    const current = this.hover ? scene.plan.columns[this.hover.column].layer.name : (focus[0]?.[0] ?? null);
    classNames(pen, scene.plan, camera, ink, this.session.kernel?.classes ?? [], this.markedClasses());
    layerNames(pen, scene.plan, camera, ink, this.flat || scene.plan.pitch * camera.scale > 150, this.width, current);
    if (this.overflows) paintOverview(pen, scene.plan, camera, this, ink, (layer) => this.markOf(layer));
  }

  private markOf(layer: string): string | null {
    if (this.session.get("selected")?.[layer]?.length) return this.ink.ring;
    return this.session.get("ablated")?.[layer]?.length ? this.ink.zero : null;
  }

  private blit({ canvas }: Offscreen): void {
    const painted = this.painted!;
    const k = this.camera.scale / painted.scale;
    const x = this.camera.x - (painted.x + this.width * OVERSCAN) * k;
    const y = this.camera.y - (painted.y + this.height * OVERSCAN) * k;
    this.pen.drawImage(canvas, x, y, (canvas.width / this.ratio) * k, (canvas.height / this.ratio) * k);
  }

  /** The units whose own edges are shown: the one pointed at, else those selected, as long as they are few. */
  private focus(): [string, number][] {
    if (this.hover) return [[this.scene.plan.columns[this.hover.column].layer.name, this.hover.unit]];
    const chosen = this.chosen();
    return chosen.length > FOCUSED ? [] : chosen;
  }

  private markedClasses(): Set<number> {
    const last = this.scene.plan.columns[this.scene.plan.columns.length - 1];
    if (!last?.layer.isOutput) return new Set();
    const marked = new Set(this.session.get("selected")?.[last.layer.name] ?? []);
    if (this.session.pathsShown) for (const target of [this.session.pathsShown.info.target, this.session.other]) target !== null && marked.add(target);
    if (this.hover && this.hover.column === this.scene.plan.columns.length - 1) marked.add(this.hover.unit);
    return marked;
  }

  private numberColour(k: number, unit: number): string {
    const column = this.scene.plan.columns[k];
    if (this.session.isAblated(column.layer.name, unit)) return "transparent";
    const verdict = this.verdicts(column.layer.name)?.(unit);
    if (verdict) return isBold(verdict) ? this.ink.back : verdict === "undecided" ? this.ink.muted : "transparent";
    const share = this.shares(column);
    if (!share) return this.ink.muted;
    return luminance(this.ink.map(share.values[unit] / share.max || 0)) > 0.3 ? "#10151c" : "#f5f7fa";
  }

  private paintMarks(): void {
    paintChosen(this.pen, this.camera, this.ink, this.chosen().map(([layer, unit]) => [this.column(layer)!, unit]));
    if (this.hover) paintRing(this.pen, this.scene.plan.columns[this.hover.column], this.hover.unit, this.camera, this.ink.text, 1.2, this.ink.back);
    if (this.box) paintBox(this.pen, this.box, this.ink);
  }
}
