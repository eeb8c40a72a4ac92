// Request and reply over custom messages: {v, id, op, args} -> {v, id, ok, result | error} + buffers.
import type { BufferInfo, Job, KernelState, Model } from "./types";

export const VERSION = 1;

/** A request that failed: `kind` is the kernel's error class, or "Timeout", "Closed", "Malformed", "Disconnected". */
export class RequestError extends Error {
  constructor(readonly kind: string, message: string) {
    super(message);
  }
}

export interface Array2 {
  name: string;
  shape: number[];
  data: Uint8Array | Float32Array;
}
export interface Reply<T> {
  result: T;
  arrays: Array2[];
}
export interface Events {
  job(job: Job): void;
  changed(state: KernelState): void;
  refused(trait: string, message: string): void;
  /** The kernel behind the widget is gone (restarted, stopped): nothing can be sent any more. */
  lost(): void;
}

interface Waiting {
  op: string;
  resolve(reply: Reply<any>): void;
  reject(error: RequestError): void;
  timer: ReturnType<typeof setTimeout>;
}

type Bytes = DataView | ArrayBuffer | Uint8Array;

/** The bytes of buffer as a typed array; a view may begin anywhere in its ArrayBuffer, so float32 is copied when misaligned. */
export function decode(buffer: Bytes, info: BufferInfo): Array2 {
  const view = buffer instanceof ArrayBuffer ? new Uint8Array(buffer) : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const count = info.shape.reduce((a, b) => a * b, 1);
  const size = info.dtype === "float32" ? 4 : 1;
  if (view.byteLength !== count * size) {
    throw new RequestError("Malformed", `buffer "${info.name}" has ${view.byteLength} bytes, expected ${count * size}`);
  }
  if (info.dtype === "uint8") return { name: info.name, shape: info.shape, data: view };
  const aligned = view.byteOffset % 4 === 0 ? view : view.slice();
  return { name: info.name, shape: info.shape, data: new Float32Array(aligned.buffer, aligned.byteOffset, count) };
}

export class Client {
  private next = 1;
  /** Replies go to every page that shows the widget; this tells ours from those of another browser tab. */
  private readonly page = Math.random().toString(36).slice(2, 12);
  private waiting = new Map<number, Waiting>();
  private lastEvent = 0;
  private polling: ReturnType<typeof setInterval> | null = null;
  private asked = false;
  private readonly listen = (content: any, buffers?: Bytes[]) => this.receive(content, buffers ?? []);

  constructor(private readonly model: Model, private readonly events: Events, private readonly pollEvery = 300) {
    model.on("msg:custom", this.listen);
  }

  request<T>(op: string, args: Record<string, unknown> = {}, timeout = 30_000): Promise<Reply<T>> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.settle(id)?.reject(timedOut(op, timeout)), timeout);
      this.waiting.set(id, { op, resolve, reject, timer });
      try {
        this.model.send({ v: VERSION, id, op, args, page: this.page });
      } catch (error) {
        this.settle(id)?.reject(new RequestError("Disconnected", String(error)));
        this.events.lost();
      }
    });
  }

  /** While `busy`, ask for the job's state whenever no event came for a while: some front ends hold events back. */
  watch(busy: boolean): void {
    if (!busy) {
      if (this.polling !== null) clearInterval(this.polling);
      this.polling = null;
    } else if (this.polling === null) {
      this.lastEvent = Date.now();
      this.polling = setInterval(() => this.poll(), this.pollEvery);
    }
  }

  close(): void {
    this.watch(false);
    this.model.off("msg:custom", this.listen);
    for (const id of [...this.waiting.keys()]) this.settle(id)?.reject(new RequestError("Closed", "the display was closed"));
  }

  private poll(): void {
    if (this.asked || Date.now() - this.lastEvent < this.pollEvery) return;
    this.asked = true;
    this.request<{ job: Job | null; revision: number; measured?: number }>("poll", {}, 10_000)
      .then(({ result }) => this.polled(result))
      .catch(() => undefined) // a lost poll is asked again at the next tick
      .finally(() => (this.asked = false));
  }

  private polled({ job, revision, measured }: { job: Job | null; revision: number; measured?: number }): void {
    if (job) this.events.job(job);
    else this.watch(false);
    this.events.changed({ revision, job, measured } as KernelState);
  }

  private receive(content: any, buffers: Bytes[]): void {
    if (!content || content.v !== VERSION) return;
    if (content.event) return this.event(content);
    if (content.page !== undefined && content.page !== this.page) return;
    const waiting = this.settle(content.id);
    if (!waiting) return;
    if (!content.ok) {
      const { kind = "Error", message = "the kernel gave no reason" } = content.error ?? {};
      return waiting.reject(new RequestError(String(kind), String(message)));
    }
    try {
      const infos: BufferInfo[] = content.result?.buffers ?? [];
      if (infos.length !== buffers.length) throw new RequestError("Malformed", `${waiting.op}: ${buffers.length} buffers, expected ${infos.length}`);
      waiting.resolve({ result: content.result, arrays: infos.map((info, k) => decode(buffers[k], info)) });
    } catch (error) {
      waiting.reject(error instanceof RequestError ? error : new RequestError("Malformed", String(error)));
    }
  }

  private event(content: any): void {
    this.lastEvent = Date.now();
    if (content.event === "job") this.events.job(content.job);
    else if (content.event === "changed") this.events.changed(content.state);
    else if (content.event === "refused") this.events.refused(String(content.trait), String(content.message));
  }

  private settle(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    if (waiting) clearTimeout(waiting.timer);
    this.waiting.delete(id);
    return waiting;
  }
}

function timedOut(op: string, timeout: number): RequestError {
  return new RequestError("Timeout", `the kernel did not answer "${op}" within ${Math.round(timeout / 1000)} s; it may be busy with a cell, or stopped`);
}
