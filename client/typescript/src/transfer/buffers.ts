/** Memory for blocks, used again and again: fresh memory of that size costs more than hashing what is read into it. */

import { BLOCK_SIZE } from "../format/digests.js";

/** Buffers of a full block that nobody needs at the moment. */
export class BlockBuffers {
  private readonly free: Buffer[] = [];

  /** A buffer of `size` bytes, at most a block; give it back when nobody looks at it any more. */
  take(size: number): Buffer {
    const whole = this.free.pop() ?? Buffer.from(new ArrayBuffer(BLOCK_SIZE));
    return whole.subarray(0, size);
  }

  /** Take back what `take` gave. */
  giveBack(buffer: Buffer): void {
    this.free.push(Buffer.from(buffer.buffer, 0, BLOCK_SIZE));
  }
}
