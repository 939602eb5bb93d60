package holdfast;

import com.google.protobuf.ByteString;
import holdfast.v1.ArtifactLocation;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.NonWritableChannelException;
import java.nio.channels.SeekableByteChannel;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A file of a snapshot, of which only what is read is fetched. Nothing changes it meanwhile.
 *
 * <p>A block is what is fetched, as only whole ones can be verified: to read a byte costs up to 8
 * MiB. The blocks read last stay in memory. For an {@code InputStream} there is {@link
 * java.nio.channels.Channels#newInputStream}. One thread at a time is served.
 */
public final class ArtifactReader implements SeekableByteChannel {
  /** Blocks that stay in memory. */
  private static final int CACHED = 3;

  private final Connection connection;
  private final ArtifactLocation location;
  private final long size;
  private final List<ByteString> digests;
  private final Map<Integer, byte[]> blocks = new LinkedHashMap<>(8, 0.75f, true);
  private long position;
  private boolean open = true;

  ArtifactReader(Connection connection, ArtifactLocation location, Snapshots.Blocks file) {
    this.connection = connection;
    this.location = location;
    this.size = file.entry().getSize();
    this.digests = file.digests();
  }

  /**
   * Fill the buffer from this position, as far as the block there reaches; -1 at the end.
   *
   * @throws HoldfastException.DataLoss What came does not have its digest.
   */
  @Override
  public synchronized int read(ByteBuffer target) throws ClosedChannelException {
    refuseIfClosed();
    if (position >= size) {
      return -1;
    }
    int number = (int) (position / Digests.BLOCK_SIZE);
    int inner = (int) (position % Digests.BLOCK_SIZE);
    byte[] block = block(number);
    int count = Math.min(target.remaining(), block.length - inner);
    target.put(block, inner, count);
    position += count;
    return count;
  }

  /**
   * Read a range, all of it at once; where the file ends before, as much as there is.
   *
   * @throws HoldfastException.DataLoss What came does not have its digest.
   */
  synchronized byte[] readRange(long offset, int length) {
    int count = (int) Math.max(0, Math.min(length, size - offset));
    byte[] range = new byte[count];
    if (count > 0) {
      long begin = offset / Digests.BLOCK_SIZE * Digests.BLOCK_SIZE;
      FileReading.Sink sink =
          (at, part) -> {
            int from = (int) Math.max(0, offset - at);
            int until = (int) Math.min(part.size(), offset + count - at);
            if (from < until) {
              part.substring(from, until).copyTo(range, (int) (at + from - offset));
            }
          };
      new FileReading(connection, location, sink, begin, offset + count - begin)
          .knowing(digests)
          .run();
    }
    return range;
  }

  @Override
  public synchronized long position() throws ClosedChannelException {
    refuseIfClosed();
    return position;
  }

  @Override
  public synchronized ArtifactReader position(long newPosition) throws ClosedChannelException {
    refuseIfClosed();
    if (newPosition < 0) {
      throw new IllegalArgumentException(
          "cannot seek to " + newPosition + ", before the beginning");
    }
    position = newPosition;
    return this;
  }

  @Override
  public synchronized long size() throws ClosedChannelException {
    refuseIfClosed();
    return size;
  }

  @Override
  public int write(ByteBuffer source) {
    throw new NonWritableChannelException();
  }

  @Override
  public ArtifactReader truncate(long newSize) {
    throw new NonWritableChannelException();
  }

  @Override
  public synchronized boolean isOpen() {
    return open;
  }

  @Override
  public synchronized void close() {
    open = false;
    blocks.clear();
  }

  private byte[] block(int number) {
    byte[] cached = blocks.get(number);
    if (cached != null) {
      return cached;
    }
    long start = (long) number * Digests.BLOCK_SIZE;
    byte[] block = readRange(start, Digests.blockLength(size, number));
    blocks.put(number, block);
    if (blocks.size() > CACHED) {
      blocks.remove(blocks.keySet().iterator().next());
    }
    return block;
  }

  private void refuseIfClosed() throws ClosedChannelException {
    if (!open) {
      throw new ClosedChannelException();
    }
  }
}
