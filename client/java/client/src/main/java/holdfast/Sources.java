package holdfast;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** What is to be logged: local files, found and checked before anything is sent. */
final class Sources {
  private final Path realRoot;
  private final List<Source> found = new ArrayList<>();

  private Sources(Path realRoot) {
    this.realRoot = realRoot;
  }

  /**
   * A file at {@code artifactPath/name}, or a directory with its tree below {@code
   * artifactPath/name}.
   *
   * @param artifactPath Null or empty for the root.
   * @throws HoldfastException.LocalFile There is nothing, or something that cannot be logged.
   * @throws HoldfastException.InvalidArgument A path breaks a rule.
   */
  static List<Source> find(Path local, String artifactPath) {
    Path real = existing(local);
    Path name = local.getFileName();
    boolean isPlain = name != null && !name.toString().matches("\\.{0,2}");
    Path last = isPlain ? name : real.getFileName();
    if (last == null) {
      throw new HoldfastException.LocalFile(
          local + " has no name; log what is in it with logArtifacts.");
    }
    String path =
        ArtifactPaths.check(ArtifactPaths.join(checked(artifactPath), named(last, local)));
    return Files.isDirectory(local) ? walk(local, real, path) : List.of(file(local, path));
  }

  /** The contents of a directory below {@code artifactPath}; throws as {@code find} does. */
  static List<Source> findContents(Path directory, String artifactPath) {
    Path real = existing(directory);
    if (!Files.isDirectory(directory)) {
      throw new HoldfastException.LocalFile(
          directory + " is a file, not a directory. Use logArtifact to log a single file.");
    }
    return walk(directory, real, checked(artifactPath));
  }

  private static String checked(String artifactPath) {
    return artifactPath == null || artifactPath.isEmpty() ? "" : ArtifactPaths.check(artifactPath);
  }

  private static Path existing(Path local) {
    try {
      return local.toRealPath();
    } catch (IOException error) {
      String kind = Files.isSymbolicLink(local) ? "A broken symbolic link" : "No file or directory";
      throw new HoldfastException.LocalFile(kind + ": " + local, error);
    }
  }

  private static List<Source> walk(Path root, Path realRoot, String base) {
    Sources sources = new Sources(realRoot);
    if (!base.isEmpty()) {
      sources.found.add(Source.directory(base));
    }
    sources.add(root, base, Set.of(realRoot));
    return sources.found;
  }

  /**
   * Add what is in a directory.
   *
   * @param above The real paths of it and of the directories above it, to find links that go round.
   */
  private void add(Path folder, String path, Set<Path> above) {
    List<Path> entries;
    try (Stream<Path> listed = Files.list(folder)) {
      entries = listed.sorted().toList();
    } catch (IOException error) {
      throw new HoldfastException.LocalFile(folder + " cannot be read: " + error, error);
    }
    for (Path entry : entries) {
      String inner =
          ArtifactPaths.check(ArtifactPaths.join(path, named(entry.getFileName(), entry)));
      if (Files.isSymbolicLink(entry)) {
        checkLink(entry);
      }
      if (!Files.isDirectory(entry)) {
        found.add(file(entry, inner));
        continue;
      }
      Set<Path> further = new HashSet<>(above);
      if (!further.add(existing(entry))) {
        throw new HoldfastException.LocalFile(
            "The symbolic link " + entry + " leads back to a directory above it.");
      }
      found.add(Source.directory(inner));
      add(entry, inner, further);
    }
  }

  private void checkLink(Path link) {
    Path target;
    try {
      target = link.toRealPath();
    } catch (IOException error) {
      throw new HoldfastException.LocalFile(
          "The symbolic link "
              + link
              + " is broken. Remove it, or log the files beside it one by one.",
          error);
    }
    if (!target.startsWith(realRoot)) {
      throw new HoldfastException.LocalFile(
          "The symbolic link "
              + link
              + " leaves the directory that is logged. Log its target by itself.");
    }
  }

  private static Source file(Path local, String path) {
    try {
      BasicFileAttributes attributes = Source.attributesOf(local);
      if (!attributes.isRegularFile()) {
        throw new HoldfastException.LocalFile(
            local + " is a socket, fifo or device; only files and directories can be logged.");
      }
      return Source.file(path, local, attributes);
    } catch (IOException error) {
      String kind = Files.exists(local, LinkOption.NOFOLLOW_LINKS) ? "cannot be read" : "is gone";
      throw new HoldfastException.LocalFile(local + " " + kind + ": " + error, error);
    }
  }

  /** A name as text; Java decodes names by the locale, and what it cannot decode it cannot name. */
  private static String named(Path name, Path local) {
    String text = name.toString();
    if (text.indexOf('\ufffd') >= 0) {
      throw new HoldfastException.LocalFile(
          "The name of "
              + local
              + " is not valid in this locale ("
              + System.getProperty("sun.jnu.encoding")
              + "). Rename it, or run with a UTF-8 locale such as LC_ALL=C.UTF-8.");
    }
    return text;
  }
}
