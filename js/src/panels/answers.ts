// Two answers to one do(), side by side: what the equations predict at once, and what the network was measured to do.
import { h, text } from "../dom";
import { count, figures, fixedSigned, MISSING, percent, points } from "../format";
import type { EffectInfo } from "../types";

type Score = "accuracy" | "loss";
const FORMS = {
  accuracy: { value: (x: number | null) => percent(x), change: (x: number | null) => points(x), within: (x: number) => (x * 100).toFixed(1), better: 1 },
  loss: { value: (x: number | null) => figures(x), change: (x: number | null) => fixedSigned(x), within: (x: number) => x.toFixed(3), better: -1 },
};
const SMALLEST = 0.005;

/** Whether two changes of accuracy are the same as far as the images can tell: negative where the network does worse than predicted. */
export function apart(predicted: EffectInfo, measured: EffectInfo): number | null {
  const [guess, truth] = [predicted.change.accuracy, measured.change.accuracy];
  if (guess === null || truth === null) return null;
  return Math.abs(truth - guess) <= Math.max(SMALLEST, measured.change.accuracyHalf ?? 0) ? 0 : truth - guess;
}

export function verdict(predicted: EffectInfo, measured: EffectInfo): string {
  const gap = apart(predicted, measured);
  if (gap === null) return "";
  if (gap === 0) return "≈ They agree, as far as these images can tell.";
  return `≠ They disagree: the network does ${(Math.abs(gap) * 100).toFixed(1)} points ${gap < 0 ? "worse" : "better"} than the equations predict.`;
}

interface Cells {
  element: HTMLElement;
  before: HTMLElement;
  value: HTMLElement;
  change: HTMLElement;
  guess: HTMLElement;
  guessed: HTMLElement;
  gap: HTMLElement;
}

function row(name: string, test: string): Cells {
  const cell = (part: string, kind: string) => h("span", { class: kind, test: `cw-${test}-${part}` }, "–");
  const [before, value, change] = [cell("before", "cw-before"), cell("after", "cw-after"), cell("change", "cw-change")];
  const [guess, guessed, gap] = [cell("predicted", "cw-after"), cell("predicted-change", "cw-change"), cell("gap", "cw-gap")];
  const td = (kind: string, ...inside: HTMLElement[]) => h("td", { class: kind }, ...inside);
  return { element: h("tr", {}, h("th", { scope: "row" }, name), td("", before), td("cw-guessed", guess, guessed), td("cw-measured", value, change), td("", gap)), before, value, change, guess, guessed, gap };
}

/** The sign of a change, 0 where its 95 % interval does not tell it from none. */
const clear = (change: number | null, half: number | null): number => (change === null || Math.abs(change) <= (half ?? 0) ? 0 : Math.sign(change));

function tone(element: HTMLElement, sign: number): void {
  element.classList.toggle("cw-worse", sign < 0);
  element.classList.toggle("cw-better", sign > 0);
}

export interface Answers {
  element: HTMLElement;
  show(predicted: EffectInfo | null, measured: EffectInfo | null, measuring: boolean, predicting: boolean): void;
}

export function answers(): Answers {
  const rows = { accuracy: row("accuracy", "accuracy"), loss: row("loss", "loss"), flipped: row("changed", "flips") };
  const head = (kind: string, mark: string, name: string, by: string) => h("th", { scope: "col", class: kind }, h("b", {}, h("i", { class: "cw-mark" }, mark), ` ${name}`), h("span", {}, by));
  const said = h("p", { class: "cw-verdict", test: "cw-verdict", role: "status" });
  const table = h("table", { class: "cw-answers", test: "cw-answers" },
    h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, h("span", {}, "without")), head("cw-guessed", "◇", "Predicted", "by the equations"), head("cw-measured", "▬", "Measured", "on the network"), h("th", { scope: "col" }, h("span", {}, "apart")))),
    h("tbody", {}, rows.accuracy.element, rows.loss.element, rows.flipped.element));

  let none = MISSING; // or an ellipsis, while the first prediction is on its way

  function score(name: Score, predicted: EffectInfo | null, measured: EffectInfo | null): void {
    const [cells, form] = [rows[name], FORMS[name]];
    const half = measured ? measured.change[`${name}Half` as const] : null;
    const [guess, truth] = [predicted?.change[name] ?? null, measured?.change[name] ?? null];
    text(cells.before, form.value((measured ?? predicted)?.before[name] ?? null));
    text(cells.guess, predicted ? form.value(predicted.after[name]) : none);
    text(cells.guessed, predicted ? form.change(guess) : "");
    text(cells.value, measured ? form.value(measured.after[name]) : "…");
    text(cells.change, measured ? `${form.change(truth)}${half === null ? "" : ` ± ${form.within(half)}`}` : "");
    text(cells.gap, guess === null || truth === null ? "" : form.within(Math.abs(truth - guess)));
    tone(cells.change, form.better * clear(truth, half));
    tone(cells.guessed, form.better * clear(guess, predicted ? predicted.change[`${name}Half` as const] : null));
    cells.element.hidden = (measured ?? predicted)?.before[name] === null;
  }

  function flips(predicted: EffectInfo | null, measured: EffectInfo | null): void {
    const { before, value, guess, change, guessed, gap } = rows.flipped;
    text(before, "");
    text(guess, predicted ? count(predicted.flipped) : none);
    text(value, measured ? count(measured.flipped) : "…");
    text(change, measured ? `of ${count(measured.n)}` : "");
    text(guessed, predicted ? `of ${count(predicted.n)}` : "");
    text(gap, predicted && measured ? count(Math.abs(predicted.flipped - measured.flipped)) : "");
  }

  function show(predicted: EffectInfo | null, measured: EffectInfo | null, waiting: boolean, predicting: boolean): void {
    none = predicting ? "…" : MISSING;
    score("accuracy", predicted, measured);
    score("loss", predicted, measured);
    flips(predicted, measured);
    table.classList.toggle("cw-alone", predicted === null);
    table.classList.toggle("cw-measuring", waiting);
    const differ = predicted && measured && !waiting ? apart(predicted, measured) : null;
    table.classList.toggle("cw-differ", Boolean(differ));
    text(said, waiting ? "Measuring on the network …" : predicted && measured ? verdict(predicted, measured) : "");
    said.classList.toggle("cw-differ", Boolean(differ));
  }
  return { element: h("div", {}, table, said), show };
}
