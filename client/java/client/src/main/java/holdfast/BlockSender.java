package holdfast;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import holdfast.v1.ArtifactServiceGrpc;
import holdfast.v1.Block;
import holdfast.v1.BlockChunk;
import holdfast.v1.BlockResult;
import holdfast.v1.BlockStatus;
import holdfast.v1.WriteBlocksRequest;
import holdfast.v1.WriteBlocksResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Sends blocks and returns from {@code finish} when each is durable on the server.
 *
 * <p>Blocks that were not answered when the connection broke are sent again on a new one, after
 * asking which are missing. One thread sends, and takes the answers while it waits for room.
 */
final class BlockSender implements AutoCloseable {
  private static final int CHUNK = 1 << 20;

  /** Blocks up to this size share messages. */
  private static final int SMALL = 64 << 10;

  /** Bytes that may be unanswered; they are kept to be sent again when the connection breaks. */
  private static final long MAX_UNANSWERED = 32L << 20;

  /** Bytes that may be under way before the server has said how many. */
  private static final long INITIAL_WINDOW = 1 << 20;

  /** Times that a block is sent before a mismatch is an error. */
  private static final int ATTEMPTS = 4;

  /** Answers that may wait to be taken; a server may stop reading when they are not. */
  private static final int ANSWERS_AHEAD = 64;

  /** What a block takes in a message besides its bytes, at most. */
  private static final int BLOCK_OVERHEAD = 48;

  private final Connection connection;
  private final BlockBuffers buffers;
  private final Map<ByteString, HashedBlock> unanswered = new LinkedHashMap<>();
  private final Map<ByteString, Integer> mismatches = new HashMap<>();
  private final Deque<HashedBlock> queue = new ArrayDeque<>();
  private long unansweredBytes;
  private Patience patience;
  private StreamCall<WriteBlocksRequest, WriteBlocksResponse> stream;
  private long sent;
  private long taken;
  private long window;

  BlockSender(Connection connection, BlockBuffers buffers) {
    this.connection = connection;
    this.buffers = buffers;
    this.patience = connection.freshPatience();
  }

  /**
   * Send blocks; waits while too much is unanswered.
   *
   * @throws HoldfastException A block was refused, or the server stayed away.
   */
  void send(Collection<HashedBlock> blocks) {
    for (HashedBlock block : blocks) {
      if (unansweredBytes + block.length() > MAX_UNANSWERED) {
        goOnUntil(MAX_UNANSWERED - block.length());
      }
      if (unanswered.putIfAbsent(block.digest(), block) == null) {
        unansweredBytes += block.length();
        queue.add(block);
      } else {
        buffers.release(block);
      }
    }
    goOnUntil(MAX_UNANSWERED);
  }

  /** Wait until all blocks are answered, and end the stream. */
  void finish() {
    goOnUntil(0);
    if (stream != null) {
      stream.halfClose();
      stream = null; // it ends by itself
    }
  }

  @Override
  public void close() {
    if (stream != null) {
      stream.close();
    }
  }

  /** Send what is queued, and take answers until no more than so many bytes lack one. */
  private void goOnUntil(long allowed) {
    while (!queue.isEmpty() || unansweredBytes > allowed) {
      try {
        if (stream == null) {
          begin();
        }
        if (queue.isEmpty()) {
          take(nextAnswer());
        } else {
          sendNext();
        }
      } catch (StatusRuntimeException broken) {
        resume(broken);
      }
    }
  }

  private void begin() {
    stream = connection.stream(ArtifactServiceGrpc.getWriteBlocksMethod(), ANSWERS_AHEAD);
    sent = 0;
    taken = 0;
    window = INITIAL_WINDOW;
  }

  private void sendNext() {
    HashedBlock block = queue.peek();
    if (block.length() <= SMALL) {
      sendSmall();
      return;
    }
    for (int start = 0; start < block.length(); start += CHUNK) {
      int length = Math.min(CHUNK, block.length() - start);
      BlockChunk.Builder chunk =
          BlockChunk.newBuilder()
              .setData(UnsafeByteOperations.unsafeWrap(block.data(), start, length));
      if (start == 0) {
        chunk.setDigest(block.digest()).setSize(block.length());
      }
      send(WriteBlocksRequest.newBuilder().setChunk(chunk).build());
    }
    queue.remove();
  }

  private void sendSmall() {
    WriteBlocksRequest.Builder message = WriteBlocksRequest.newBuilder();
    int size = 0;
    for (HashedBlock block : queue) {
      size += block.length() + BLOCK_OVERHEAD;
      if (block.length() > SMALL || size > CHUNK) {
        break;
      }
      message.addBlocks(
          Block.newBuilder()
              .setDigest(block.digest())
              .setData(UnsafeByteOperations.unsafeWrap(block.data(), 0, block.length())));
    }
    send(message.build());
    for (int count = message.getBlocksCount(); count > 0; count--) {
      queue.remove();
    }
  }

  private void send(WriteBlocksRequest message) {
    int size = message.getSerializedSize();
    for (WriteBlocksResponse answer = stream.poll(); answer != null; answer = stream.poll()) {
      take(answer);
    }
    while (sent > taken && sent - taken + size > window) {
      take(nextAnswer());
    }
    stream.send(message);
    sent += size;
  }

  private WriteBlocksResponse nextAnswer() {
    WriteBlocksResponse answer = stream.next();
    if (answer == null) {
      // The server ends the stream only after us, or when it stops.
      throw Status.UNAVAILABLE
          .withDescription("the server ended the stream early")
          .asRuntimeException();
    }
    return answer;
  }

  private void take(WriteBlocksResponse answer) {
    taken = answer.getTakenBytes();
    window = answer.getWindowBytes();
    answer.getResultsList().forEach(this::take);
  }

  private void take(BlockResult result) {
    HashedBlock block = unanswered.get(result.getDigest());
    if (block == null) {
      return;
    }
    switch (result.getStatus()) {
      case BLOCK_STATUS_STORED -> done(block);
      case BLOCK_STATUS_UNAVAILABLE -> {
        // A store that is full or away: the same patience as with a server that is away.
        if (!patience.pause(Optional.empty())) {
          throw new HoldfastException.Unavailable(
              Failure.of(Status.Code.UNAVAILABLE, result.getMessage()).withReason("UNAVAILABLE"));
        }
        queue.add(block);
      }
      default -> {
        int times = mismatches.merge(block.digest(), 1, Integer::sum);
        if (result.getStatus() != BlockStatus.BLOCK_STATUS_DIGEST_MISMATCH || times >= ATTEMPTS) {
          throw new HoldfastException.DataLoss(
              "Block %s was refused %d times on its way: %s"
                  .formatted(Digests.hex(block.digest()), times, result.getMessage()));
        }
        queue.add(block);
      }
    }
  }

  /** Ask which of the unanswered blocks are missing, and queue those for a new stream. */
  private void resume(StatusRuntimeException broken) {
    close();
    stream = null;
    HoldfastException failure = connection.translate(broken);
    if (!RpcErrors.isInterruption(failure) || !patience.pause(failure.retryAfter())) {
      throw failure;
    }
    connection.revive();
    Set<ByteString> missing = MissingBlocks.find(connection, unanswered.keySet());
    for (HashedBlock block : unanswered.values().toArray(HashedBlock[]::new)) {
      if (!missing.contains(block.digest())) {
        done(block);
      }
    }
    queue.clear();
    queue.addAll(unanswered.values());
  }

  private void done(HashedBlock block) {
    unanswered.remove(block.digest());
    unansweredBytes -= block.length();
    buffers.release(block);
    patience = connection.freshPatience();
  }
}
