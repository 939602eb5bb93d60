package holdfast;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.text.Normalizer;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Places of a download below a directory, and names that its file system cannot hold or would mix
 * up: what one file would silently replace another is an error.
 */
final class LocalNames {
  private final Path directory;
  private final boolean isFolding;
  private final Map<String, String> seen = new HashMap<>();

  /**
   * @throws HoldfastException.LocalFile The directory cannot be written.
   */
  LocalNames(Path directory) {
    this.directory = directory;
    this.isFolding = isFolding(directory);
  }

  /**
   * Where an artifact goes.
   *
   * @param path As the server sent it, relative to the directory.
   * @throws HoldfastException.LocalFile It leads elsewhere, cannot be written here, or another one
   *     has that name here.
   */
  Path place(String path) {
    ArtifactPaths.checkReceived(path);
    if (isFolding) {
      String folded = Normalizer.normalize(path, Normalizer.Form.NFC).toLowerCase(Locale.ROOT);
      String other = seen.putIfAbsent(folded, path);
      if (other != null && !other.equals(path)) {
        throw new HoldfastException.LocalFile(
            "'"
                + other
                + "' and '"
                + path
                + "' would be the same file here. Download them to different directories.");
      }
    }
    return resolve(directory, path);
  }

  /** A path below a directory, or the error for a name that this system does not have. */
  static Path resolve(Path directory, String path) {
    try {
      return directory.resolve(path);
    } catch (InvalidPathException error) {
      throw new HoldfastException.LocalFile(
          "'"
              + path
              + "' cannot be written on this system: "
              + error.getReason()
              + ". Where names are not ASCII, run with a UTF-8 locale such as LC_ALL=C.UTF-8.",
          error);
    }
  }

  /** Whether two names that differ in case are the same file there. */
  private static boolean isFolding(Path directory) {
    Path probe = directory.resolve(".holdfast-Probe-" + RequestIds.next());
    try {
      Files.createFile(probe);
      try {
        return Files.exists(
            probe.resolveSibling(probe.getFileName().toString().toLowerCase(Locale.ROOT)));
      } finally {
        Files.delete(probe);
      }
    } catch (IOException error) {
      throw LocalFiles.cannotWrite(directory, error);
    }
  }
}
