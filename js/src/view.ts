// One view of the display: the frame around the panels, theme, width, and the line for messages.
import style from "./style.css";
import { h, text } from "./dom";
import { classes } from "./panels/classes";
import { equations } from "./panels/equations";
import { graph, HELP } from "./panels/graph";
import { header } from "./panels/header";
import { heatmaps } from "./panels/heatmaps";
import { inspector } from "./panels/inspector";
import { interventions } from "./panels/interventions";
import { layers } from "./panels/layers";
import { pruning } from "./panels/pruning";
import { ranking } from "./panels/ranking";
import { zeroed } from "./panels/zeroed";
import { Scope } from "./scope";
import type { Session } from "./state";
import { isDark, watchTheme } from "./theme";

const PANELS = [["inspector", "Inspector", inspector], ["equations", "Equations", equations], ["interventions", "Intervene", interventions], ["ranking", "Ranking", ranking], ["classes", "Class", classes], ["heatmaps", "Heatmaps", heatmaps], ["pruning", "Pruning", pruning]] as const;
const NARROW = 760;
const MIDDLE = 1100;

/** The root element, with what browser tests ask of it. */
export interface Root extends HTMLElement {
  cwUnitPosition(layer: string, unit: number): { x: number; y: number } | null;
  cwTimings(): Record<string, number>;
}

function tabs(scope: Scope): HTMLElement {
  const { session } = scope;
  const entries = PANELS.map(([name, label, make]) => {
    const panel = h("div", { class: "cw-panel", role: "tabpanel", "aria-label": label, test: `cw-panel-${name}` }, make(scope));
    const tab = h("button", { class: "cw-tab", type: "button", role: "tab", test: `cw-tab-${name}`, onclick: () => session.set("panel", name), onkeydown: (event: KeyboardEvent) => turn(event) }, label);
    return { name, tab, panel };
  });

  function turn(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: entries.length - 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const now = entries.findIndex(({ name }) => name === session.get("panel"));
    const next = entries[(Math.max(0, now) + step) % entries.length];
    session.set("panel", next.name);
    next.tab.focus();
  }

  scope.on("panel", () => {
    const open = entries.some(({ name }) => name === session.get("panel")) ? session.get("panel") : entries[0].name;
    for (const { name, tab, panel } of entries) {
      tab.setAttribute("aria-selected", String(name === open));
      tab.tabIndex = name === open ? 0 : -1;
      panel.hidden = name !== open;
    }
  });
  return h("aside", { class: "cw-side" }, h("div", { class: "cw-tabs", role: "tablist" }, ...entries.map(({ tab }) => tab)), ...entries.map(({ panel }) => panel), zeroed(scope));
}

function messages(scope: Scope): HTMLElement {
  const { session } = scope;
  const line = h("span", { class: "cw-message", role: "status" });
  const retry = h("button", { class: "cw-link", type: "button", test: "cw-retry", onclick: () => session.hello() }, "Try again");
  const close = h("button", { class: "cw-link", type: "button", test: "cw-dismiss", "aria-label": "Dismiss", onclick: () => session.dismiss() }, "×");
  const element = h("footer", { class: "cw-foot", test: "cw-status" }, line, retry, close);
  scope.on(["message", "state"], () => {
    const { message } = session;
    const error = message?.kind === "error";
    element.classList.toggle("cw-failed", error);
    if (error) line.setAttribute("data-testid", "cw-error");
    else line.removeAttribute("data-testid");
    text(line, message ? `${error ? "⚠ " : ""}${message.text}` : HELP);
    line.title = message?.text ?? HELP;
    close.hidden = !message;
    retry.hidden = !session.unreachable;
  });
  return element;
}

/** JupyterLab's one-key shortcuts (Z, Enter, arrows) must not see keys meant for the display; Ctrl-S and its like still reach it. */
function keepShortcutsOut(root: HTMLElement): void {
  const suppress = (on: boolean) => root.toggleAttribute("data-lm-suppress-shortcuts", on);
  const modifier = (event: KeyboardEvent) => event.key === "Control" || event.key === "Meta";
  suppress(true);
  root.addEventListener("keydown", (event) => modifier(event) && suppress(false));
  root.addEventListener("keyup", (event) => modifier(event) && suppress(true));
  root.addEventListener("focusout", () => suppress(true));
}

export function mount(session: Session, el: HTMLElement): () => void {
  const scope = new Scope(session);
  const centre = graph(scope);
  const root = h("div", { class: "cw-root", test: "cw-root" }, h("style", {}, style), header(scope), layers(scope), centre.element, tabs(scope), messages(scope)) as unknown as Root;
  root.cwUnitPosition = (layer, unit) => centre.view.clientPosition(layer, unit);
  root.cwTimings = () => ({ ...centre.view.timings });
  keepShortcutsOut(root);
  el.append(root);

  // Where the display lives, the still picture beside it is not needed.
  const hiding = h("style");
  root.append(hiding);
  scope.on("state", () => {
    const still = session.kernel?.still ?? "";
    text(hiding, /^[\w-]+$/.test(still) ? `[data-cw-still="${still}"] { display: none !important }` : "");
  });

  const theme = () => {
    const choice = session.get("theme") ?? "auto";
    const dark = isDark(choice, el);
    root.dataset.theme = dark ? "dark" : "light";
    root.dataset.forced = String(choice === "dark" || choice === "light");
    scope.setTheme(dark);
    centre.view.setTheme(dark, getComputedStyle(root).backgroundColor);
  };
  scope.on("theme", theme);
  // A host may say its theme before that theme's style sheet is there: look again a little later.
  let later: ReturnType<typeof setTimeout> | undefined;
  const hostChanged = () => {
    theme();
    clearTimeout(later);
    later = setTimeout(theme, 500);
  };
  scope.dispose(watchTheme(hostChanged));
  scope.dispose(() => clearTimeout(later));
  let attached = false;
  const observer = new ResizeObserver(() => {
    if (root.clientWidth < 2) return; // a hidden tab says nothing about the width
    if (!attached) hostChanged(); // only now do the host's colours reach the root
    attached = true;
    root.classList.toggle("cw-narrow", root.clientWidth < NARROW);
    root.classList.toggle("cw-middle", root.clientWidth >= NARROW && root.clientWidth < MIDDLE);
  });
  observer.observe(root);
  return () => {
    observer.disconnect();
    scope.close();
    root.remove();
  };
}
