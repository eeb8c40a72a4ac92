// Why the network says a class: the units that it stands on, those that hurt it, found from the class backwards.
import { h, options, uid } from "../dom";
import { count, duration, number, plural } from "../format";
import type { Scope } from "../scope";
import type { ClassChoice, ClassPlan } from "../types";
import { classUnit } from "./class-unit";
import { effectsTable } from "./effects-table";
import { repair } from "./repair";
import { roughly, runner } from "./runner";

const field = (label: string, control: HTMLElement, title = ""): HTMLElement => h("div", { class: "cw-field", title }, h("label", { for: (control.id = uid("class")) }, label), control);

export function classes(scope: Scope): HTMLElement {
  const { session } = scope;
  const target = h("select", { test: "cw-class-target", onchange: () => choose(Number(target.value), null) });
  const mode = h("select", { test: "cw-class-mode", "aria-label": "Mode", title: "sound: a least effect, confirmed on other images; paper: z-tests as Ahmad et al. write", onchange: () => job.forget() });
  options(mode, [["sound", "sound"], ["paper", "paper"]], "sound");
  const images = h("input", { test: "cw-class-images", type: "number", min: 1, placeholder: "usual", onchange: () => job.forget() });
  const explain = h("button", { type: "button", test: "cw-class-explain", onclick: () => void job.ask({ target: session.target, images: Number(images.value) > 0 ? Math.floor(Number(images.value)) : null, mode: mode.value }) }, "Explain");
  const other = h("select", { test: "cw-class-other", onchange: () => choose(session.target, other.value ? Number(other.value) : null) });
  const comparing = field("Compare with", other);
  const notes = h("div", { class: "cw-notes", test: "cw-class-notes" });
  const table = effectsTable(scope, "cw-class", "mean change of the class's output when the unit's paths to the units after it are taken away", () => session.classGraph, ["neutral", "undecided", "not asked", "neither"]);
  const result = h("div", {}, h("div", { class: "cw-row" }, comparing), notes, classUnit(scope), repair(scope), table.head, ...table.rows);
  const empty = h("div", { class: "cw-placeholder", test: "cw-class-empty" }, h("b", {}, "This class is not explained yet"),
    h("span", {}, "Why does the network say it? From the class backwards, each unit's paths to what was found before are taken away. Where the class's output falls, the unit is critical; where it rises, it hurts the class. What it costs is said before it runs."));

  const className = (k: number) => session.kernel?.classes[k] ?? String(k);

  function choose(k: number, against: number | null): void {
    job.forget();
    session.showClass(k, against);
  }

  function told({ target, images, available, needed, units, seconds, own, others }: ClassPlan): string {
    const few = images < needed ? ` Too few for a verdict: ${count(needed)} would do.` : "";
    return `${plural(images, "image")} of the ${count(available)} of ${className(target)}, ${plural(units, "unit")}${seconds === null ? "" : `: ${roughly(seconds)}`}.${few} ${count(own)} of it and ${count(others)} others are left to judge a repair.`;
  }

  const job = runner<ClassChoice, ClassPlan>(scope, {
    kind: "explain", test: "cw-class", title: "Explaining", asks: [explain],
    plan: (choice) => session.planClass(choice),
    start: (choice) => void session.explain(choice),
    told,
    running: () => `From the class backwards. Found: ${session.classGraph?.info.done === false ? session.classGraph.info.layers.join(", ") || "nothing yet" : "nothing yet"}.`,
    cancelled: "Cancelled: nothing of it is kept.",
    summary() {
      if (!session.classGraph) return "The graph of a class: its critical units and their paths.";
      const { images, seconds, mode, wrong, minEffect } = session.classGraph.info;
      return `${plural(images, "image")}${wrong ? `, ${count(wrong)} of them got wrong,` : ""} in ${duration(seconds)}. ${mode === "paper" ? "z-tests as in the paper, not corrected." : `Least effect ${number(minEffect, 2)}; found on one half of the images, confirmed on the other.`}`;
    },
    update(able, running) {
      const labelled = Boolean(session.kernel?.hasLabels);
      explain.disabled = !able || !labelled;
      explain.title = session.kernel && !labelled ? "It takes labelled images" : "";
      for (const each of [target, mode, images, other]) each.disabled = Boolean(running);
    },
  });

  function show(): void {
    const found = session.classGraph;
    const known = session.classesKnown;
    job.update();
    options(target, (session.kernel?.classes ?? []).map((name, k) => [String(k), known.some((each) => each.target === k) ? `${name} ✓` : name]), String(session.target));
    const rest = known.filter((each) => each.target !== session.target);
    options(other, [["", "none"], ...rest.map(({ target, name }): [string, string] => [String(target), name])], String(session.other ?? ""));
    empty.hidden = found !== null;
    result.hidden = found === null;
    if (!found) return;
    notes.replaceChildren(...found.info.notes.slice(0, 2).map((note) => h("div", {}, note)));
    if (found.info.done && found.info.images < found.info.needed) notes.prepend(h("div", {}, `Too few images for a verdict: ${count(found.info.needed)} would do.`));
    table.show();
  }

  scope.on(["state", "job"], job.update);
  scope.on(["state", "class", "graph"], show);
  scope.on(["batches", "device"], job.forget);
  return h("div", { class: "cw-ranking cw-classes-panel" },
    h("div", { class: "cw-row" }, field("Class", target), field("images", images, "How many of the class's images; the others judge a repair"), mode),
    h("div", { class: "cw-row cw-rank-row" }, explain, ...job.controls), job.bar, job.said, empty, result);
}
