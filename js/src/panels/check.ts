// The equations against the network: rolled out from each depth, and under interventions, with baselines and what each costs.
import { h, options, text, uid } from "../dom";
import { count, duration, fixed, percent, plural } from "../format";
import type { Scope } from "../scope";
import type { FidelityInfo, FidelityRow } from "../types";
import { depthChart } from "./depth";
import { jobText, progressBar } from "./header";

const COLUMNS = [
  ["correlation", "Pearson's correlation between predicted and true change of the true class's logit, over images and interventions"],
  ["R²", "share of the true change's variance that is predicted; below 0 is worse than always saying the mean"],
  ["flips", "share of the predictions that an intervention changes which were foreseen to change"],
  ["passes", "forward passes of the network that the method needs, for one image"],
] as const;

function line({ name, ours, correlation, r2, flips, passes }: FidelityRow, best: number): HTMLElement {
  const cells = [fixed(correlation), r2 !== null && r2 < -1 ? "< −1" : fixed(r2), percent(flips, 0), count(passes)];
  return h("tr", { class: ours ? "cw-ours" : null }, h("th", { scope: "row", title: name }, ours ? "◆ " : "", name), ...cells.map((value, k) => h("td", { class: k === 0 && correlation !== null && correlation === best ? "cw-best" : null }, value)));
}

function fidelityTable(found: FidelityInfo, at: number): HTMLElement {
  const rows = [...found.settings[at].rows].sort((a, b) => (b.correlation ?? -2) - (a.correlation ?? -2));
  const best = Math.max(...rows.map(({ correlation }) => correlation ?? -2));
  return h("table", { class: "cw-table", test: "cw-fidelity" },
    h("thead", {}, h("tr", {}, h("th"), ...COLUMNS.map(([name, title]) => h("th", { scope: "col", title }, name)))),
    h("tbody", {}, ...rows.map((row) => line(row, best))));
}

export function check(scope: Scope): HTMLElement {
  const { session } = scope;
  const cost = h("p", { class: "cw-sub", test: "cw-check-cost" });
  const run = h("button", { class: "cw-primary", type: "button", test: "cw-check-run", onclick: () => start() }, "Check");
  const cancel = h("button", { type: "button", test: "cw-check-cancel", onclick: () => void session.cancel() }, "Cancel");
  const bar = progressBar("cw-check-bar");
  const status = h("span", { class: "cw-progress-text", test: "cw-check-progress" });
  const settingId = uid("setting");
  const setting = h("select", { id: settingId, test: "cw-fidelity-setting", onchange: () => table() });
  const rows = h("div", {});
  const result = h("div", { class: "cw-result" });
  let asked = false;

  async function start(): Promise<void> {
    asked = true;
    update();
    await session.check();
    asked = false;
    update();
  }

  function said(): string {
    const known = session.checked;
    if (!known?.cost) return known?.reason ?? "";
    const { passes, images, draws, seconds, labelled } = known.cost;
    if (!labelled) return "The images have no labels: only the agreement with the network can be checked.";
    return `Costs about ${count(passes)} forward passes of one image${seconds === null ? "" : `, ${duration(Math.max(1, seconds))}`}: ${plural(images, "image")} under ${draws} random interventions of each kind, by the network itself and by every method.`;
  }

  function update(): void {
    const { running, kernel } = session;
    const job = running && session.job?.kind === "check" ? session.job : null;
    run.disabled = asked || running || !kernel?.canCollect || !session.checked?.cost;
    text(run, job || asked ? "Checking …" : session.checked?.fidelity ? "Check again" : "Check");
    cancel.disabled = !job;
    bar.show(job);
    text(status, job ? jobText(job) : asked ? "Starting …" : "");
    text(cost, said());
  }

  function table(): void {
    const found = session.checked?.fidelity;
    if (found) rows.replaceChildren(fidelityTable(found, Math.max(0, setting.selectedIndex)));
  }

  function show(): void {
    update();
    const { depth, fidelity } = session.checked ?? {};
    const parts: Node[] = [];
    if (fidelity) {
      options(setting, fidelity.settings.map(({ name }, k) => [String(k), name]), setting.value || "0");
      table();
      parts.push(h("h4", {}, "Do they foresee what do() does?"), h("div", { class: "cw-field" }, h("label", { for: settingId }, "Silenced"), setting), rows,
        h("p", { class: "cw-sub" }, [`◆ ours. ${plural(fidelity.interventions, "intervention")} on ${plural(fidelity.images, "image")}, in ${duration(fidelity.seconds)}.`, ...fidelity.skipped.map(({ name, why }) => `${name} left out: ${why}.`)].join(" ")));
    }
    if (depth) parts.push(h("h4", {}, "Do they carry? Observed up to a layer, the rest by equations"), depthChart(depth));
    if (!parts.length) parts.push(h("div", { class: "cw-placeholder", test: "cw-check-empty" }, h("b", {}, "Not checked yet"), h("span", {}, "Equations that fit well may still be wrong about interventions. Check silences filters at random, and compares what the equations said with what the network did.")));
    result.replaceChildren(...parts);
  }

  scope.on(["state", "job"], update);
  scope.on("check", show);
  return h("div", { class: "cw-pruning" }, cost, h("div", { class: "cw-row" }, run, cancel, status), bar.element, result);
}
