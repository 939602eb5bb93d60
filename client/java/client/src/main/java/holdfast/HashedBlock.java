package holdfast;

import com.google.protobuf.ByteString;

/**
 * A block in memory.
 *
 * @param source Index, among the sources, of the file that it belongs to.
 * @param digest Of its bytes.
 * @param data The bytes, at its beginning.
 * @param length How many; none for an empty file.
 */
record HashedBlock(int source, ByteString digest, byte[] data, int length) {}
