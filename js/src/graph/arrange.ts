// Which layout a view of this size gets, and the camera that it opens with.
import type { Session } from "../state";
import { fit, type Camera, type Margins } from "./camera";
import type { Pen } from "./draw";
import { namesFit, namesRight } from "./labels";
import { HEIGHT, type Layout } from "./layout";
import { STRIP } from "./overview";
import { planOf } from "./scene";

const CROWDED = 27; // px between columns below which the whole graph at once cannot be read
const READABLE = 50; // px between columns then: a part is seen, the overview leads to the others
const BELOW = 16; // px

interface Arrangement {
  plan: Layout;
  /** Whether names of layers stand level above their columns; else they are slanted. */
  flat: boolean;
  camera: Camera;
  margins: Margins;
}

/** The whole graph, if `whole` is asked for or there is room enough; else columns of readable width, from the first layer on. */
export function arrange(pen: Pen, session: Session, view: { width: number; height: number }, whole: boolean): Arrangement {
  const draft = planOf(session, Math.max(0.4, (view.width - 60) / Math.max(1, view.height - 90)));
  const flat = namesFit(pen, draft, (draft.pitch * (view.height - 90)) / draft.height);
  const margins = { left: 14, right: namesRight(pen, draft, session.kernel?.classes ?? [], flat) + 10, top: flat ? 44 : 78, bottom: BELOW };
  const room = { width: Math.max(40, view.width - margins.left - margins.right), height: Math.max(40, view.height - margins.top - margins.bottom) };
  if (whole || room.width / draft.columns.length >= CROWDED) {
    const plan = planOf(session, Math.max(0.4, room.width / room.height));
    return { plan, flat, margins, camera: fit(plan, view, margins) };
  }
  const high = Math.max(40, room.height + BELOW - STRIP);
  const plan = planOf(session, room.width / high, (READABLE * HEIGHT) / high);
  return { plan, flat, margins, camera: { scale: high / HEIGHT, x: margins.left, y: margins.top } };
}
