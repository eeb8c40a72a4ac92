// Pointer, wheel and keys over the graph, turned into camera moves and choices.
import type { Session } from "../state";
import { countUnits, withUnit, without } from "../units";
import { toScreen, toWorld, zoomAt } from "./camera";
import { nearestUnit, pickBox, place, type Hit } from "./layout";
import { STRIP } from "./overview";
import type { GraphView } from "./view";

const CLICK = 4; // px: less movement than this is a click

interface Touch {
  x: number;
  y: number;
}

export class Gestures {
  private readonly touches = new Map<number, Touch>();
  private start: (Touch & { shift: boolean; moved: boolean }) | null = null;
  private spread = 0;
  private inStrip = false;

  constructor(private readonly view: GraphView, private readonly session: Session, private readonly onHover: (hit: Hit | null, x: number, y: number) => void) {
    const { canvas } = view;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.forget(event));
    canvas.addEventListener("pointerleave", () => this.hover(null, 0, 0));
    canvas.addEventListener("dblclick", (event) => this.double(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  zoom(factor: number, x = this.view.width / 2, y = this.view.height / 2): void {
    this.view.moveTo(zoomAt(this.view.camera, factor, x, y, this.view.zoomLimits));
  }

  private pan(dx: number): void {
    const { camera } = this.view;
    this.view.moveTo({ ...camera, x: camera.x - dx });
  }

  // -- pointer -------------------------------------------------------------------------------------

  private point(event: MouseEvent): Touch {
    const frame = this.view.canvas.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0) return;
    const point = this.point(event);
    this.view.canvas.classList.add("cw-pointed"); // a focus ring is for the keyboard
    this.view.canvas.focus({ preventScroll: true });
    this.view.canvas.setPointerCapture(event.pointerId);
    this.inStrip = this.touches.size === 0 && this.overStrip(point);
    if (this.inStrip) this.view.slideTo(point.x);
    this.touches.set(event.pointerId, point);
    if (this.touches.size === 1) this.start = { ...point, shift: event.shiftKey, moved: false };
    else this.spread = this.distance();
  }

  private overStrip({ y }: Touch): boolean {
    return this.view.overflows && y > this.view.height - STRIP;
  }

  private distance(): number {
    const [a, b] = [...this.touches.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  }

  private move(event: PointerEvent): void {
    const point = this.point(event);
    const last = this.touches.get(event.pointerId);
    this.view.canvas.classList.toggle("cw-sliding", this.inStrip || this.overStrip(point));
    if (!last || !this.start) return this.hover(this.overStrip(point) ? null : this.view.at(point.x, point.y), point.x, point.y);
    this.touches.set(event.pointerId, point);
    if (this.inStrip && this.touches.size === 1) return this.view.slideTo(point.x);
    if (this.touches.size === 2) return this.pinch();
    if (Math.hypot(point.x - this.start.x, point.y - this.start.y) > CLICK) this.start.moved = true;
    if (!this.start.moved) return;
    this.hover(null, 0, 0);
    if (this.start.shift) {
      this.view.box = { x0: this.start.x, y0: this.start.y, x1: point.x, y1: point.y };
      this.view.draw();
    } else {
      const { camera } = this.view;
      this.view.canvas.classList.add("cw-dragging");
      this.view.moveTo({ ...camera, x: camera.x + point.x - last.x, y: camera.y + point.y - last.y });
    }
  }

  private pinch(): void {
    const spread = this.distance();
    const [a, b] = [...this.touches.values()];
    if (this.start) this.start.moved = true;
    if (this.spread > 0) this.zoom(spread / this.spread, (a.x + b.x) / 2, (a.y + b.y) / 2);
    this.spread = spread;
  }

  private forget(event: PointerEvent): void {
    this.touches.delete(event.pointerId);
    this.view.canvas.classList.remove("cw-dragging");
    this.view.box = null;
    this.spread = 0;
    if (!this.touches.size) this.start = null;
    this.view.draw();
  }

  private up(event: PointerEvent): void {
    const { start } = this;
    const { box } = this.view;
    const point = this.point(event);
    this.forget(event);
    if (!start || this.touches.size || this.inStrip) return;
    if (box) this.selectBox(box);
    else if (!start.moved) this.click(this.view.at(point.x, point.y), start.shift);
  }

  private hover(hit: Hit | null, x: number, y: number): void {
    const before = this.view.hover;
    const same = before?.column === hit?.column && before?.unit === hit?.unit;
    this.view.hover = hit;
    if (!same) this.view.draw();
    if (!same || hit) this.onHover(hit, x, y);
  }

  private click(hit: Hit | null, add: boolean): void {
    const selected = this.session.get("selected") ?? {};
    if (!hit) {
      if (!add && countUnits(selected)) this.session.set("selected", {});
      return;
    }
    const layer = this.view.scene.plan.columns[hit.column].layer.name;
    const has = selected[layer]?.includes(hit.unit);
    if (add) this.session.set("selected", has ? without(selected, layer, [hit.unit]) : withUnit(selected, layer, hit.unit));
    else this.session.set("selected", { [layer]: [hit.unit] });
  }

  private selectBox(box: { x0: number; y0: number; x1: number; y1: number }): void {
    const [x0, y0] = toWorld(this.view.camera, box.x0, box.y0);
    const [x1, y1] = toWorld(this.view.camera, box.x1, box.y1);
    this.session.set("selected", pickBox(this.view.scene.plan, { x0, y0, x1, y1 }));
  }

  private double(event: MouseEvent): void {
    const { x, y } = this.point(event);
    const hit = this.overStrip({ x, y }) ? null : this.view.at(x, y);
    if (hit && !event.shiftKey) this.session.toggle({ [this.view.scene.plan.columns[hit.column].layer.name]: [hit.unit] });
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    event.stopPropagation();
    const { x, y } = this.point(event);
    const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const delta = Math.max(-240, Math.min(240, event.deltaY * lines));
    if (!event.ctrlKey && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) return this.pan((event.deltaX || event.deltaY) * lines);
    this.zoom(Math.exp(-delta * (event.ctrlKey ? 0.008 : 0.0016)), x, y);
  }

  // -- keys ------------------------------------------------------------------------------------------

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions: Record<string, () => void> = {
      ArrowUp: () => this.step(0, -1), ArrowDown: () => this.step(0, 1), ArrowLeft: () => this.step(-1, 0), ArrowRight: () => this.step(1, 0),
      Enter: () => this.session.toggle(this.session.get("selected") ?? {}), z: () => this.session.toggle(this.session.get("selected") ?? {}),
      Escape: () => this.session.set("selected", {}), "+": () => this.zoom(1.3), "=": () => this.zoom(1.3), "-": () => this.zoom(1 / 1.3),
      "0": () => this.view.fit(), f: () => this.view.fit(),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    // Shortcuts of the notebook (Enter, Z, arrows) must not see keys meant for the graph.
    event.stopPropagation();
    this.view.canvas.classList.remove("cw-pointed");
    if (!action) return;
    event.preventDefault();
    this.hover(null, 0, 0); // what the keys choose is shown, not what the resting pointer is over
    action();
  }

  private step(dx: number, dy: number): void {
    const { plan } = this.view.scene;
    if (!plan.columns.length) return;
    const [current] = Object.entries(this.session.get("selected") ?? {}).filter(([layer, list]) => plan.index.has(layer) && list.length);
    if (!current) return this.choose(0, 0);
    const k = plan.index.get(current[0])!;
    const unit = current[1][0];
    const column = plan.columns[k];
    if (dy) return this.choose(k, (unit + dy + column.layer.units) % column.layer.units);
    const next = Math.min(plan.columns.length - 1, Math.max(0, k + dx));
    if (next === k) return;
    this.choose(next, nearestUnit(plan.columns[next], place(column, unit)[1]));
  }

  private choose(column: number, unit: number): void {
    const { layer } = this.view.scene.plan.columns[column];
    this.session.set("selected", { [layer.name]: [unit] });
    this.view.reveal(layer.name, unit);
  }

  /** Where the tooltip of a unit belongs. */
  screenOf(hit: Hit): [number, number] {
    return toScreen(this.view.camera, ...place(this.view.scene.plan.columns[hit.column], hit.unit));
  }
}
