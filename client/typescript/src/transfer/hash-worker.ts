/** A thread that reads and hashes blocks, in memory which it shares with the one that sends; see `hash-threads.ts`. */

import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, type BigIntStats } from "node:fs";
import { parentPort } from "node:worker_threads";

import { stampOf } from "./stamps.js";

/** What is to be read and hashed. */
export interface LoadRequest {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** Which memory to read into. */
  readonly number: number;
  /** That memory, the first time. */
  readonly memory?: SharedArrayBuffer;
}

/** What was read: its digest, and how the file is. Or what went wrong, in words. */
export type LoadAnswer =
  { readonly digest: Uint8Array; readonly count: number; readonly stamp: string } | { readonly problem: string };

/** Bytes that are read at once, and hashed while they are in the processor's cache. */
const STEP = 1 << 20;

const memories: SharedArrayBuffer[] = [];

parentPort?.on("message", (request: LoadRequest) => {
  parentPort?.postMessage(answerTo(request));
});

function answerTo({ number, memory, path, offset, length }: LoadRequest): LoadAnswer {
  try {
    if (memory !== undefined) memories[number] = memory;
    const file = openSync(path, "r");
    try {
      const data = new Uint8Array(memories[number] as SharedArrayBuffer, 0, length);
      const hash = createHash("sha256");
      let done = 0;
      while (done < length) {
        const count = readSync(file, data, done, Math.min(STEP, length - done), offset + done);
        if (count === 0) break;
        hash.update(data.subarray(done, done + count));
        done += count;
      }
      const status: BigIntStats = fstatSync(file, { bigint: true });
      return { digest: hash.digest(), count: done, stamp: stampOf(status) };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
