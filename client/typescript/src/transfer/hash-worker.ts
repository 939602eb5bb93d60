/** A thread that reads and hashes blocks, in memory which it shares with the one that sends; see `hash-threads.ts`. */

import { closeSync, fstatSync, openSync, readSync, type BigIntStats } from "node:fs";
import { parentPort } from "node:worker_threads";

import { sha256Now } from "../format/digests.js";
import { stampOf } from "./stamps.js";

/** What is to be read and hashed. */
export interface LoadRequest {
  /** Which memory to read into. */
  readonly number: number;
  /** That memory, the first time. */
  readonly memory?: SharedArrayBuffer;
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** What was read: its digest, and how the file is. Or what went wrong, in words. */
export type LoadAnswer =
  { readonly digest: Uint8Array; readonly count: number; readonly stamp: string } | { readonly problem: string };

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
      const count = readFully(file, data, offset);
      const status: BigIntStats = fstatSync(file, { bigint: true });
      return { digest: sha256Now(data), count, stamp: stampOf(status) };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

function readFully(file: number, data: Uint8Array, offset: number): number {
  let done = 0;
  while (done < data.length) {
    const count = readSync(file, data, done, data.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
