// What the current do() does to the predictions: by the equations at once, by the network as it was measured; by class and by image.
import { h, options, text, uid } from "../dom";
import { count, duration, percent, plural, shorten } from "../format";
import { SITES } from "../rules";
import type { Scope } from "../scope";
import type { EffectInfo, Guess } from "../types";
import { answers } from "./answers";
import { classBars } from "./bars";
import { thumbnail } from "./images";
import { predictor } from "./predictor";
import { valueSlider } from "./value";

export function interventions(scope: Scope): HTMLElement {
  const { session } = scope;
  const siteId = uid("site");
  const site = h("select", { id: siteId, test: "cw-site", onchange: () => session.set("site", site.value) });
  const explain = h("p", { class: "cw-sub cw-explain" });
  const both = answers();
  const flipped = h("div", { class: "cw-flipped", test: "cw-flipped" });
  const caption = h("h4", {});
  const classes = h("div", { class: "cw-classes", test: "cw-classes" });
  const strip = h("div", { class: "cw-cards", test: "cw-effect-strip" });
  const numbers = h("div", { class: "cw-effect" }, predictor(scope), both.element, caption, classes, h("h4", {}, "Predictions of the network, before and after"), strip, flipped);
  const empty = h("div", { class: "cw-placeholder", test: "cw-effect-empty" }, h("b", {}, "Nothing is changed yet"), h("span", {}, "Select a filter and drag its value down, double-click one in the graph, or press Zero out in the Inspector, to see what it does to the predictions."));

  function guess({ cls, p }: Guess): string {
    return `${shorten(session.kernel?.classes[cls] ?? String(cls), 10)} ${percent(p, 0)}`;
  }

  function card(k: number, { before, after }: { before: Guess; after: Guess }): HTMLElement {
    const changed = before.cls !== after.cls;
    return h("div", { class: changed ? "cw-card cw-changed" : "cw-card", title: changed ? "the prediction changes" : "the prediction stays" },
      session.images && k < session.images.shape[0] ? thumbnail(session.images, k) : h("span", { class: "cw-thumb" }),
      h("div", {}, h("div", { class: "cw-sub" }, guess(before)), h("div", {}, changed ? "→ " : "", guess(after))));
  }

  function show(): void {
    const [measured, predicted] = [session.effect, session.prediction?.predicted ?? null];
    both.show(predicted, measured, session.effectWaiting, session.predictionWaiting);
    const { element, ofAccuracy, leftOut } = classBars(measured?.classes ?? [], predicted?.classes ?? [], session.effectWaiting);
    const marks = predicted ? ": ▬ measured ± 95 %, ◇ predicted" : ", ± 95 %";
    text(caption, `${leftOut ? "12 largest: " : ""}${ofAccuracy ? "points" : "logits"} by class${marks}`.replace(/^[pl]/, (letter) => letter.toUpperCase()));
    classes.replaceChildren(element);
  }

  function network(effect: EffectInfo | null): void {
    const so = effect && (effect.of ?? effect.n) > effect.n ? `So far on ${count(effect.n)} of ${plural(effect.of!, "image")}, drawn at random: ` : "";
    text(flipped, effect ? `${so}${plural(effect.flipped, "prediction")} of ${plural(effect.n, "image")} changed${effect.seconds ? ` · measuring took ${duration(effect.seconds)}` : ""}` : session.effectWaiting ? "Measuring …" : "No result");
    strip.replaceChildren(...(effect?.strip ?? []).map((each, k) => card(k, each)));
  }

  scope.on(["effect", "prediction", "state"], () => {
    const nothing = session.zeroed === 0;
    empty.hidden = !nothing;
    numbers.hidden = nothing;
    numbers.setAttribute("aria-busy", String(session.effectWaiting));
    for (const element of [strip, flipped]) element.classList.toggle("cw-stale", session.effectWaiting);
    if (!nothing) show();
  });
  let drawn: unknown[] = [];
  scope.on(["effect", "images"], () => {
    const now = [session.effect, session.images, session.effectWaiting && !session.effect];
    if (now.every((each, k) => each === drawn[k])) return;
    drawn = now;
    network(session.effect);
  });
  scope.on(["site", "graph"], () => {
    const there = new Set((session.graph?.layers ?? []).flatMap((layer) => layer.sites));
    options(site, SITES.filter(([name]) => !there.size || there.has(name)).map(([name, label]) => [name, label]), session.get("site"));
    text(explain, SITES.find(([name]) => name === session.get("site"))?.[2] ?? "");
  });
  return h("div", { class: "cw-interventions" }, valueSlider(scope), h("div", { class: "cw-field" }, h("label", { for: siteId }, "at the"), site), explain, empty, numbers);
}
