// Pruning curves: choose rules and range, run, and read accuracy over the share of filters removed.
import { h, text, uid } from "../dom";
import { count } from "../format";
import { EFFECT, RULES } from "../rules";
import type { Scope } from "../scope";
import { curveChart } from "./chart";
import { jobText, progressBar } from "./header";

const CHOICES: [name: string, label: string][] = [...[...RULES, EFFECT].map(([name, label]): [string, string] => [name, label]), ["random", "random"]];
const DEFAULT = new Set(["coefficient", "standardised", "l1", "random"]);
const NEEDS_COLLECT = new Set(["coefficient", "standardised", "variance", "response"]);

/** Percentages from 0 to `most` in `steps` equal steps, rounded to whole percents, each once. */
export function percentsOf(most: number, steps: number): number[] {
  const all = Array.from({ length: steps + 1 }, (_, k) => Math.round((most * k) / steps));
  return [...new Set(all)];
}

function numberField(label: string, test: string, value: number, min: number, max: number): { element: HTMLElement; read(): number } {
  const id = uid("n");
  const input = h("input", { id, type: "number", test, min, max, value });
  const read = () => Math.min(max, Math.max(min, Math.round(Number(input.value)) || value));
  input.addEventListener("change", () => (input.value = String(read())));
  return { element: h("div", { class: "cw-field" }, h("label", { for: id }, label), input), read };
}

export function pruning(scope: Scope): HTMLElement {
  const { session } = scope;
  const boxes = CHOICES.map(([name, label]) => {
    const box = h("input", { type: "checkbox", value: name, checked: DEFAULT.has(name), "data-testid": `cw-prune-rule-${name}`, onchange: () => update() });
    return { name, box, element: h("label", { class: "cw-check" }, box, label) };
  });
  const most = numberField("up to %", "cw-prune-most", 60, 1, 95);
  const steps = numberField("steps", "cw-prune-steps", 6, 1, 40);
  const repeats = numberField("draws", "cw-prune-repeats", 5, 1, 100);
  const run = h("button", { class: "cw-primary", type: "button", test: "cw-prune-run", onclick: () => start() }, "Run");
  const cancel = h("button", { type: "button", test: "cw-prune-cancel", onclick: () => void session.cancel() }, "Cancel");
  const bar = progressBar("cw-prune-bar");
  const status = h("span", { class: "cw-progress-text", test: "cw-prune-progress" });
  const result = h("div", { class: "cw-result" });
  let asked = false;

  const chosen = () => boxes.filter(({ box }) => box.checked && !box.disabled).map(({ name }) => name);

  async function start(): Promise<void> {
    asked = true;
    update();
    await session.prune({ percents: percentsOf(most.read(), steps.read()), rules: chosen(), repeats: repeats.read(), seed: 0 });
    asked = false;
    update();
  }

  function update(): void {
    const { running, kernel } = session;
    const job = running && session.job?.kind === "prune" ? session.job : null;
    for (const { name, box, element } of boxes) {
      const unranked = name === "effect" && !session.allRanked;
      box.disabled = unranked || (NEEDS_COLLECT.has(name) && !kernel?.collected);
      element.classList.toggle("cw-off", box.disabled);
      element.title = unranked ? "rank everything first" : box.disabled ? "needs Collect first" : "";
    }
    run.disabled = asked || running || !kernel || !kernel.hasLabels || !chosen().length;
    run.title = kernel && !kernel.hasLabels ? "Pruning curves need labelled images" : "";
    text(run, job || asked ? "Running …" : "Run");
    cancel.disabled = !job;
    bar.show(job);
    text(status, job ? jobText(job) : asked ? "Starting …" : kernel && !kernel.hasLabels ? "Needs labelled images" : session.curve ? `Measured on ${count(session.curve.n)} images` : "");
  }

  scope.on(["state", "job", "ranking"], update);
  scope.on("curve", () => {
    const { curve } = session;
    update();
    result.replaceChildren(curve && curve.rules.length ? curveChart(curve) : h("div", { class: "cw-placeholder", test: "cw-prune-empty" },
      h("b", {}, "No curve yet"), h("span", {}, "Run prunes the least important filters by each rule, a little more at each step, and measures the accuracy that is left.")));
  });
  return h("div", { class: "cw-pruning" },
    h("div", { class: "cw-checks", role: "group", "aria-label": "Rules" }, ...boxes.map(({ element }) => element)),
    h("div", { class: "cw-row" }, most.element, steps.element, repeats.element),
    h("div", { class: "cw-row" }, run, cancel, status), bar.element, result);
}
