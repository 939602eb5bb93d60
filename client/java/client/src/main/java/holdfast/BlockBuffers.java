package holdfast;

import java.util.concurrent.ConcurrentLinkedQueue;

/** Buffers of full blocks, used again: new ones would cost more than to read into them. */
final class BlockBuffers {
  private final ConcurrentLinkedQueue<byte[]> free = new ConcurrentLinkedQueue<>();

  /** A buffer for so many bytes; it may be longer. */
  byte[] take(int length) {
    if (length < Digests.BLOCK_SIZE) {
      return new byte[length];
    }
    byte[] buffer = free.poll();
    return buffer == null ? new byte[length] : buffer;
  }

  /** Give back the buffer of a block that nobody needs any more. */
  void release(HashedBlock block) {
    if (block.data().length == Digests.BLOCK_SIZE) {
      free.add(block.data());
    }
  }
}
