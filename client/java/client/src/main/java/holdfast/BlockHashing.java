package holdfast;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Reads files once, cuts them into blocks and hashes those, in threads, in bounded memory and in
 * the order of the sources. An empty file gives a block without bytes.
 */
final class BlockHashing implements AutoCloseable {
  private static final int THREADS = 2;

  /** Bytes that are read ahead, and batches, when they are of small files. */
  private static final long READ_AHEAD = 2L * Digests.BLOCK_SIZE;

  private static final int MAX_BATCHES = 4;

  /** Small files of one batch; a task for each would cost more than to read it. */
  private static final int BATCH_FILES = 128;

  /** What is read at once: it is hashed while it is in the processor's cache. */
  private static final int READ = 1 << 20;

  private final List<Source> sources;
  private final BlockBuffers buffers;
  private final ExecutorService threads =
      Executors.newFixedThreadPool(THREADS, DaemonThreads.named("holdfast-hash"));
  private final Deque<Ahead> ahead = new ArrayDeque<>();
  private long aheadBytes;
  private int source;
  private long offset;

  private record Piece(int source, long offset, int length) {}

  private record Ahead(Future<List<HashedBlock>> blocks, long size) {}

  BlockHashing(List<Source> sources, BlockBuffers buffers) {
    this.sources = sources;
    this.buffers = buffers;
    readAhead();
  }

  /**
   * The next blocks, at most 8 MiB together; null at the end.
   *
   * @throws HoldfastException.LocalFile A file changed since it was found, or cannot be read.
   */
  List<HashedBlock> next() {
    Ahead first = ahead.poll();
    if (first == null) {
      return null;
    }
    try {
      List<HashedBlock> blocks = first.blocks.get();
      aheadBytes -= first.size;
      readAhead();
      return blocks;
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new HoldfastException.Cancelled("The thread was interrupted while it read files.");
    } catch (ExecutionException failed) {
      if (failed.getCause() instanceof HoldfastException error) {
        throw error;
      }
      throw new IllegalStateException(failed.getCause());
    }
  }

  @Override
  public void close() {
    threads.shutdownNow();
  }

  private void readAhead() {
    while (ahead.size() < MAX_BATCHES && aheadBytes + Digests.BLOCK_SIZE <= READ_AHEAD) {
      List<Piece> pieces = nextPieces();
      if (pieces.isEmpty()) {
        return;
      }
      long size = pieces.stream().mapToLong(Piece::length).sum();
      ahead.add(new Ahead(threads.submit(() -> hash(pieces)), size));
      aheadBytes += size;
    }
  }

  private List<Piece> nextPieces() {
    List<Piece> pieces = new ArrayList<>();
    long size = 0;
    while (source < sources.size() && pieces.size() < BATCH_FILES) {
      Source file = sources.get(source);
      int length = (int) Math.min(Digests.BLOCK_SIZE, file.size() - offset);
      if (size + length > Digests.BLOCK_SIZE) {
        break;
      }
      pieces.add(new Piece(source, offset, length));
      size += length;
      offset += length;
      if (offset >= file.size()) {
        source++;
        offset = 0;
      }
    }
    return pieces;
  }

  private List<HashedBlock> hash(List<Piece> pieces) {
    List<HashedBlock> blocks = new ArrayList<>(pieces.size());
    for (Piece piece : pieces) {
      blocks.add(hash(piece));
    }
    return blocks;
  }

  private HashedBlock hash(Piece piece) {
    Source file = sources.get(piece.source);
    byte[] data = buffers.take(piece.length);
    MessageDigest digest = Digests.sha256();
    boolean isWhole;
    try (FileChannel channel = FileChannel.open(file.local(), StandardOpenOption.READ)) {
      isWhole = read(channel, piece, data, digest);
      isWhole &= Source.Stamp.of(Source.attributesOf(file.local())).equals(file.stamp());
    } catch (IOException error) {
      throw new HoldfastException.LocalFile(file.local() + " cannot be read: " + error, error);
    }
    if (!isWhole) {
      throw new HoldfastException.LocalFile(
          file.local()
              + " changed while it was logged; nothing of this call is kept. Log it again when it is whole.");
    }
    ByteString name = UnsafeByteOperations.unsafeWrap(digest.digest());
    return new HashedBlock(piece.source, name, data, piece.length);
  }

  private static boolean read(FileChannel channel, Piece piece, byte[] data, MessageDigest digest)
      throws IOException {
    int done = 0;
    while (done < piece.length) {
      int wanted = Math.min(READ, piece.length - done);
      int count = channel.read(ByteBuffer.wrap(data, done, wanted), piece.offset + done);
      if (count < 0) {
        return false;
      }
      digest.update(data, done, count);
      done += count;
    }
    return true;
  }
}
