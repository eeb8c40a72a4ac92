// Numbers as a person reads them. A missing value is an en dash, a minus is a minus sign.

export const MISSING = "–";
const missing = (x: number | null | undefined): x is null | undefined => x === null || x === undefined || !Number.isFinite(x);
const minus = (text: string) => text.replace(/^-/, "−");

export function count(n: number | null | undefined): string {
  return missing(n) ? MISSING : minus(Math.round(n).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ","));
}

export function number(x: number | null | undefined, digits = 3): string {
  if (missing(x)) return MISSING;
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e5 || size < 1e-4) return minus(x.toExponential(Math.max(0, digits - 1)));
  return minus(Number(x.toPrecision(digits)).toString());
}

/** Always so many figures, so that two numbers beside each other compare: 1.05 and 1.10. */
export function figures(x: number | null | undefined, digits = 3): string {
  return missing(x) || Math.abs(x) >= 1000 || Math.abs(x) < 1e-3 ? number(x, digits) : minus(x.toPrecision(digits));
}

export function signed(x: number | null | undefined, digits = 3): string {
  const text = number(x, digits);
  return !missing(x) && x > 0 ? `+${text}` : text;
}

/** A share 0..1 in percent. */
export function percent(share: number | null | undefined, decimals = 1): string {
  return missing(share) ? MISSING : `${minus((share * 100).toFixed(decimals))} %`;
}

/** A difference of shares in percentage points, always with its sign. */
export function points(share: number | null | undefined, decimals = 1): string {
  if (missing(share)) return MISSING;
  const value = (share * 100).toFixed(decimals);
  if (Number(value) === 0) return (0).toFixed(decimals);
  return share > 0 ? `+${value}` : minus(value);
}

export function fixed(x: number | null | undefined, decimals = 2): string {
  return missing(x) ? MISSING : minus(Number(x.toFixed(decimals)).toFixed(decimals).replace(/^-(0\.?0*)$/, "$1"));
}

export function fixedSigned(x: number | null | undefined, decimals = 3): string {
  if (missing(x)) return MISSING;
  const value = x.toFixed(decimals);
  if (Number(value) === 0) return (0).toFixed(decimals);
  return x > 0 ? `+${value}` : minus(value);
}

export function bytes(n: number | null | undefined, decimals = 1): string {
  if (missing(n)) return MISSING;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let k = 0;
  for (; n >= 1024 && k < units.length - 1; k++) n /= 1024;
  return `${n.toFixed(k === 0 || n >= 100 ? 0 : decimals)} ${units[k]}`;
}

export function duration(seconds: number | null | undefined): string {
  if (missing(seconds)) return MISSING;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds - minutes * 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Both ends of a text: where names of classes differ is not known. */
export function shorten(name: string, length: number): string {
  if (name.length <= length) return name;
  const tail = Math.floor((length - 1) / 2);
  return `${name.slice(0, length - 1 - tail).trimEnd()}…${name.slice(name.length - tail).trimStart()}`;
}

/** A module path with its words cut, the longest first, and its numbers whole: "layer2.0.downsample.0" and "layer3.0.downsample.0" stay apart. */
export function abbreviate(path: string, length: number): string {
  const words = path.split(/([A-Za-z_]+)/);
  const longest = () => words.reduce((best, word, k) => (k % 2 && word.length >= words[best].length ? k : best), 1);
  for (let over = path.length - length; over > 0 && words.length > 1 && words[longest()].length > 1; over--) words[longest()] = words[longest()].slice(0, -1);
  return shorten(words.join(""), length);
}

