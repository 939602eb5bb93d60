package holdfast;

import com.google.protobuf.ByteString;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** Writes files under temporary names, which become the final ones when all is there. */
final class LocalFiles {
  private static final Map<PosixFilePermission, PosixFilePermission> EXECUTE_OF_READ =
      Map.of(
          PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_EXECUTE,
          PosixFilePermission.GROUP_READ, PosixFilePermission.GROUP_EXECUTE,
          PosixFilePermission.OTHERS_READ, PosixFilePermission.OTHERS_EXECUTE);

  private LocalFiles() {}

  /**
   * Make a directory and those above it, up to one of {@code made}, to which they are added.
   *
   * @throws HoldfastException.LocalFile One of them is a symbolic link, which could lead anywhere,
   *     or cannot be made.
   */
  static void makeDirectory(Path directory, Set<Path> made) {
    if (made.contains(directory)) {
      return;
    }
    makeDirectory(directory.getParent(), made);
    try {
      Files.createDirectory(directory);
    } catch (FileAlreadyExistsException there) {
      if (Files.isSymbolicLink(directory)) {
        throw new HoldfastException.LocalFile(
            directory
                + " is a symbolic link, and downloads do not follow it. Remove it, or download elsewhere.",
            there);
      }
      if (!Files.isDirectory(directory)) {
        throw cannotWrite(directory, there);
      }
    } catch (IOException error) {
      throw cannotWrite(directory, error);
    }
    made.add(directory);
  }

  /** Write a whole file, which appears under its name when it is there. */
  static void write(Path target, ByteString data, boolean executable) {
    try (PartialFile file = new PartialFile(target)) {
      file.write(0, data);
      file.finish(executable);
    }
  }

  /** The error for a path that cannot be written. */
  static HoldfastException.LocalFile cannotWrite(Path path, IOException error) {
    return new HoldfastException.LocalFile(
        path + " cannot be written: " + error + ". Download to another directory.", error);
  }

  /** Let those who may read a file execute it. */
  private static void setExecutable(Path file) throws IOException {
    try {
      Set<PosixFilePermission> permissions = new HashSet<>(Files.getPosixFilePermissions(file));
      EXECUTE_OF_READ.forEach(
          (read, execute) -> {
            if (permissions.contains(read)) {
              permissions.add(execute);
            }
          });
      Files.setPosixFilePermissions(file, permissions);
    } catch (UnsupportedOperationException windows) {
      return; // where files have no such bit
    }
  }

  /** A file that is being written beside its target, and removed unless it is finished. */
  static final class PartialFile implements AutoCloseable {
    private final Path target;
    private final Path partial;
    private final FileChannel channel;

    /**
     * @throws HoldfastException.LocalFile A directory stands there, or nothing can be written.
     */
    PartialFile(Path target) {
      if (Files.isDirectory(target) && !Files.isSymbolicLink(target)) {
        throw new HoldfastException.LocalFile(
            target
                + " is a directory here and a file in the artifacts. Download to another directory.");
      }
      this.target = target;
      this.partial = target.resolveSibling(".holdfast-" + RequestIds.next() + ".part");
      try {
        channel =
            FileChannel.open(partial, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
      } catch (IOException error) {
        throw cannotWrite(target, error);
      }
    }

    /** Write at an offset. */
    void write(long offset, ByteString data) {
      try {
        long position = offset;
        for (ByteBuffer part : data.asReadOnlyByteBufferList()) {
          while (part.hasRemaining()) {
            position += channel.write(part, position);
          }
        }
      } catch (IOException error) {
        throw cannotWrite(target, error);
      }
    }

    /** Give it its name, in the place of what has it. */
    void finish(boolean executable) {
      try {
        channel.close();
        if (executable) {
          setExecutable(partial);
        }
        Files.move(
            partial, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      } catch (IOException error) {
        throw cannotWrite(target, error);
      }
    }

    @Override
    public void close() {
      try {
        channel.close();
        Files.deleteIfExists(partial); // not there any more when it is finished
      } catch (IOException error) {
        throw cannotWrite(target, error);
      }
    }
  }
}
