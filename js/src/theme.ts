// Which theme the page wears: the person's choice, else the host's, else the system's.
import { luminance, parse } from "./colour";

export interface Theme {
  dark: boolean;
}

const VARIABLES = ["--jp-layout-color0", "--vscode-editor-background", "--colab-primary-surface-color"];

function hostTheme(element: Element): boolean | null {
  const { body, documentElement: html } = document;
  const jupyter = body.dataset.jpThemeLight;
  if (jupyter !== undefined) return jupyter !== "true";
  const kind = body.dataset.vscodeThemeKind ?? "";
  if (kind) return /dark/.test(kind) || kind === "vscode-high-contrast";
  if (body.classList.contains("vscode-dark")) return true;
  if (body.classList.contains("vscode-light")) return false;
  const named = html.getAttribute("theme") ?? html.dataset.theme ?? body.dataset.theme;
  if (named === "dark" || named === "light") return named === "dark";
  const style = getComputedStyle(element);
  for (const variable of VARIABLES) {
    const colour = parse(style.getPropertyValue(variable));
    if (colour) return luminance(colour) < 0.4;
  }
  return null;
}

export function isDark(choice: string, element: Element): boolean {
  if (choice === "dark" || choice === "light") return choice === "dark";
  return hostTheme(element) ?? matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Calls back whenever the host may have changed its theme; returns the clean-up. */
export function watchTheme(callback: () => void): () => void {
  const observer = new MutationObserver(callback);
  const filter = { attributes: true, attributeFilter: ["class", "style", "theme", "data-theme", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind"] };
  observer.observe(document.documentElement, filter);
  observer.observe(document.body, filter);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", callback);
  };
}
