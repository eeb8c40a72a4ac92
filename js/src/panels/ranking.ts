// Every filter silenced alone: what that would cost, the job, and the table of effects with their verdicts.
import { h, option, options, text, uid } from "../dom";
import { count, duration, number, plural } from "../format";
import { OUTCOMES, siteLabel } from "../rules";
import type { Scope } from "../scope";
import type { RankPlan } from "../types";
import { effectsTable } from "./effects-table";
import { runner } from "./runner";

/** On every image, or on as many as it takes to know each effect on the loss so well. */
const HOW = [["", "all images"], ["0.01", "to ±0.01"], ["0.003", "to ±0.003"]];

function told({ units, layers, images, seconds, mostSeconds, less, reason, site }: RankPlan): string {
  const time = (s: number) => duration(Math.max(1, Math.round(s)));
  const until = seconds !== null && mostSeconds !== null && time(mostSeconds) !== time(seconds) ? ` to ${time(mostSeconds)}` : "";
  const cost = seconds === null ? "" : `: about ${time(seconds)}${until}${less < 1.2 ? "" : `, ${less < 10 ? less.toFixed(1) : count(less)}× less work than a loop of whole passes`}`;
  return `${plural(units, "filter")} of ${plural(layers, "layer")}, each silenced alone at the ${siteLabel(site)}, on ${plural(images ?? 0, "image")}${cost}.${reason ? ` Whole passes, because ${reason}.` : ""}`;
}

export function ranking(scope: Scope): HTMLElement {
  const { session } = scope;
  const here = h("button", { type: "button", test: "cw-rank-layer", onclick: () => void job.ask([layer()!]) }, "Rank this layer");
  const all = h("button", { type: "button", test: "cw-rank-all", onclick: () => void job.ask(null) }, "Rank everything");
  const how = h("select", { test: "cw-rank-how", "aria-label": "On how many images", onchange: () => job.asked() !== undefined && void job.ask(job.asked()!) }, ...HOW.map(([value, label]) => option(value, label)));
  const precision = () => (how.value ? Number(how.value) : null);
  const [outcomeId, leastId] = [uid("outcome"), uid("least")];
  const outcome = h("select", { id: outcomeId, test: "cw-rank-outcome", onchange: () => session.judge(outcome.value, null) });
  const least = h("input", { id: leastId, test: "cw-rank-least", type: "number", min: 0, step: "any", onchange: () => session.judge(outcome.value, least.value === "" || Number(least.value) < 0 ? null : Number(least.value)) });
  const unit = h("span", { class: "cw-sub", test: "cw-rank-default" });
  const table = effectsTable(scope, "cw-rank", "mean change of the outcome when the filter alone is silenced", () => session.ranking);
  const result = h("div", {}, h("div", { class: "cw-row" }, h("div", { class: "cw-field" }, h("label", { for: outcomeId }, "Judged by"), outcome),
    h("div", { class: "cw-field" }, h("label", { for: leastId, title: "The least effect that matters: critical and detrimental are beyond it, neutral is within" }, "least effect"), least, unit)),
    table.head, ...table.rows);
  const empty = h("div", { class: "cw-placeholder", test: "cw-rank-empty" }, h("b", {}, "Nothing is ranked yet"),
    h("span", {}, "What does each filter do? Ranking silences one filter after the other, measures what changes, and judges each: critical, neutral, detrimental, or undecided where the images are too few. What it costs is said before it runs."));

  /** The layer of what is selected. */
  const layer = (): string | undefined => Object.keys(session.selectedFilters)[0];

  const job = runner<string[] | null, RankPlan>(scope, {
    kind: "rank", test: "cw-rank", title: "Ranking", asks: [here, all],
    plan: (layers) => session.planRanking(layers, precision()),
    start: (layers) => void session.rank(layers, precision()),
    told,
    running: () => "Ranking. Filters can be switched meanwhile.",
    cancelled: "Cancelled. Run again with the same images, it goes on where it stopped.",
    summary() {
      if (!session.ranking) return "Every filter is silenced alone; what that would cost is said first.";
      const { info, unit } = session.ranking;
      return `${plural(unit.length, "filter")} on ${plural(info.images, "image")} in ${duration(info.seconds)}, each silenced alone at the ${siteLabel(info.site)}.`;
    },
    update(able, running) {
      here.disabled = !able || !layer();
      here.title = layer() ? "" : "Select a filter of the layer first";
      text(here, layer() ? `Rank ${layer()!.length > 16 ? "this layer" : layer()}` : "Rank this layer");
      all.disabled = !able;
      how.hidden = Boolean(running);
      how.disabled = !session.kernel?.canCollect || session.running || session.unreachable;
    },
  });

  function show(): void {
    const found = session.ranking;
    empty.hidden = found !== null;
    result.hidden = found === null;
    if (!found) return;
    const { info } = found;
    options(outcome, info.outcomes.map(({ name }) => [name, OUTCOMES[name] ?? name]), info.outcome);
    if (document.activeElement !== least) least.value = String(Number(info.minEffect.toPrecision(4)));
    text(unit, info.minEffect === info.defaultMinEffect ? "default" : `default ${number(info.defaultMinEffect, 2)}`);
    table.show();
  }

  scope.on(["state", "job", "selected", "ranking"], job.update);
  scope.on(["ranking", "graph"], show);
  scope.on(["site", "batches", "device"], job.forget); // it was of something else
  const [run, drop, cancel, status] = job.controls;
  return h("div", { class: "cw-ranking" },
    h("div", { class: "cw-row cw-rank-row" }, here, all, run, drop, how, cancel, status), job.bar, job.said, empty, result);
}
