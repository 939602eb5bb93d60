package holdfast;

import com.google.protobuf.ByteOutput;
import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import holdfast.v1.ArtifactLocation;
import holdfast.v1.ArtifactServiceGrpc;
import holdfast.v1.BlockChunk;
import holdfast.v1.Entry;
import holdfast.v1.ReadFileHeader;
import holdfast.v1.ReadFileRequest;
import holdfast.v1.ReadFileResponse;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Collection;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Reads whole blocks of one file of a snapshot, verified, and goes on at the block where it was
 * when the connection breaks.
 */
final class FileReading {
  /** Messages of about 1 MiB that may wait to be taken. */
  private static final int AHEAD = 4;

  private final Connection connection;
  private final ArtifactLocation location;
  private final Sink sink;
  private final long end;
  private final SortedMap<Integer, ByteString> digests = new TreeMap<>();
  private List<ByteString> known = List.of();
  private long position;
  private Entry entry;

  /** Takes bytes of a file as they come. A block that turns out to be damaged fails the reading. */
  interface Sink {
    void write(long offset, ByteString part);
  }

  /**
   * @param offset Where to begin: a multiple of the block size.
   * @param limit How many bytes; 0 for all.
   */
  FileReading(
      Connection connection, ArtifactLocation location, Sink sink, long offset, long limit) {
    this.connection = connection;
    this.location = location;
    this.sink = sink;
    this.position = offset;
    this.end = limit > 0 ? offset + limit : Long.MAX_VALUE;
  }

  /**
   * Check each block against what is known of the whole file; needed where not all of it is read.
   */
  FileReading knowing(List<ByteString> blocks) {
    this.known = blocks;
    return this;
  }

  /**
   * Read to the end.
   *
   * @throws HoldfastException.DataLoss A block does not have its digest.
   */
  Entry run() {
    return connection.run(this::attempt, () -> position);
  }

  /** Read a whole file; it must have its digest, and not only its blocks theirs. */
  Entry runWhole() {
    Entry read = run();
    checkWhole(location.getPath(), read.getSize(), read.getDigest(), digests.values());
    return read;
  }

  /**
   * Check the blocks of a whole file against its digest.
   *
   * @throws HoldfastException.DataLoss They are not those of that file.
   */
  static void checkWhole(String path, long size, ByteString digest, Collection<ByteString> blocks) {
    if (blocks.size() != Digests.blockCount(size) || !Digests.file(blocks).equals(digest)) {
      throw damaged(path);
    }
  }

  /** The error for bytes that are not what they should be. */
  static HoldfastException.DataLoss damaged(String path) {
    return new HoldfastException.DataLoss(
        "What came for '%s' does not have its digest, and nothing of it was written. Try again; if it stays so, the"
                .formatted(path)
            + " server's store is damaged.");
  }

  private Entry attempt() {
    if (entry != null && position >= Math.min(end, entry.getSize())) {
      return entry;
    }
    ReadFileRequest.Builder request =
        ReadFileRequest.newBuilder()
            .setOwner(location.getOwner())
            .setSequence(location.getSequence())
            .setPath(location.getPath())
            .setOffset(position);
    if (end != Long.MAX_VALUE) {
      request.setLimit(end - position);
    }
    if (entry != null) {
      request.setExpectedDigest(entry.getDigest());
    }
    try (StreamCall<ReadFileRequest, ReadFileResponse> call =
        connection.stream(ArtifactServiceGrpc.getReadFileMethod(), AHEAD)) {
      call.send(request.build());
      call.halfClose();
      ReadFileHeader header = call.answer().getHeader();
      entry = header.getEntry();
      position = header.getStartOffset();
      readBlocks(call);
      if (position < header.getEndOffset() && position < entry.getSize()) {
        throw damaged(location.getPath());
      }
      return entry;
    }
  }

  private void readBlocks(StreamCall<ReadFileRequest, ReadFileResponse> call) {
    for (ReadFileResponse message = call.next(); message != null; message = call.next()) {
      BlockChunk chunk = message.getChunk();
      ByteString digest = chunk.getDigest();
      int number = (int) (position / Digests.BLOCK_SIZE);
      int size = chunk.getSize();
      boolean isRight =
          known.isEmpty() || (number < known.size() && known.get(number).equals(digest));
      if (!isRight
          || size != Digests.blockLength(entry.getSize(), number)
          || chunk.getData().isEmpty()) {
        throw damaged(location.getPath());
      }
      MessageDigest actual = Digests.sha256();
      int done = 0;
      while (true) {
        done += chunk.getData().size();
        if (done > size) {
          throw damaged(location.getPath());
        }
        update(actual, chunk.getData());
        sink.write(position + done - chunk.getData().size(), chunk.getData());
        if (done == size) {
          break;
        }
        chunk = nextChunk(call);
      }
      if (!UnsafeByteOperations.unsafeWrap(actual.digest()).equals(digest)) {
        throw damaged(location.getPath());
      }
      digests.put(number, digest);
      position += size;
    }
  }

  private BlockChunk nextChunk(StreamCall<ReadFileRequest, ReadFileResponse> call) {
    ReadFileResponse message = call.next();
    if (message == null
        || !message.getChunk().getDigest().isEmpty()
        || message.getChunk().getData().isEmpty()) {
      throw damaged(location.getPath());
    }
    return message.getChunk();
  }

  /** Hash bytes where they are; a read-only buffer would be copied piece by piece. */
  static void update(MessageDigest digest, ByteString data) {
    try {
      UnsafeByteOperations.unsafeWriteTo(data, new Hashing(digest));
    } catch (IOException impossible) {
      throw new AssertionError("nothing is written anywhere", impossible);
    }
  }

  private static final class Hashing extends ByteOutput {
    private final MessageDigest digest;

    Hashing(MessageDigest digest) {
      this.digest = digest;
    }

    @Override
    public void write(byte value) {
      digest.update(value);
    }

    @Override
    public void write(byte[] value, int offset, int length) {
      digest.update(value, offset, length);
    }

    @Override
    public void writeLazy(byte[] value, int offset, int length) {
      digest.update(value, offset, length);
    }

    @Override
    public void write(ByteBuffer value) {
      digest.update(value);
    }

    @Override
    public void writeLazy(ByteBuffer value) {
      digest.update(value);
    }
  }
}
