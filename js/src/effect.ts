// The effect of the current do(): asked for a moment after the last choice, the latest wins, stale values stay meanwhile.
import type { EffectInfo, Units } from "./types";

const DELAY = 60;

export interface Asking {
  /** The do() goes along with the question: choices travel on another lane and may come later. */
  ask(intervention: { ablated: Units; site: string }): Promise<EffectInfo>;
  changed(): void;
  failed(error: unknown): void;
}

export class EffectWatch {
  current: EffectInfo | null = null;
  waiting = false;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private run = 0;

  constructor(private readonly asking: Asking) {}

  /** What is zeroed, or where, has changed. */
  update(ablated: Units, site: string, zeroed: number): void {
    this.stop();
    this.waiting = zeroed > 0;
    if (zeroed) {
      const run = this.run;
      this.timer = setTimeout(() => void this.ask(run, { ablated, site }), DELAY);
    } else this.current = null;
    this.asking.changed();
  }

  stop(): void {
    this.run++;
    if (this.timer) clearTimeout(this.timer);
  }

  private async ask(run: number, intervention: { ablated: Units; site: string }): Promise<void> {
    try {
      const effect = await this.asking.ask(intervention);
      if (run !== this.run) return;
      this.current = effect;
    } catch (error) {
      if (run !== this.run) return;
      this.asking.failed(error);
    }
    this.waiting = false;
    this.asking.changed();
  }
}
