/**
 * Reads and hashes blocks in threads.
 *
 * Node's own way, promises of files and Web Crypto, goes through the event loop five times for a block and copies it before
 * it is hashed, on the thread that sends; these go through it once, and share the memory.
 */

import { Worker } from "node:worker_threads";

import { InternalError } from "../errors.js";
import type { LoadAnswer, LoadRequest } from "./hash-worker.js";

const THREADS = 2;

interface Waiting {
  readonly resolve: (answer: LoadAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** Some threads, which begin when they are needed; close them. */
export class HashThreads {
  private readonly threads: HashThread[] = [];
  private next = 0;

  /** Read a part of a file into shared memory, as long as `data`, and hash it. */
  load(path: string, offset: number, data: Buffer): Promise<LoadAnswer> {
    const index = this.next;
    this.next = (index + 1) % THREADS;
    const thread = (this.threads[index] ??= new HashThread());
    // Blocks for these threads are made of it; Node's type of a buffer's memory does not say so.
    const memory = data.buffer as unknown as SharedArrayBuffer;
    return thread.load(memory, { path, offset, length: data.length });
  }

  /** End the threads, whatever they are doing; nothing can be loaded by them any more. */
  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()));
  }
}

/** A thread, which answers in the order in which it is asked. */
class HashThread {
  private readonly worker = new Worker(new URL("./hash-worker.js", import.meta.url));
  private readonly waiting: Waiting[] = [];
  /** What the thread knows already, by its numbers: to hand memory over takes longer than all else of a request. */
  private readonly known = new Map<SharedArrayBuffer, number>();
  private failure: Error | undefined;

  constructor() {
    this.worker.on("message", (answer: LoadAnswer) => this.waiting.shift()?.resolve(answer));
    this.worker.on("error", (error) => this.fail(error));
    this.worker.on("exit", () => this.fail(new InternalError("A thread that hashes ended.")));
  }

  load(memory: SharedArrayBuffer, part: Omit<LoadRequest, "number" | "memory">): Promise<LoadAnswer> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
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
    this.failure ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
