/** Reads a block of a file and hashes it, step by step, on whatever thread. */

import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

import { stampOf } from "./stamps.js";

/** A part of a file. */
export interface Part {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** What was read: its digest, and how the file is. Or what went wrong, in words. */
export type LoadAnswer =
  { readonly digest: Uint8Array; readonly count: number; readonly stamp: string } | { readonly problem: string };

/** Bytes of a step: hashed while they are in the processor's cache, and soon enough over for an event loop. */
const STEP = 1 << 20;

/** Read a part into `data`, as long as it, and hash it; pauses after each step. */
export function* loading(data: Uint8Array, { path, offset }: Part): Generator<void, LoadAnswer, undefined> {
  try {
    const file = openSync(path, "r");
    try {
      const hash = createHash("sha256");
      let done = 0;
      while (done < data.length) {
        const count = readSync(file, data, done, Math.min(STEP, data.length - done), offset + done);
        if (count === 0) break;
        hash.update(data.subarray(done, done + count));
        done += count;
        yield;
      }
      const stamp = stampOf(fstatSync(file, { bigint: true }));
      return { digest: hash.digest(), count: done, stamp };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
