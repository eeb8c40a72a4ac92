// Importance rules and sites, in a person's words.
export const RULES: [name: string, label: string, hint: string][] = [
  ["coefficient", "coefficient", "sum over children of |coefficient| of the structural equations"],
  ["standardised", "standardised", "the same with standardised coefficients: comparable between filters"],
  ["l1", "L1 norm", "sum of absolute weights; needs no images"],
  ["variance", "variance", "variance of the filter's response over the images"],
  ["response", "response", "mean response over the images"],
];
export const EFFECT: [name: string, label: string, hint: string] = ["effect", "effect", "absolute effect of silencing the filter alone, as it was ranked"];
export const siteLabel = (name: string): string => SITES.find(([site]) => site === name)?.[1] ?? name;
export const ruleLabel = (name: string): string => [...RULES, EFFECT].find(([rule]) => rule === name)?.[1] ?? name;

export const OUTCOMES: Record<string, string> = { loss: "loss", correct: "accuracy", margin: "margin", kl: "divergence", output: "output" };

/** Verdicts, told apart by shape: as signs in text, drawn alike on the graph. */
export const SIGNS: Record<string, string> = { critical: "▲", neutral: "•", detrimental: "▼", undecided: "○", "not asked": "·", shared: "◆", "only a": "◀", "only b": "▶", neither: "·" };

export const SITES: [name: string, label: string, hint: string][] = [
  ["conv", "convolution", "The convolution's own output; a batch norm's shift after it stays alive."],
  ["norm", "norm", "The output of the batch norm, before the nonlinearity."],
  ["activation", "activation", "The output after the nonlinearity: at 0 it is as if the filter were removed."],
];
