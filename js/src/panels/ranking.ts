// Every filter silenced alone: what that would cost, the job, and the table of effects with their verdicts.
import { h, option, options, text, uid } from "../dom";
import { count, duration, number, percent, plural } from "../format";
import { OUTCOMES, SIGNS, siteLabel } from "../rules";
import type { Ranking } from "../records";
import type { Scope } from "../scope";
import type { Job, RankPlan } from "../types";
import { pairs } from "../units";
import { shortName, unitName } from "./graph";
import { jobText, progressBar } from "./header";
import { change, csv, KEYS, ordered, pValue, range, type Key, type Order } from "./ranks";

const MORE = 200; // rows shown at once
const HEADS: Record<Key, [label: string, title: string]> = {
  unit: ["filter", "in the order of the network"],
  effect: ["effect", "mean change of the outcome when the filter alone is silenced"],
  low: ["95 % interval", "of the mean change, for this filter alone; sorted by its lower end"],
  verdict: ["", "verdict"],
  corrected: ["p", "of the verdict, corrected for all filters that were asked about"],
  images: ["images", "on which the effect was measured"],
};

/** On every image, or on as many as it takes to know each effect on the loss so well. */
const HOW = [["", "all images"], ["0.01", "to ±0.01"], ["0.003", "to ±0.003"]];

const of = (job: Job | null) => (job?.kind === "rank" ? job : null);

function told({ units, layers, images, seconds, mostSeconds, less, reason, site }: RankPlan): string {
  const time = (s: number) => duration(Math.max(1, Math.round(s)));
  const until = seconds !== null && mostSeconds !== null && time(mostSeconds) !== time(seconds) ? ` to ${time(mostSeconds)}` : "";
  const cost = seconds === null ? "" : `: about ${time(seconds)}${until}${less < 1.2 ? "" : `, ${less < 10 ? less.toFixed(1) : count(less)}× less work than a loop of whole passes`}`;
  return `${plural(units, "filter")} of ${plural(layers, "layer")}, each silenced alone at the ${siteLabel(site)}, on ${plural(images ?? 0, "image")}${cost}.${reason ? ` Whole passes, because ${reason}.` : ""}`;
}

