// Who predicts, what that costs before it can, and why it does not where it does not.
import { h, options, text, uid } from "../dom";
import { count, duration } from "../format";
import type { Scope } from "../scope";
import type { By } from "../types";
import { jobText, progressBar } from "./header";

const CHOICES: [By, string, string][] = [
  ["equations", "the fitted equations", "One equation a unit, fitted over all images: no pass of the network, and of deep networks they foresee little."],
  ["local", "local equations", "For each image its own coefficients, from the network's gradients under random silencing: measured once, then as quick."],
];

const UNDISTURBED = "Fitted on undisturbed images alone. Collect, above, also silences filters at random: equations fitted on that know more of interventions.";

export function predictor(scope: Scope): HTMLElement {
  const { session } = scope;
  const id = uid("by");
  const by = h("select", { id, test: "cw-by", onchange: () => session.predictBy(by.value as By) });
  const why = h("p", { class: "cw-sub", test: "cw-prediction-reason" });
  const run = h("button", { type: "button", test: "cw-local-run", onclick: () => start() }, "Measure");
  const cancel = h("button", { type: "button", test: "cw-local-cancel", onclick: () => void session.cancel() }, "Cancel");
  const bar = progressBar("cw-local-bar");
  const status = h("span", { class: "cw-progress-text" });
  const measuring = h("div", {}, h("div", { class: "cw-row" }, run, cancel, status), bar.element);
  const row = h("div", { class: "cw-field" }, h("label", { for: id }, "Predict by"), by);
  let asked = false;

  async function start(): Promise<void> {
    asked = true;
    update();
    await session.measureLocal();
    asked = false;
    update();
  }

  function words(): string {
    if (!session.kernel?.collected) return "Press Collect to learn the equations: they then answer beside the network.";
    const { prediction } = session;
    if (!prediction?.reason) return session.by === "equations" && session.equations?.info.data === "observational" ? UNDISTURBED : "";
    if (!prediction.cost) return `Nothing is predicted: ${prediction.reason}.`;
    const { passes, images, seconds } = prediction.cost;
    return `To be measured once: about ${count(passes)} forward passes of one image for these ${count(images)}${seconds === null ? "" : `, ${duration(Math.max(1, seconds))}`}.`;
  }

  function update(): void {
    const job = session.running && session.job?.kind === "local" ? session.job : null;
    const collected = Boolean(session.kernel?.collected);
    options(by, CHOICES.map(([name, label]) => [name, label]), session.by);
    by.title = CHOICES.find(([name]) => name === session.by)![2];
    row.hidden = !collected;
    measuring.hidden = session.by !== "local" || (!session.prediction?.cost && !job);
    run.disabled = asked || session.running || !session.kernel?.canCollect;
    cancel.disabled = !job;
    bar.show(job);
    text(status, job ? jobText(job).replace(/^[^:]*: /, "") : "");
    text(why, words());
    why.hidden = !words();
  }

  scope.on(["prediction", "equations", "state", "job"], update);
  return h("div", { class: "cw-predictor" }, row, why, measuring);
}
