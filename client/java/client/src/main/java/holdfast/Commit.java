package holdfast;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import holdfast.v1.ArtifactServiceGrpc;
import holdfast.v1.CommitEnd;
import holdfast.v1.CommitEntries;
import holdfast.v1.CommitFilesRequest;
import holdfast.v1.CommitFilesResponse;
import holdfast.v1.CommitHeader;
import holdfast.v1.EntryKind;
import holdfast.v1.MoreBlocks;
import holdfast.v1.NewEntry;
import holdfast.v1.TreeOwner;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Makes a set of entries visible at once: one CommitFiles stream, which brings the contents of
 * small files along.
 *
 * <p>It may be tried again after an interruption, or a bit that flipped on the way: what the server
 * has by then is named by digest and not sent again.
 */
final class Commit {
  /** Contents up to this size go inside the commit. */
  static final int MAX_INLINE = 64 << 10;

  private static final int MAX_ENTRIES = 2_000;
  private static final int MAX_BYTES = 768 << 10;
  private static final int DIGESTS_PER_MESSAGE = 16_384;

  /** What an entry takes besides its path and content, at most. */
  private static final int ENTRY_BYTES = 120;

  /** Digests that are remembered as sent, so that equal files of one tree are sent once. */
  private static final int MAX_REMEMBERED = 65_536;

  /** Times that it is sent when contents are damaged on their way, before it is an error. */
  private static final int MAX_DAMAGED = 3;

  private final Connection connection;
  private final CommitHeader header;

  /** Small files that were sent so far, in the attempt that came furthest. */
  private int reached;

  Commit(Connection connection, TreeOwner owner) {
    this.connection = connection;
    this.header = CommitHeader.newBuilder().setOwner(owner).setRequestId(RequestIds.next()).build();
  }

  /**
   * Commit entries, whose blocks were written, and small files, which are read here.
   *
   * @return The snapshot, or the blocks of the entries that are gone meanwhile.
   * @throws HoldfastException As the server says, or a small file changed; nothing is visible.
   */
  CommitFilesResponse run(List<NewEntry> entries, List<Source> small) {
    for (int damaged = 1; ; damaged++) {
      try {
        return connection.run(() -> attempt(entries, small), () -> reached);
      } catch (HoldfastException.InvalidArgument refused) {
        // Damaged on the way, as what was read is what was hashed.
        if (!refused.reason().equals("CONTENT_MISMATCH") || damaged == MAX_DAMAGED) {
          throw refused;
        }
      }
    }
  }

  /** The entry of a file, by the digests of its blocks. */
  static NewEntry fileEntry(Source source, List<ByteString> blocks) {
    return describe(source).addAllBlockDigests(blocks).build();
  }

  static NewEntry directoryEntry(Source source) {
    return NewEntry.newBuilder()
        .setPath(source.path())
        .setKind(EntryKind.ENTRY_KIND_DIRECTORY)
        .build();
  }

  private CommitFilesResponse attempt(List<NewEntry> entries, List<Source> small) {
    try (StreamCall<CommitFilesRequest, CommitFilesResponse> call =
        connection.stream(ArtifactServiceGrpc.getCommitFilesMethod(), 2)) {
      Messages messages = new Messages(call);
      call.send(CommitFilesRequest.newBuilder().setHeader(header).build());
      boolean isOpen = entries.stream().allMatch(messages::add) && sendSmall(small, messages);
      if (isOpen) {
        messages.end();
      }
      return call.answer();
    }
  }

