// What a panel is given: the session, the theme, and a place to leave its clean-up.
import type { Session, Topic } from "./state";

export class Scope {
  dark = false;
  private readonly disposers: (() => void)[] = [];
  private readonly themed: (() => void)[] = [];

  constructor(readonly session: Session) {}

  /** Runs now and at every one of the topics. */
  on(topics: Topic | readonly Topic[], update: () => void): void {
    this.disposers.push(this.session.events.on(topics, update));
    update();
  }

  onTheme(update: () => void): void {
    this.themed.push(update);
  }

  setTheme(dark: boolean): void {
    this.dark = dark;
    for (const update of this.themed) update();
  }

  dispose(clean: () => void): void {
    this.disposers.push(clean);
  }

  close(): void {
    for (const dispose of this.disposers.splice(0)) dispose();
  }
}
