package holdfast;

import com.google.protobuf.ByteString;
import holdfast.v1.ArtifactServiceGrpc;
import holdfast.v1.FindMissingBlocksRequest;
import holdfast.v1.FindMissingBlocksResponse;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Windows of blocks, each with the digests of those that the server lacks. It is asked for a window
 * ahead of the one that is sent.
 */
final class MissingBlocks implements AutoCloseable {
  /** Most digests of one request. */
  private static final int MAX_DIGESTS = 16_384;

  private static final long WINDOW_BYTES = 8L << 20;
  private static final int WINDOW_BLOCKS = 512;

  /** Fewer at first, so that something is sent soon. */
  private static final int FIRST_WINDOW_BLOCKS = 256;

  private static final int ASK_AHEAD = 1;

  private final Connection connection;
  private final BlockHashing hashing;
  private final boolean recovers;
  private final Deque<Asked> asked = new ArrayDeque<>();
  private int limit = FIRST_WINDOW_BLOCKS;

  /**
   * Blocks, and what to do about them.
   *
   * @param blocks In order.
   * @param missing Digests of those that the server lacks.
   */
  record Window(List<HashedBlock> blocks, Set<ByteString> missing) {}

  private record Asked(
      List<HashedBlock> blocks,
      Set<ByteString> digests,
      StreamCall<FindMissingBlocksRequest, FindMissingBlocksResponse> call) {}

  /**
   * @param recovers Whether to ask again when the connection broke; otherwise gRPC's error is for
   *     the caller, who begins anew.
   */
  MissingBlocks(Connection connection, BlockHashing hashing, boolean recovers) {
    this.connection = connection;
    this.hashing = hashing;
    this.recovers = recovers;
  }

  /** Those of these blocks that the server lacks. */
  static Set<ByteString> find(Connection connection, Collection<ByteString> digests) {
    List<ByteString> all = List.copyOf(digests);
    Set<ByteString> missing = new HashSet<>();
    for (int start = 0; start < all.size(); start += MAX_DIGESTS) {
      List<ByteString> some = all.subList(start, Math.min(start + MAX_DIGESTS, all.size()));
      FindMissingBlocksRequest request =
          FindMissingBlocksRequest.newBuilder().addAllDigests(some).build();
      missing.addAll(
          connection
              .call(ArtifactServiceGrpc.getFindMissingBlocksMethod(), request)
              .getMissingDigestsList());
    }
    return missing;
  }

  /** The next window; null at the end. */
  Window next() {
    while (asked.size() <= ASK_AHEAD) {
      List<HashedBlock> blocks = nextBlocks();
      if (blocks.isEmpty()) {
        break;
      }
      asked.add(ask(blocks));
    }
    Asked first = asked.poll();
    return first == null ? null : new Window(first.blocks, missing(first));
  }

  @Override
  public void close() {
    asked.forEach(one -> one.call.close());
  }

  private List<HashedBlock> nextBlocks() {
    List<HashedBlock> window = new ArrayList<>();
    long size = 0;
    while (size < WINDOW_BYTES && window.size() < limit) {
      List<HashedBlock> batch = hashing.next();
      if (batch == null) {
        break;
      }
      window.addAll(batch);
      size += batch.stream().mapToLong(HashedBlock::length).sum();
    }
    limit = WINDOW_BLOCKS;
    return window;
  }

  private Asked ask(List<HashedBlock> blocks) {
    Set<ByteString> digests = new LinkedHashSet<>();
    for (HashedBlock block : blocks) {
      if (block.length() > 0) {
        digests.add(block.digest());
      }
    }
    StreamCall<FindMissingBlocksRequest, FindMissingBlocksResponse> call =
        connection.stream(ArtifactServiceGrpc.getFindMissingBlocksMethod(), 2);
    call.send(FindMissingBlocksRequest.newBuilder().addAllDigests(digests).build());
    call.halfClose();
    return new Asked(blocks, digests, call);
  }

  private Set<ByteString> missing(Asked one) {
    try {
      return new HashSet<>(one.call.answer().getMissingDigestsList());
    } catch (StatusRuntimeException broken) {
      if (!recovers) {
        throw broken;
      }
      return find(connection, one.digests);
    }
  }
}
