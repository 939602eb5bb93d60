package holdfast;

import com.google.protobuf.ByteString;
import holdfast.v1.ArtifactLocation;
import holdfast.v1.ArtifactServiceGrpc;
import holdfast.v1.Entry;
import holdfast.v1.EntryKind;
import holdfast.v1.FilePart;
import holdfast.v1.ReadFilesRequest;
import holdfast.v1.ReadFilesResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * One download: small files come together in one stream, large ones by themselves after it. Each
 * file appears under its name only when it is whole and has its digest.
 */
final class Download {
  /** Larger files are read one by one. */
  private static final long MAX_BATCHED = 1 << 20;

  /** Messages of about 1 MiB that may wait to be taken. */
  private static final int AHEAD = 4;

  private final Connection connection;
  private final Path target;

  /** Null while a single file is fetched, which goes to the target. */
  private LocalNames names;

  private boolean hasBegun;

  /**
   * @param target The file, or the directory below which a directory's contents go.
   */
  Download(Connection connection, Path target) {
    this.connection = connection;
    this.target = target.toAbsolutePath();
  }

  /** Whether something of a directory came, which must not be mixed with another snapshot. */
  boolean hasBegun() {
    return hasBegun;
  }

  /**
   * Write a file to the target, or below it what the locations hold.
   *
   * @throws HoldfastException.DataLoss Bytes do not have their digest; that file is not written.
   * @throws HoldfastException.LocalFile A file cannot be written.
   */
  void fetch(List<ArtifactLocation> locations) {
    boolean isFile =
        locations.size() == 1 && locations.get(0).getKind() == EntryKind.ENTRY_KIND_FILE;
    Path folder = isFile ? target.getParent() : target;
    try {
      Files.createDirectories(folder);
    } catch (IOException error) {
      throw LocalFiles.cannotWrite(folder, error);
    }
    if (!isFile) {
      names = new LocalNames(target);
    }
    for (ArtifactLocation location : locations) {
      new Part(location, folder).fetch();
    }
  }

  private final class Part {
    private final ArtifactLocation location;
    private final Set<Path> made;
    private final List<Entry> large = new ArrayList<>();
    private final List<ByteString> pieces = new ArrayList<>();
    private Entry current;
    private long missing;
    private String position = "";

    Part(ArtifactLocation location, Path folder) {
      this.location = location;
      this.made = new HashSet<>(Set.of(folder));
    }

    void fetch() {
      if (!location.getPrefix().isEmpty()) {
        LocalFiles.makeDirectory(names.place(location.getPrefix()), made);
      }
      connection.run(this::readSmall, () -> position);
      large.forEach(this::fetchLarge);
    }

    private Void readSmall() {
      ReadFilesRequest request =
          ReadFilesRequest.newBuilder()
              .setOwner(location.getOwner())
              .setSequence(location.getSequence())
              .setPath(location.getPath())
              .setMaxDataSize(MAX_BATCHED)
              .setStartAfter(position)
              .build();
      current = null;
      missing = 0;
      try (StreamCall<ReadFilesRequest, ReadFilesResponse> call =
          connection.stream(ArtifactServiceGrpc.getReadFilesMethod(), AHEAD)) {
        call.send(request);
        call.halfClose();
        for (ReadFilesResponse message = call.next(); message != null; message = call.next()) {
          message.getPartsList().forEach(this::take);
        }
      }
      if (missing > 0) {
        throw FileReading.damaged(current.getPath());
      }
      return null;
    }

    private void take(FilePart part) {
      if (part.hasEntry()) {
        if (missing > 0) {
          throw FileReading.damaged(current.getPath());
        }
        current = part.getEntry();
        missing = current.getSize() <= MAX_BATCHED ? current.getSize() : 0;
        pieces.clear();
      }
      if (current == null || part.getData().size() > missing) {
        throw FileReading.damaged(current == null ? location.getPath() : current.getPath());
      }
      missing -= part.getData().size();
      pieces.add(part.getData());
      if (missing == 0) {
        place(current, pieces.size() == 1 ? pieces.get(0) : ByteString.copyFrom(pieces));
        position = current.getPath();
      }
    }

    private void place(Entry entry, ByteString data) {
      hasBegun |= names != null;
      Path path = pathOf(entry);
      if (entry.getKind() == EntryKind.ENTRY_KIND_DIRECTORY) {
        LocalFiles.makeDirectory(path, made);
        return;
      }
      LocalFiles.makeDirectory(path.getParent(), made);
      if (entry.getSize() > MAX_BATCHED) {
        large.add(entry);
        return;
      }
      MessageDigest digest = Digests.sha256();
      FileReading.update(digest, data);
      if (!MessageDigest.isEqual(digest.digest(), entry.getDigest().toByteArray())) {
        throw FileReading.damaged(entry.getPath());
      }
      LocalFiles.write(path, data, entry.getExecutable());
    }

    private void fetchLarge(Entry entry) {
      ArtifactLocation file =
          location.toBuilder().setPath(entry.getPath()).setKind(entry.getKind()).build();
      try (LocalFiles.PartialFile partial = new LocalFiles.PartialFile(pathOf(entry))) {
        Entry read = new FileReading(connection, file, partial::write, 0, 0).runWhole();
        if (!read.getDigest().equals(entry.getDigest())) {
          throw FileReading.damaged(entry.getPath());
        }
        partial.finish(entry.getExecutable());
      }
    }

    private Path pathOf(Entry entry) {
      String below = Snapshots.below(entry.getPath(), location);
      return names == null ? target : names.place(ArtifactPaths.join(location.getPrefix(), below));
    }
  }
}
