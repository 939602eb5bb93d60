/** Memory for blocks, used again and again: fresh memory of that size costs more than hashing what is read into it. */

import { BLOCK_SIZE } from "../format/digests.js";

/** Buffers of a full block that nobody needs at the moment. */
export class BlockBuffers {
  private readonly free: Buffer[] = [];

  /** `shared`: with threads, for whom it is hashed by `HashThreads`. */
  constructor(readonly shared = false) {}

  /** A buffer of `size` bytes, at most a block; give it back when nobody looks at it any more. */
  take(size: number): Buffer {
    const whole = this.free.pop() ?? newBlock(this.shared);
    return whole.subarray(0, size);
  }

  /** Take back what `take` gave. */
  giveBack(buffer: Buffer): void {
    this.free.push(Buffer.from(buffer.buffer, 0, BLOCK_SIZE));
  }
}

function newBlock(shared: boolean): Buffer {
  return Buffer.from(shared ? new SharedArrayBuffer(BLOCK_SIZE) : new ArrayBuffer(BLOCK_SIZE));
}