export function ranking(scope: Scope): HTMLElement {
  const { session } = scope;
  let plan: { layers: string[] | null; plan: RankPlan | null } | null = null;
  let order: Order = { key: "effect", by: "size" };
  let most = MORE;
  const hidden = new Set<string>();
  let rows: number[] = [];

  const here = h("button", { type: "button", test: "cw-rank-layer", onclick: () => void ask([layer()!]) }, "Rank this layer");
  const all = h("button", { type: "button", test: "cw-rank-all", onclick: () => void ask(null) }, "Rank everything");
  const how = h("select", { test: "cw-rank-how", "aria-label": "On how many images", onchange: () => plan && void ask(plan.layers) }, ...HOW.map(([value, label]) => option(value, label)));
  const precision = () => (how.value ? Number(how.value) : null);
  const said = h("p", { class: "cw-sub cw-rank-said", test: "cw-rank-plan", role: "status" });
  const run = h("button", { class: "cw-primary", type: "button", test: "cw-rank-run", onclick: () => start() }, "Run");
  const drop = h("button", { type: "button", test: "cw-rank-drop", onclick: () => { plan = null; update(); all.focus(); } }, "Not now");
  const cancel = h("button", { type: "button", test: "cw-rank-cancel", onclick: () => void session.cancel() }, "Cancel");
  const status = h("span", { class: "cw-progress-text", test: "cw-rank-progress" });
  const bar = progressBar("cw-rank-bar");
  const [outcomeId, leastId] = [uid("outcome"), uid("least")];
  const outcome = h("select", { id: outcomeId, test: "cw-rank-outcome", onchange: () => session.judge(outcome.value, null) });
  const least = h("input", { id: leastId, test: "cw-rank-least", type: "number", min: 0, step: "any", onchange: () => session.judge(outcome.value, least.value === "" || Number(least.value) < 0 ? null : Number(least.value)) });
  const unit = h("span", { class: "cw-sub", test: "cw-rank-default" });
  const chips = h("div", { class: "cw-verdicts", role: "group", "aria-label": "Verdicts that are listed" });
  const save = h("button", { type: "button", test: "cw-rank-csv", title: "Every row, as a file", onclick: () => download() }, "CSV");
  const heads = KEYS.map((key) => {
    const button = h("button", { type: "button", class: "cw-sort", "data-sort": key, title: `${HEADS[key][1]}; press to sort`, onclick: () => sort(key) });
    return { key, button, cell: h("th", { scope: "col" }, button) };
  });
  const body = h("tbody", {});
  const table = h("table", { class: "cw-ranks-table", test: "cw-rank-table" }, h("thead", {}, h("tr", {}, ...heads.map(({ cell }) => cell))), body);
  const more = h("button", { class: "cw-link", type: "button", test: "cw-rank-more", onclick: () => { most += MORE; list(); } });
  const result = h("div", {}, h("div", { class: "cw-row" }, h("div", { class: "cw-field" }, h("label", { for: outcomeId }, "Judged by"), outcome),
    h("div", { class: "cw-field" }, h("label", { for: leastId, title: "The least effect that matters: critical and detrimental are beyond it, neutral is within" }, "least effect"), least, unit)),
    h("div", { class: "cw-section-head" }, chips, save), table, more);
  const empty = h("div", { class: "cw-placeholder", test: "cw-rank-empty" }, h("b", {}, "Nothing is ranked yet"),
    h("span", {}, "What does each filter do? Ranking silences one filter after the other, measures what changes, and judges each: critical, neutral, detrimental, or undecided where the images are too few. What it costs is said before it runs."));

  /** The layer of what is selected. */
  const layer = (): string | undefined => Object.keys(session.selectedFilters)[0];

  async function ask(layers: string[] | null): Promise<void> {
    const mine = (plan = { layers, plan: null as RankPlan | null });
    update();
    try {
      mine.plan = await session.planRanking(layers, precision());
    } catch (error) {
      if (plan === mine) plan = null;
      session.fail(error, "Ranking");
    }
    update();
    if (plan === mine) run.focus();
  }

  function start(): void {
    const layers = plan!.layers;
    plan = null;
    void session.rank(layers, precision());
    update();
  }

  function summary(): string {
    if (!session.ranking) return "Every filter is silenced alone; what that would cost is said first.";
    const { info, unit } = session.ranking;
    return `${plural(unit.length, "filter")} on ${plural(info.images, "image")} in ${duration(info.seconds)}, each silenced alone at the ${siteLabel(info.site)}.`;
  }

  function update(): void {
    const job = session.running ? of(session.job) : null;
    const ended = of(session.job);
    const able = Boolean(session.kernel?.canCollect) && !session.running && !session.unreachable;
    here.hidden = all.hidden = Boolean(job || plan?.plan);
    here.disabled = !able || !layer() || plan !== null;
    here.title = layer() ? "" : "Select a filter of the layer first";
    text(here, layer() ? `Rank ${layer()!.length > 16 ? "this layer" : layer()}` : "Rank this layer");
    all.disabled = !able || plan !== null;
    run.hidden = drop.hidden = !plan?.plan;
    cancel.hidden = !job;
    how.hidden = Boolean(job);
    how.disabled = !able;
    bar.show(job);
    text(status, !job ? "" : job.total && job.remaining !== null ? `${percent(job.done / job.total, 0)} · ${duration(Math.ceil(job.remaining))} left` : jobText(job).replace(/^[^:]*: /, ""));
    text(said, job ? "Ranking. Filters can be switched meanwhile." : plan ? (plan.plan ? told(plan.plan) : "Measuring what it would cost …") : ended?.state === "cancelled" ? "Cancelled. Run again with the same images, it goes on where it stopped." : ended?.state === "failed" ? `It failed: ${ended.message}` : summary());
    said.classList.toggle("cw-warned", !job && !plan && ended?.state === "failed");
  }

  // -- the table -------------------------------------------------------------------------------------

  function sort(key: Key): void {
    order = key === "effect" ? { key, by: order.key !== key ? "size" : order.by === "size" ? "down" : order.by === "down" ? "up" : "size" } : { key, by: order.key === key && order.by === "up" ? "down" : "up" };
    most = MORE;
    list();
  }

  function row(found: Ranking, k: number): HTMLElement {
    const [name, number] = [found.info.layers[found.layer[k]], found.unit[k]];
    const kind = found.info.verdicts[found.verdict[k]];
    const needed = found.needed[k];
    const why = kind === "undecided" ? (Number.isFinite(needed) ? `; about ${count(needed)} images would settle it` : "; more images would not settle it") : "";
    const select = () => session.set("selected", { [name]: [number] });
    return h("tr", { "data-unit": `${name} ${number}`, "aria-selected": session.get("selected")?.[name]?.includes(number) ? "true" : null, onclick: select },
      h("th", { scope: "row" }, h("button", { type: "button", class: "cw-rank-unit", title: `Select ${unitName(session, name, number)}` }, shortName(session, name, number, 10))),
      h("td", { class: "cw-number" }, change(found.info.outcome, found.effect[k])), h("td", { class: "cw-number" }, range(found.info.outcome, found.low[k], found.high[k])),
      h("td", { class: `cw-sign cw-${kind}`, title: `${kind}${why}` }, h("span", { "aria-hidden": "true" }, SIGNS[kind]), h("span", { class: "cw-hidden" }, kind)),
      h("td", { class: "cw-number", title: `uncorrected ${pValue(found.p[k])}` }, pValue(found.corrected[k])), h("td", { class: "cw-number" }, count(found.images[k])));
  }

  function list(): void {
    const found = session.ranking;
    if (!found) return;
    rows = ordered(found, order).filter((k) => !hidden.has(found.info.verdicts[found.verdict[k]]));
    for (const { key, button, cell } of heads) {
      const mine = order.key === key;
      text(button, `${key === "effect" && mine && order.by === "size" ? "|effect|" : HEADS[key][0] || "▲"}${mine ? (order.by === "up" ? " ↑" : " ↓") : ""}`);
      if (!HEADS[key][0]) button.setAttribute("aria-label", "verdict");
      cell.setAttribute("aria-sort", !mine ? "none" : order.by === "up" ? "ascending" : order.by === "down" ? "descending" : "other");
    }
    body.replaceChildren(...rows.slice(0, most).map((k) => row(found, k)));
    if (!rows.length) body.append(h("tr", {}, h("td", { colspan: KEYS.length, class: "cw-sub" }, "No filter has one of the verdicts that are ticked.")));
    more.hidden = rows.length <= most;
    text(more, `Show ${count(Math.min(MORE, rows.length - most))} more of ${count(rows.length)}`);
  }

  function mark(): void {
    const chosen = new Set(pairs(session.get("selected") ?? {}).map(([name, number]) => `${name} ${number}`));
    for (const each of body.children) {
      if (chosen.has((each as HTMLElement).dataset.unit ?? "")) each.setAttribute("aria-selected", "true");
      else each.removeAttribute("aria-selected");
    }
  }

  function show(): void {
    const found = session.ranking;
    empty.hidden = found !== null;
    result.hidden = found === null;
    if (!found) return;
    const { info } = found;
    options(outcome, info.outcomes.map(({ name }) => [name, OUTCOMES[name] ?? name]), info.outcome);
    if (document.activeElement !== least) least.value = String(Number(info.minEffect.toPrecision(4)));
    text(unit, info.minEffect === info.defaultMinEffect ? "default" : `default ${number(info.defaultMinEffect, 2)}`);
    const counts = info.verdicts.map((_, kind) => found.verdict.reduce((sum, each) => sum + Number(each === kind), 0));
    chips.replaceChildren(...info.verdicts.map((kind, k) => h("label", { class: `cw-check cw-${kind}` },
      h("input", { type: "checkbox", checked: !hidden.has(kind), "data-testid": `cw-rank-only-${kind}`, onchange: (event: Event) => { hidden[(event.target as HTMLInputElement).checked ? "delete" : "add"](kind); most = MORE; list(); } }),
      h("i", { class: "cw-sign", "aria-hidden": "true" }, SIGNS[kind]), ` ${kind} `, h("b", {}, count(counts[k])))));
    list();
  }

  function download(): void {
    const found = session.ranking!;
    const link = h("a", { href: URL.createObjectURL(new Blob([csv(found, ordered(found, order))], { type: "text/csv" })), download: `effects-${found.info.outcome}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  scope.on(["state", "job", "selected", "ranking"], update);
  scope.on(["ranking", "graph"], show);
  scope.on("selected", mark);
  scope.on(["site", "batches", "device"], () => {
    plan = null; // it was of something else
    update();
  });
  return h("div", { class: "cw-ranking" },
    h("div", { class: "cw-row cw-rank-row" }, here, all, run, drop, how, cancel, status), bar.element, said, empty, result);
}
