/** Named topics with listeners; `on` returns the function that takes the listener away again. */
export class Emitter<Topic extends string> {
  private listeners = new Map<Topic, Set<() => void>>();

  on(topics: Topic | readonly Topic[], listener: () => void): () => void {
    const names = typeof topics === "string" ? [topics] : topics;
    for (const name of names) {
      const set = this.listeners.get(name) ?? new Set();
      this.listeners.set(name, set.add(listener));
    }
    return () => names.forEach((name) => this.listeners.get(name)?.delete(listener));
  }

  emit(topic: Topic): void {
    for (const listener of [...(this.listeners.get(topic) ?? [])]) listener();
  }

  clear(): void {
    this.listeners.clear();
  }
}
