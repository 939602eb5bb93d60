package holdfast;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Collection;
import java.util.Comparator;
import java.util.HexFormat;

/** Digests of blocks, files and trees; docs/protocol.md specifies them. */
final class Digests {
  /** Bytes of a full block: a constant of the format, not a setting. */
  static final int BLOCK_SIZE = 8 << 20;

  private static final byte[] FILE_PREFIX =
      "holdfast-blocks-v1\0".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] TREE_PREFIX =
      "holdfast-tree-v1\0".getBytes(StandardCharsets.US_ASCII);

  private Digests() {}

  /** A digest that begins, of bytes that are still to come. */
  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new AssertionError("every Java has SHA-256", impossible);
    }
  }

  /** The digest of one block. */
  static ByteString block(byte[] data, int length) {
    MessageDigest digest = sha256();
    digest.update(data, 0, length);
    return UnsafeByteOperations.unsafeWrap(digest.digest());
  }

  /** How many blocks a file of this size has. */
  static int blockCount(long size) {
    return Math.toIntExact((size + BLOCK_SIZE - 1) / BLOCK_SIZE);
  }

  /** Bytes of a file's block. */
  static int blockLength(long size, int number) {
    return (int) Math.min(BLOCK_SIZE, size - (long) number * BLOCK_SIZE);
  }

  /**
   * The digest of a file with these blocks.
   *
   * <p>That of its block when it has one, so equal to {@code sha256sum}; with more, SHA-256 over a
   * prefix and theirs, so that no crafted small file passes for a large one.
   */
  static ByteString file(Collection<ByteString> blocks) {
    if (blocks.size() == 1) {
      return blocks.iterator().next();
    }
    MessageDigest digest = sha256();
    if (!blocks.isEmpty()) {
      digest.update(FILE_PREFIX);
    }
    blocks.forEach(block -> digest.update(block.toByteArray()));
    return UnsafeByteOperations.unsafeWrap(digest.digest());
  }

  /**
   * The digest of a tree: over a prefix and its entries, in the order of their paths' UTF-8 bytes.
   */
  static ByteString tree(Collection<ArtifactEntry> entries) {
    MessageDigest digest = sha256();
    digest.update(TREE_PREFIX);
    entries.stream()
        .sorted(Comparator.comparing(ArtifactEntry::path, ArtifactPaths.ORDER))
        .forEach(
            entry -> {
              byte[] path = entry.path().getBytes(StandardCharsets.UTF_8);
              int flags = (entry.directory() ? 1 : 0) | (entry.executable() ? 2 : 0);
              digest.update(ByteBuffer.allocate(4).putInt(0, path.length));
              digest.update(path);
              digest.update((byte) flags);
              digest.update(ByteBuffer.allocate(8).putLong(0, entry.size()));
              if (!entry.directory()) {
                digest.update(HexFormat.of().parseHex(entry.digest()));
              }
            });
    return UnsafeByteOperations.unsafeWrap(digest.digest());
  }

  /** As people write it. */
  static String hex(ByteString digest) {
    return HexFormat.of().formatHex(digest.toByteArray());
  }
}