  /** Read small files and add their entries; false when the server ended the call meanwhile. */
  private boolean sendSmall(List<Source> small, Messages messages) {
    if (small.isEmpty()) {
      return true;
    }
    // So little is sent in one round trip, without asking what is there.
    boolean asks = small.stream().mapToLong(Source::size).sum() > MAX_INLINE;
    try (BlockHashing hashing = new BlockHashing(small, new BlockBuffers());
        MissingBlocks windows = new MissingBlocks(connection, hashing, false)) {
      Set<ByteString> known = new HashSet<>();
      int done = 0;
      while (true) {
        List<HashedBlock> blocks;
        Set<ByteString> missing = null;
        if (asks) {
          MissingBlocks.Window window = windows.next();
          blocks = window == null ? null : window.blocks();
          missing = window == null ? null : window.missing();
        } else {
          blocks = hashing.next();
        }
        if (blocks == null) {
          return true;
        }
        for (HashedBlock block : blocks) {
          boolean isThere =
              known.contains(block.digest())
                  || (missing != null && !missing.contains(block.digest()));
          if (!messages.add(smallEntry(small.get(block.source()), block, isThere))) {
            return false;
          }
          known.add(block.digest());
          done++;
          reached = Math.max(reached, done);
        }
        if (known.size() > MAX_REMEMBERED) {
          known.clear();
        }
      }
    }
  }

  private static NewEntry smallEntry(Source source, HashedBlock block, boolean isThere) {
    NewEntry.Builder entry = describe(source);
    if (block.length() == 0) {
      return entry.build();
    }
    if (isThere) {
      return entry.addBlockDigests(block.digest()).build();
    }
    return entry
        .setDigest(block.digest()) // so that a bit that flips on the way is noticed
        .setInlineData(UnsafeByteOperations.unsafeWrap(block.data(), 0, block.length()))
        .build();
  }

  private static NewEntry.Builder describe(Source source) {
    return NewEntry.newBuilder()
        .setPath(source.path())
        .setKind(EntryKind.ENTRY_KIND_FILE)
        .setSize(source.size())
        .setExecutable(source.executable());
  }

  /** Puts entries into messages that are neither too many nor too large. */
  private static final class Messages {
    private final StreamCall<CommitFilesRequest, CommitFilesResponse> call;
    private CommitEntries.Builder batch = CommitEntries.newBuilder();
    private int size;
    private long count;

    Messages(StreamCall<CommitFilesRequest, CommitFilesResponse> call) {
      this.call = call;
    }

    /** Add an entry; false when the call ended, which its answer explains. */
    boolean add(NewEntry entry) {
      count++;
      List<ByteString> blocks = entry.getBlockDigestsList();
      NewEntry first = entry;
      if (blocks.size() > DIGESTS_PER_MESSAGE) {
        first =
            entry.toBuilder()
                .clearBlockDigests()
                .addAllBlockDigests(blocks.subList(0, DIGESTS_PER_MESSAGE))
                .build();
      }
      int weight = first.getSerializedSize() + ENTRY_BYTES;
      if (size + weight > MAX_BYTES && !flush()) {
        return false;
      }
      batch.addEntries(first);
      size += weight;
      if (batch.getEntriesCount() >= MAX_ENTRIES || blocks.size() > DIGESTS_PER_MESSAGE) {
        if (!flush()) {
          return false;
        }
      }
      for (int start = DIGESTS_PER_MESSAGE; start < blocks.size(); start += DIGESTS_PER_MESSAGE) {
        int end = Math.min(start + DIGESTS_PER_MESSAGE, blocks.size());
        MoreBlocks more =
            MoreBlocks.newBuilder().addAllBlockDigests(blocks.subList(start, end)).build();
        if (!call.awaitReady()) {
          return false;
        }
        call.send(CommitFilesRequest.newBuilder().setMoreBlocks(more).build());
      }
      return true;
    }

    /** Say that all entries were sent; without it nothing is committed. */
    void end() {
      if (flush()) {
        CommitEnd end = CommitEnd.newBuilder().setEntryCount(count).build();
        call.send(CommitFilesRequest.newBuilder().setEnd(end).build());
        call.halfClose();
      }
    }

    private boolean flush() {
      if (batch.getEntriesCount() > 0) {
        if (!call.awaitReady()) {
          return false;
        }
        call.send(CommitFilesRequest.newBuilder().setEntries(batch).build());
        batch = CommitEntries.newBuilder();
        size = 0;
      }
      return true;
    }
  }
}
