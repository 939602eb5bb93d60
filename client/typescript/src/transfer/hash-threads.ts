/**
 * Reads and hashes blocks in threads.
 *
 * Node's own way, promises of files and Web Crypto, goes through the event loop five times for a block and copies it before
 * it is hashed, on the thread that sends; these go through it once, and share the memory.
 */

import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";

import { InternalError } from "../errors.js";
import type { LoadRequest } from "./hash-worker.js";
import { loading, type LoadAnswer, type Part } from "./loading.js";

const THREADS = 2;

interface Waiting {
  readonly resolve: (answer: LoadAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** Some threads; close them. */
export class HashThreads {
  private readonly threads = Array.from({ length: THREADS }, () => new HashThread());
  private next = 0;
  /** Ends when what is read on this thread is, one after the other. */
  private here: Promise<unknown> = Promise.resolve();

  /** Read a part of a file into shared memory, as long as `data`, and hash it. */
  load(path: string, offset: number, data: Buffer): Promise<LoadAnswer> {
    const part = { path, offset, length: data.length };
    const thread = this.threads[this.next] as HashThread;
    if (!thread.isReady) return this.loadHere(data, part);
    this.next = (this.next + 1) % THREADS;
    // Blocks for these threads are made of it; Node's type of a buffer's memory does not say so.
    return thread.load(data.buffer as unknown as SharedArrayBuffer, part);
  }

  /** End the threads, whatever they are doing. */
  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()));
  }

  /** Do it on this thread, as long as the others take to begin: by then half a dozen blocks are on their way. */
  private loadHere(data: Buffer, part: Part): Promise<LoadAnswer> {
    const loaded = this.here.then(async () => {
      const steps = loading(data, part);
      for (;;) {
        const step = steps.next();
        if (step.done) return step.value;
        await setImmediate(); // others want the event loop, too
      }
    });
    this.here = loaded;
    return loaded;
  }
}

/** A thread, which answers in the order in which it is asked. */
class HashThread {
  private readonly worker = new Worker(new URL("./hash-worker.js", import.meta.url));
  private readonly waiting: Waiting[] = [];
  /** What the thread knows already, by its numbers: to hand memory over takes longer than all else of a request. */
  private readonly known = new Map<SharedArrayBuffer, number>();
  private ready = false;

  constructor() {
    this.worker.once("message", () => {
      this.ready = true;
      this.worker.on("message", (answer: LoadAnswer) => this.waiting.shift()?.resolve(answer));
    });
    this.worker.on("error", (error) => this.fail(error));
    this.worker.on("exit", () => this.fail(new InternalError("A thread that hashes ended.")));
  }

  /** Whether it has begun. */
  get isReady(): boolean {
    return this.ready;
  }

  load(memory: SharedArrayBuffer, part: Part): Promise<LoadAnswer> {
    const number = this.known.get(memory) ?? this.known.size;
    const isNew = number === this.known.size;
    if (isNew) this.known.set(memory, number);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.worker.postMessage({ ...part, number, ...(isNew && { memory }) } satisfies LoadRequest);
    });
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private fail(error: Error): void {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
