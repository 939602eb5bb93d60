/** A thread that hashes memory which it shares with the one that sends; see `hash-threads.ts`. */

import { parentPort } from "node:worker_threads";

import { sha256Now } from "../format/digests.js";

/** What is to be hashed. */
export interface HashRequest {
  readonly memory: SharedArrayBuffer;
  readonly length: number;
}

parentPort?.on("message", ({ memory, length }: HashRequest) => {
  parentPort?.postMessage(sha256Now(new Uint8Array(memory, 0, length)));
});
