/**
 * Hashes blocks in threads.
 *
 * Web Crypto hashes in a thread too, but copies first what it is given, on the thread that sends; these share the memory.
 */

import { Worker } from "node:worker_threads";

import { InternalError } from "../errors.js";
import type { HashRequest } from "./hash-worker.js";

const THREADS = 2;

interface Waiting {
  readonly resolve: (digest: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** Some threads, which begin when they are needed; close them. */
export class HashThreads {
  private readonly threads: HashThread[] = [];
  private next = 0;

  /** SHA-256 of shared memory, from its beginning on; nobody may write to it meanwhile. */
  sha256(data: Buffer): Promise<Buffer> {
    const index = this.next;
    this.next = (index + 1) % THREADS;
    const thread = (this.threads[index] ??= new HashThread());
    return thread.sha256({ memory: data.buffer as unknown as SharedArrayBuffer, length: data.length });
  }

  /** End the threads, whatever they are doing. */
  async close(): Promise<void> {
    await Promise.all(this.threads.splice(0).map((thread) => thread.close()));
  }
}

/** A thread, which answers in the order in which it is asked. */
class HashThread {
  private readonly worker = new Worker(new URL("./hash-worker.js", import.meta.url));
  private readonly waiting: Waiting[] = [];

  constructor() {
    this.worker.on("message", (digest: Uint8Array) => this.waiting.shift()?.resolve(Buffer.from(digest)));
    this.worker.on("error", (error) => this.fail(error));
    this.worker.on("exit", () => this.fail(new InternalError("A thread that hashes ended.")));
  }

  sha256(request: HashRequest): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.worker.postMessage(request);
    });
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private fail(error: Error): void {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
