package holdfast;

import com.google.protobuf.ByteString;
import holdfast.v1.ArtifactLocation;
import holdfast.v1.ArtifactServiceGrpc;
import holdfast.v1.Entry;
import holdfast.v1.EntryKind;
import holdfast.v1.ListFileBlocksRequest;
import holdfast.v1.ListFileBlocksResponse;
import holdfast.v1.ListFilesRequest;
import holdfast.v1.ListFilesResponse;
import holdfast.v1.ResolveArtifactRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.Function;

/** Finds and lists what URIs of artifacts name. */
final class Snapshots {
  private static final int PAGE_SIZE = 10_000;

  /** How often a URI is resolved when what it named was replaced, and collected, meanwhile. */
  private static final int RESOLVED = 3;

  private final Connection connection;

  Snapshots(Connection connection) {
    this.connection = connection;
  }

  /**
   * What {@code read} makes of the trees that together are what {@code uri} names.
   *
   * <p>A snapshot that was replaced and collected between the two is no failure of a caller who
   * asked for what is there: it is resolved again, if {@code beginAgain} says so.
   */
  <T> T newest(String uri, Function<List<ArtifactLocation>, T> read, BooleanSupplier beginAgain) {
    ResolveArtifactRequest request = ResolveArtifactRequest.newBuilder().setUri(uri).build();
    for (int tries = 1; ; tries++) {
      try {
        return read.apply(
            connection
                .call(ArtifactServiceGrpc.getResolveArtifactMethod(), request)
                .getLocationsList());
      } catch (HoldfastException.FailedPrecondition failure) {
        boolean isExpired = failure.reason().equals("SNAPSHOT_EXPIRED");
        if (!isExpired || tries == RESOLVED || !beginAgain.getAsBoolean()) {
          throw failure;
        }
      }
    }
  }

  /** The same of the one file that {@code uri} names. */
  <T> T newestFile(String uri, Function<ArtifactLocation, T> read) {
    return newest(
        uri,
        locations -> {
          if (locations.size() != 1 || locations.get(0).getKind() != EntryKind.ENTRY_KIND_FILE) {
            throw HoldfastException.of(
                Failure.of(io.grpc.Status.Code.NOT_FOUND, uri + " is a directory, not a file.")
                    .withReason("FILE_NOT_FOUND"));
          }
          return read.apply(locations.get(0));
        },
        () -> true);
  }

  /**
   * One level, or all, of what {@code uri} names, in the order of the paths; a file gives itself.
   * Paths are those below the run or model that the URI begins with.
   */
  List<ArtifactEntry> list(String uri, boolean recursive) {
    String path = ArtifactPaths.split(uri).path();
    return newest(uri, locations -> list(locations, path, recursive), () -> true);
  }

  /** A file's entry and the digests of all its blocks. */
  Blocks blocksOf(ArtifactLocation file) {
    List<ByteString> digests = new ArrayList<>();
    ListFileBlocksRequest.Builder request =
        ListFileBlocksRequest.newBuilder()
            .setOwner(file.getOwner())
            .setSequence(file.getSequence())
            .setPath(file.getPath());
    while (true) {
      ListFileBlocksResponse page =
          connection.call(ArtifactServiceGrpc.getListFileBlocksMethod(), request.build());
      digests.addAll(page.getBlockDigestsList());
      Entry entry = page.getEntry();
      if (page.getNextPageToken().isEmpty()
          || digests.size() > Digests.blockCount(entry.getSize())) {
        FileReading.checkWhole(file.getPath(), entry.getSize(), entry.getDigest(), digests);
        return new Blocks(entry, digests);
      }
      request.setPageToken(page.getNextPageToken());
    }
  }

  /**
   * What a file is made of.
   *
   * @param entry The file.
   * @param digests Of its blocks; together they have its digest.
   */
  record Blocks(Entry entry, List<ByteString> digests) {}

  /** The path relative to what the location names; empty for the file that it names. */
  static String below(String path, ArtifactLocation location) {
    String base = location.getPath();
    return base.isEmpty()
        ? path
        : path.length() > base.length() ? path.substring(base.length() + 1) : "";
  }

  private List<ArtifactEntry> list(
      List<ArtifactLocation> locations, String path, boolean recursive) {
    SortedMap<String, ArtifactEntry> found = new TreeMap<>(ArtifactPaths.ORDER);
    for (ArtifactLocation location : locations) {
      String prefix = location.getPrefix();
      if (!prefix.isEmpty()) {
        String above = ArtifactPaths.join(path, prefix);
        found.put(above, new ArtifactEntry(above, true, false, 0, ""));
        if (!recursive) {
          continue;
        }
      }
      ListFilesRequest.Builder request =
          ListFilesRequest.newBuilder()
              .setOwner(location.getOwner())
              .setSequence(location.getSequence())
              .setPath(location.getPath())
              .setRecursive(recursive)
              .setPageSize(PAGE_SIZE);
      String token;
      do {
        ListFilesResponse page =
            connection.call(ArtifactServiceGrpc.getListFilesMethod(), request.build());
        for (Entry entry : page.getEntriesList()) {
          String inner = ArtifactPaths.join(prefix, below(entry.getPath(), location));
          String whole = ArtifactPaths.join(path, inner);
          found.put(whole, entryOf(entry, whole));
        }
        token = page.getNextPageToken();
        request.setPageToken(token);
      } while (!token.isEmpty());
    }
    return List.copyOf(found.values());
  }

  private static ArtifactEntry entryOf(Entry entry, String path) {
    boolean isDirectory = entry.getKind() == EntryKind.ENTRY_KIND_DIRECTORY;
    return new ArtifactEntry(
        path,
        isDirectory,
        entry.getExecutable(),
        entry.getSize(),
        isDirectory ? "" : Digests.hex(entry.getDigest()));
  }
}
