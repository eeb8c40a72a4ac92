// The answer to the current do(): asked for a moment after the last choice, the latest wins, stale values stay meanwhile.
import type { Units } from "./types";
import { countUnits } from "./units";

/** The do() goes along with the question: choices travel on another lane and may come later. */
export type Do = { ablated: Units; site: string; scale: number };

export interface Asking<T> {
  ask(intervention: Do): Promise<T>;
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
    if (!dragged) this.abandon();
    if (this.timer === null && !this.inFlight) this.timer = setTimeout(() => void this.ask(), this.delay);
    this.asking.changed();
  }

  stop(): void {
    this.next = null;
    this.abandon();
  }

  private abandon(): void {
    this.run++;
    this.inFlight = false;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private async ask(): Promise<void> {
    this.timer = null;
    const [run, intervention] = [this.run, this.next!];
    this.next = null;
    this.inFlight = true;
    try {
      const answer = await this.asking.ask(intervention);
      if (run !== this.run) return;
      this.current = answer;
    } catch (error) {
      if (run !== this.run) return;
      this.asking.failed(error);
    }
    this.inFlight = false;
    this.waiting = this.next !== null;
    this.asking.changed();
    if (this.next !== null && this.timer === null) void this.ask();
  }
}
