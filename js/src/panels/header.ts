// What is explained, on which device, from how many images; Collect with its progress.
import { h, options, text, uid } from "../dom";
import { bytes, count, duration, MISSING, number, percent, plural } from "../format";
import type { Scope } from "../scope";
import type { Device, Job, KernelState } from "../types";

function deviceLabel({ name, label, memory, free }: Device): string {
  const title = !label || label.toLowerCase().startsWith(name) ? label || name : `${name} ${label}`;
  return memory === null ? title : `${title} · ${bytes(free ?? memory, 0)}${free === null ? "" : " free"}`;
}

function about(state: KernelState | null): string {
  if (!state) return "Reading the network …";
  const parts = [plural(state.nFilters, "filter"), plural(state.nLayers, "layer")];
  if (state.classes.length) parts.push(plural(state.classes.length, "class", "classes"));
  return parts.join(" · ");
}

const VERBS = { collect: "Collecting", prune: "Pruning", check: "Checking", rank: "Ranking", explain: "Explaining", repair: "Measuring the repair", local: "Measuring local equations", effect: "Intervening" };

export function jobText(job: Job): string {
  const done = job.total === null ? `${count(job.done)} ${job.unit}` : `${count(job.done)} of ${count(job.total)} ${job.unit}`;
  if (job.state === "queued") return `${VERBS[job.kind]}: waiting for its turn`;
  const parts = [`${VERBS[job.kind]}: ${done}`];
  if (job.rate) parts.push(`${number(job.rate)} ${job.unit}/s`);
  if (job.remaining !== null) parts.push(job.remaining < 1 ? "< 1 s left" : `${duration(Math.ceil(job.remaining))} left`);
  if (job.message && !VERBS[job.kind].toLowerCase().startsWith(job.message)) parts.push(job.message);
  return parts.join(" · ");
}

export function progressBar(test?: string): { element: HTMLElement; show(job: Job | null): void } {
  const fill = h("div", { class: "cw-bar-fill" });
  const element = h("div", { class: "cw-bar", role: "progressbar", "aria-label": "Progress", test }, fill);
  return {
    element,
    show(job) {
      element.classList.toggle("cw-on", job !== null);
      element.classList.toggle("cw-unknown", job !== null && job.total === null);
      const share = job?.total ? Math.min(1, job.done / job.total) : 0;
      fill.style.width = job?.total ? `${100 * share}%` : "";
      if (job?.total) element.setAttribute("aria-valuenow", String(Math.round(share * 100)));
      else element.removeAttribute("aria-valuenow");
    },
  };
}

export function header(scope: Scope): HTMLElement {
  const { session } = scope;
  const model = h("span", { class: "cw-model", test: "cw-model" });
  const sub = h("span", { class: "cw-sub", test: "cw-about" });
  const accuracy = h("b", { test: "cw-accuracy" });
  const score = h("div", { class: "cw-score", title: "On the images that were collected; an intervention is measured on the images of the strip" }, h("span", { class: "cw-sub" }, "accuracy on collected images "), accuracy);
  const [deviceId, batchesId] = [uid("device"), uid("batches")];
  const device = h("select", { id: deviceId, test: "cw-device", onchange: () => session.set("device", device.value) });
  const batches = h("input", {
    id: batchesId, test: "cw-batches", type: "number", min: 0, step: 1, title: "How many batches to run; 0 or empty means all of them",
    onchange: () => session.set("batches", Math.max(0, Math.floor(Number(batches.value)) || 0)),
  });
  const collect = h("button", { class: "cw-primary", test: "cw-collect", type: "button", onclick: () => start() }, "Collect");
  const cancel = h("button", { test: "cw-cancel", type: "button", onclick: () => stop() }, "Cancel");
  const status = h("span", { class: "cw-progress-text", test: "cw-progress", "aria-live": "polite" });
  const bar = progressBar("cw-progress-bar");
  let asked = false;

  async function start(): Promise<void> {
    asked = true;
    update();
    await session.collect();
    asked = false;
    update();
  }

  async function stop(): Promise<void> {
    cancel.disabled = true;
    text(cancel, "Cancelling …");
    await session.cancel();
  }

  function update(): void {
    const state = session.kernel;
    const running = session.running;
    const job = running ? session.job : null;
    text(model, state?.model ?? MISSING);
    text(sub, about(state));
    text(accuracy, percent(state?.accuracy));
    score.classList.toggle("cw-blank", (state?.accuracy ?? null) === null);
    options(device, (state?.devices ?? []).map((d) => [d.name, deviceLabel(d)]), session.get("device") ?? "");
    if (document.activeElement !== batches) batches.value = session.get("batches") ? String(session.get("batches")) : "";
    batches.placeholder = "all";
    collect.disabled = asked || running || !state || !state.canCollect || session.unreachable;
    collect.title = state && !state.canCollect ? "The widget was made without images: CausalWidget(model, loader)" : "Run the images through the network and learn the structural equations";
    text(collect, asked || job?.kind === "collect" ? "Collecting …" : state?.collected ? "Collect again" : "Collect");
    cancel.disabled = !running;
    text(cancel, "Cancel");
    text(status, job ? jobText(job) : idle(state));
    bar.show(job);
  }

  function idle(state: KernelState | null): string {
    if (session.unreachable) return "No answer from the kernel";
    if (!state) return "Waiting for the kernel …";
    if (asked) return "Starting …";
    if (state.collected) return `Collected ${plural(state.nImages, "image")}${state.loss === null ? "" : ` · loss ${number(state.loss)}`}`;
    return state.canCollect ? "Nothing collected yet: press Collect to learn the structural equations" : "Nothing collected yet";
  }

  scope.on(["state", "job", "device", "batches"], update);
  return h(
    "header", { class: "cw-header" },
    h("div", { class: "cw-title" }, model, sub),
    score,
    h("div", { class: "cw-controls" },
      h("label", { for: deviceId }, "Device"), device,
      h("label", { for: batchesId }, "Batches"), batches,
      collect, cancel,
    ),
    h("div", { class: "cw-progress-row" }, status),
    bar.element,
  );
}
