/** A thread that reads and hashes blocks, in memory which it shares with the one that sends; see `hash-threads.ts`. */

import { parentPort } from "node:worker_threads";

import { loading, type LoadAnswer, type Part } from "./loading.js";

/** What is to be read and hashed. */
export interface LoadRequest extends Part {
  /** Which memory to read into. */
  readonly number: number;
  /** That memory, the first time. */
  readonly memory?: SharedArrayBuffer;
}

const memories: SharedArrayBuffer[] = [];

parentPort?.on("message", (request: LoadRequest) => {
  parentPort?.postMessage(answerTo(request));
});
parentPort?.postMessage("ready");

function answerTo({ number, memory, ...part }: LoadRequest): LoadAnswer {
  if (memory !== undefined) memories[number] = memory;
  const steps = loading(new Uint8Array(memories[number] as SharedArrayBuffer, 0, part.length), part);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
