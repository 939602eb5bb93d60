package holdfast;

import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/** Digests of local content, to compare it with what a server has. */
public final class Content {
  private Content() {}

  /**
   * The digest of a local file, as an {@link ArtifactEntry} has it: equal to {@code sha256sum} up
   * to 8 MiB.
   *
   * @return 64 hex digits.
   * @throws HoldfastException.LocalFile It cannot be read.
   */
  public static String fileDigest(Path file) {
    List<ByteString> blocks = new ArrayList<>();
    try (InputStream stream = Files.newInputStream(file)) {
      byte[] block = new byte[Digests.BLOCK_SIZE];
      for (int length = stream.readNBytes(block, 0, block.length);
          length > 0;
          length = stream.readNBytes(block, 0, block.length)) {
        blocks.add(Digests.block(block, length));
      }
    } catch (IOException error) {
      throw new HoldfastException.LocalFile(file + " cannot be read: " + error, error);
    }
    return Digests.hex(Digests.file(blocks));
  }

  /**
   * The digest of a whole tree, from its entries in any order.
   *
   * @return 64 hex digits.
   */
  public static String treeDigest(Collection<ArtifactEntry> entries) {
    return Digests.hex(Digests.tree(entries));
  }
}
