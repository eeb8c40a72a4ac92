// A stand-in for anywidget's model: traits in a map, messages to a function. It also serves the tests.
import type { Model } from "../src/types";

export type Kernel = (message: any, answer: (content: any, buffers?: DataView[]) => void) => void;

export class FakeModel implements Model {
  private listeners = new Map<string, Set<(...args: any[]) => void>>();
  saved = 0;
  sent: any[] = [];
  constructor(readonly traits: Record<string, unknown>, private readonly kernel: Kernel = () => undefined) {}
  get(name: string): any { return this.traits[name]; }
  set(name: string, value: unknown): void {
    if (JSON.stringify(this.traits[name]) === JSON.stringify(value)) return;
    this.traits[name] = value;
    this.emit(`change:${name}`);
  }
  save_changes(): void { this.saved++; }
  on(event: string, callback: (...args: any[]) => void): void { this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(callback)); }
  off(event: string, callback?: (...args: any[]) => void): void { if (callback) this.listeners.get(event)?.delete(callback); else this.listeners.delete(event); }
  emit(event: string, ...args: any[]): void { for (const callback of [...(this.listeners.get(event) ?? [])]) callback(...args); }
  send(content: any): void {
    this.sent.push(content);
    this.kernel(content, (reply, buffers = []) => this.emit("msg:custom", reply, buffers));
  }
}
