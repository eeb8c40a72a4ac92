// The answer to the current do(): asked for a moment after the last choice, the latest wins, stale values stay meanwhile.
import type { Units } from "./types";
import { countUnits } from "./units";

/** The do() goes along with the question: choices travel on another lane and may come later. */
export type Do = { ablated: Units; site: string; scale: number };

export interface Asking<T> {
  /** `round` counts how often the same was asked: an answer on a part of the images is asked to go on. */
  ask(intervention: Do, round: number): Promise<T>;
  unfinished(answer: T): boolean;
  changed(): void;
  failed(error: unknown): void;
}

export class DoWatch<T> {
  current: T | null = null;
  waiting = false;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private next: Do | null = null;
  private inFlight = false;
  private run = 0;
  private round = 0;

  constructor(private readonly asking: Asking<T>, private readonly delay: number) {}

  /**
   * What is set, where, or to what has changed. While a value is `dragged` the answer to an earlier one is worth waiting
   * for: the newest is asked when it is there. Another choice abandons what was asked.
   */
  update(intervention: Do, dragged: boolean): void {
    if (!countUnits(intervention.ablated)) {
      this.stop();
      this.current = null;
      this.waiting = false;
      return this.asking.changed();
    }
    this.waiting = true;
    this.next = intervention;
    if (!dragged || this.round) this.abandon();
    if (this.timer === null && !this.inFlight) this.timer = setTimeout(() => void this.ask(), this.delay);
    this.asking.changed();
  }

  stop(): void {
    this.next = null;
    this.abandon();
  }

  private abandon(): void {
    this.run++;
    this.round = 0;
    this.inFlight = false;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private async ask(again: Do | null = null): Promise<void> {
    this.timer = null;
    const [run, intervention] = [this.run, again ?? this.next!];
    this.round = again ? this.round + 1 : 0;
    this.next = null;
    this.inFlight = true;
    let unfinished = false;
    try {
      const answer = await this.asking.ask(intervention, this.round);
      if (run !== this.run) return;
      this.current = answer;
      unfinished = this.asking.unfinished(answer);
    } catch (error) {
      if (run !== this.run) return;
      this.asking.failed(error);
    }
    this.inFlight = false;
    this.waiting = this.next !== null;
    this.asking.changed();
    if (run !== this.run || this.timer !== null) return;
    if (this.next !== null) void this.ask();
    else if (unfinished) void this.ask(intervention);
    else this.round = 0;
  }
}
