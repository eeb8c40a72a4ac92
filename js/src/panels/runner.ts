// A job that says its cost first: ask, the plan, run or not now, progress and cancel, how it ended.
import { h, text } from "../dom";
import { duration, percent } from "../format";
import type { Scope } from "../scope";
import type { Job } from "../types";
import { jobText, progressBar } from "./header";

interface Running<A, P> {
  kind: Job["kind"];
  /** Prefix of the names that tests know. */
  test: string;
  title: string;
  /** What asks for the plan: hidden while there is one, or while the job runs. */
  asks: HTMLButtonElement[];
  plan(args: A): Promise<P>;
  start(args: A): void;
  told(plan: P): string;
  /** What is said while it runs, after it was cancelled, and otherwise. */
  running(): string;
  cancelled: string;
  summary(): string;
  update(able: boolean, job: Job | null): void;
}

/** "< 1 s", else whole seconds. */
export const roughly = (seconds: number): string => (seconds < 1 ? "less than 1 s" : `about ${duration(Math.round(seconds))}`);

export function runner<A, P>(scope: Scope, how: Running<A, P>): { controls: HTMLElement[]; bar: HTMLElement; said: HTMLElement; ask(args: A): Promise<void>; asked(): A | undefined; forget(): void; update(): void } {
  const { session } = scope;
  let planned: { args: A; plan: P | null } | null = null;
  // Kept here: an effect that outlives the cancel is the session's job after it.
  let last: Job | null = null;
  const said = h("p", { class: "cw-sub cw-said", test: `${how.test}-plan`, role: "status" });
  const run = h("button", { class: "cw-primary", type: "button", test: `${how.test}-run`, onclick: () => start() }, "Run");
  const drop = h("button", { type: "button", test: `${how.test}-drop`, onclick: () => { forget(); how.asks[how.asks.length - 1].focus(); } }, "Not now");
  const cancel = h("button", { type: "button", test: `${how.test}-cancel`, onclick: () => void session.cancel() }, "Cancel");
  const status = h("span", { class: "cw-progress-text", test: `${how.test}-progress` });
  const bar = progressBar(`${how.test}-bar`);

  async function ask(args: A): Promise<void> {
    const mine = (planned = { args, plan: null as P | null });
    update();
    try {
      mine.plan = await how.plan(args);
    } catch (error) {
      if (planned === mine) planned = null;
      session.fail(error, how.title);
    }
    update();
    if (planned === mine) run.focus();
  }

  function start(): void {
    const { args } = planned!;
    planned = last = null;
    how.start(args);
    update();
  }

  function forget(): void {
    planned = null;
    update();
  }

  function update(): void {
    const own = session.job?.kind === how.kind ? session.job : null;
    const ended = (last = own ?? last);
    const job = session.running ? own : null;
    const able = Boolean(session.kernel?.canCollect) && !session.running && !session.unreachable && planned === null;
    for (const each of how.asks) each.hidden = Boolean(job || planned?.plan);
    how.update(able, job);
    run.hidden = drop.hidden = !planned?.plan;
    cancel.hidden = !job;
    bar.show(job);
    text(status, !job ? "" : job.total && job.remaining !== null ? `${percent(job.done / job.total, 0)} · ${duration(Math.ceil(job.remaining))} left` : jobText(job).replace(/^[^:]*: /, ""));
    const failed = !job && !planned && ended?.state === "failed";
    text(said, job ? how.running() : planned ? (planned.plan ? how.told(planned.plan) : "Measuring what it would cost …") : ended?.state === "cancelled" ? how.cancelled : failed ? `It failed: ${ended!.message}` : how.summary());
    said.classList.toggle("cw-warned", failed);
  }

  return { controls: [run, drop, cancel, status], bar: bar.element, said, ask, asked: () => planned?.args, forget, update };
}
