// The canvas's colours by theme.
import { parse, sequence } from "../colour";
import type { Ink } from "./draw";

export function inkOf(dark: boolean, ground: string): Ink {
  const back = parse(ground) ? ground : dark ? "#14171c" : "#ffffff"; // no colour yet while the root is not in the page
  return dark
    ? {
        text: "#e4e7ec", muted: "#a0a8b4", back, edge: [148, 170, 204], incoming: [110, 190, 255], outgoing: [255, 178, 102], ring: "#7cc4ff",
        zero: "#ff8f70", empty: [44, 50, 60], outline: "rgba(225,232,242,0.45)", map: sequence(true),
      }
    : {
        text: "#1d232b", muted: "#5a6572", back, edge: [72, 92, 122], incoming: [20, 104, 190], outgoing: [190, 92, 8], ring: "#0b62c4",
        zero: "#b3261e", empty: [240, 242, 245], outline: "rgba(30,40,55,0.42)", map: sequence(false),
      };
}
