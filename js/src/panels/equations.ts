// The structural equations: how well they hold layer by layer, one of them in full, and how far the network agrees with them.
import { h, text } from "../dom";
import { count } from "../format";
import type { Scope } from "../scope";
import { byLayer } from "./by-layer";
import { check } from "./check";
import { oneEquation } from "./equation";

const PARTS = [["layers", "By layer"], ["one", "One equation"], ["check", "Believe them?"]] as const;
export type Part = (typeof PARTS)[number][0];

export function equations(scope: Scope): HTMLElement {
  const { session } = scope;
  let open: Part = "layers";
  const make = { layers: byLayer, one: oneEquation, check };
  const entries = PARTS.map(([name, label]) => {
    const body = h("div", { role: "tabpanel", "aria-label": label, test: `cw-equations-${name}` }, make[name](scope, show));
    const tab = h("button", { type: "button", role: "tab", class: "cw-subtab", test: `cw-equations-tab-${name}`, onclick: () => show(name), onkeydown: (event: KeyboardEvent) => turn(event) }, label);
    return { name, tab, body };
  });
  const empty = h("div", { class: "cw-placeholder", test: "cw-equations-empty" }, h("b", {}, "No equations yet"),
    h("span", {}, "Press Collect: the images are run through the network once, and each filter's response is fitted as a function of its parents' responses."));
  const tabs = h("div", { class: "cw-subtabs", role: "tablist", "aria-label": "Equations" }, ...entries.map(({ tab }) => tab));
  const about = h("p", { class: "cw-sub cw-equations-about", test: "cw-equations-about" });

  function show(name: Part, focus = false): void {
    open = name;
    update();
    if (focus) entries.find((entry) => entry.name === name)!.tab.focus();
  }

  function turn(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: entries.length - 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    show(entries[(entries.findIndex(({ name }) => name === open) + step) % entries.length].name, true);
  }

  function update(): void {
    const known = session.equations;
    empty.hidden = known !== null;
    tabs.hidden = about.hidden = known === null;
    for (const { name, tab, body } of entries) {
      tab.setAttribute("aria-selected", String(name === open));
      tab.tabIndex = name === open ? 0 : -1;
      body.hidden = name !== open || known === null;
    }
    if (!known) return;
    const { estimator, images, data, transform, site } = known.info;
    text(about, `${estimator} on ${count(images)} images · ${transform} at ${site}`);
    about.title = `Each unit's response (${transform} of its map at the ${site}) as a function of its parents' responses, fitted by ${estimator} on ${count(images)} images ${DATA[data] ?? data}`;
  }

  scope.on(["equations", "state"], update);
  return h("div", { class: "cw-equations" }, tabs, about, empty, ...entries.map(({ body }) => body));
}

const DATA: Record<string, string> = { observational: "as they are", both: "as they are and under random interventions", interventional: "under random interventions" };
