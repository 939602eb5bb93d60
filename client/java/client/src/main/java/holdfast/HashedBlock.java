package holdfast;

import com.google.protobuf.ByteString;

/** A block in memory, and the file that it belongs to. */
final class HashedBlock {
  private final int source;
  private final ByteString digest;
  private final byte[] data;
  private final int length;

  HashedBlock(int source, ByteString digest, byte[] data, int length) {
    this.source = source;
    this.digest = digest;
    this.data = data;
    this.length = length;
  }

  /** Index, among the sources, of its file. */
  int source() {
    return source;
  }

  ByteString digest() {
    return digest;
  }

  /** A buffer with its bytes at the beginning; not to be changed. */
  byte[] data() {
    return data;
  }

  /** How many bytes it has; none for an empty file. */
  int length() {
    return length;
  }
}
