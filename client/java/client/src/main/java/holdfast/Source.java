package holdfast;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;

/**
 * A file or directory to put at a path of a tree.
 *
 * @param path Artifact path.
 * @param local The local file; null for directories.
 * @param size Bytes.
 * @param executable Whether its owner may execute it.
 * @param directory Whether it is a directory.
 * @param stamp What it was when it was found; another one later means that it changed.
 */
record Source(
    String path, Path local, long size, boolean executable, boolean directory, Stamp stamp) {

  /** What changes when a file is written or replaced. */
  record Stamp(Object key, long size, FileTime modified) {
    static Stamp of(BasicFileAttributes attributes) {
      return new Stamp(attributes.fileKey(), attributes.size(), attributes.lastModifiedTime());
    }
  }

  static Source directory(String path) {
    return new Source(path, null, 0, false, true, null);
  }

  static Source file(String path, Path local, BasicFileAttributes attributes) {
    boolean executable =
        attributes instanceof PosixFileAttributes posix
            && posix.permissions().contains(PosixFilePermission.OWNER_EXECUTE);
    return new Source(path, local, attributes.size(), executable, false, Stamp.of(attributes));
  }

  /** What the system knows of a file, links followed; with permissions where there are any. */
  static BasicFileAttributes attributesOf(Path local) throws IOException {
    try {
      return Files.readAttributes(local, PosixFileAttributes.class);
    } catch (UnsupportedOperationException windows) {
      return Files.readAttributes(local, BasicFileAttributes.class);
    }
  }
}
