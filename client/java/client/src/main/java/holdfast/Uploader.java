package holdfast;

import com.google.protobuf.ByteString;
import holdfast.v1.CommitFilesResponse;
import holdfast.v1.NewEntry;
import holdfast.v1.Tree;
import holdfast.v1.TreeOwner;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** Uploads sources into a tree: blocks first, then one commit that makes all visible at once. */
final class Uploader {
  /** Commits that find blocks missing again, as they were collected, before it is an error. */
  private static final int ATTEMPTS = 3;

  /** How often the server is asked for all blocks of a long upload, which keeps them for a day. */
  private static final long KEEP_NANOS = TimeUnit.HOURS.toNanos(1);

  private final Connection connection;

  Uploader(Connection connection) {
    this.connection = connection;
  }

  /**
   * Put sources into the tree of {@code owner}; all become visible at once when this returns.
   *
   * @throws HoldfastException As the server says, or a file changed or cannot be read; nothing is
   *     visible, and the same call sends only what is still missing.
   */
  Tree upload(TreeOwner owner, List<Source> sources) {
    List<Source> small = new ArrayList<>();
    List<Source> large = new ArrayList<>();
    List<NewEntry> directories = new ArrayList<>();
    for (Source source : sources) {
      if (source.directory()) {
        directories.add(Commit.directoryEntry(source));
      } else {
        (source.size() <= Commit.MAX_INLINE ? small : large).add(source);
      }
    }
    Commit commit = new Commit(connection, owner);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
      List<NewEntry> entries = new ArrayList<>(directories);
      List<List<ByteString>> blocks = sendBlocks(large);
      for (int index = 0; index < large.size(); index++) {
        entries.add(Commit.fileEntry(large.get(index), blocks.get(index)));
      }
      CommitFilesResponse response = commit.run(entries, small);
      if (response.hasCommitted()) {
        return response.getCommitted();
      }
    }
    throw new HoldfastException.Unavailable(
        Failure.of(
            Status.Code.UNAVAILABLE,
            "The server kept losing blocks of this upload; its garbage collection may be misconfigured."));
  }

  /** Send what the server lacks; returns the digests of each source's blocks. */
  private List<List<ByteString>> sendBlocks(List<Source> sources) {
    List<List<ByteString>> digests = new ArrayList<>();
    sources.forEach(source -> digests.add(new ArrayList<>()));
    if (sources.isEmpty()) {
      return digests;
    }
    BlockBuffers buffers = new BlockBuffers();
    long keepAt = System.nanoTime() + KEEP_NANOS;
    try (BlockHashing hashing = new BlockHashing(sources, buffers);
        MissingBlocks windows = new MissingBlocks(connection, hashing, true);
        BlockSender sender = new BlockSender(connection, buffers)) {
      for (MissingBlocks.Window window = windows.next(); window != null; window = windows.next()) {
        List<HashedBlock> toSend = new ArrayList<>();
        Set<ByteString> missing = window.missing();
        for (HashedBlock block : window.blocks()) {
          digests.get(block.source()).add(block.digest());
          if (missing.remove(block.digest())) { // once, also when it comes twice
            toSend.add(block);
          } else {
            buffers.release(block);
          }
        }
        sender.send(toSend);
        if (System.nanoTime() - keepAt > 0) {
          Set<ByteString> all = new LinkedHashSet<>();
          digests.forEach(all::addAll);
          MissingBlocks.find(connection, all);
          keepAt = System.nanoTime() + KEEP_NANOS;
        }
      }
      sender.finish();
    }
    return digests;
  }
}
