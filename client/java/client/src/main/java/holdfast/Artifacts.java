package holdfast;

import holdfast.v1.Tree;
import holdfast.v1.TreeOwner;
import io.grpc.Status;
import java.nio.file.Path;
import java.util.List;

/** The artifact calls that the rest of the client uses. */
final class Artifacts {
  private final Connection connection;
  private final Snapshots snapshots;
  private final Uploader uploader;

  Artifacts(Connection connection) {
    this.connection = connection;
    this.snapshots = new Snapshots(connection);
    this.uploader = new Uploader(connection);
  }

  Tree log(TreeOwner owner, Path local, String artifactPath) {
    return uploader.upload(owner, Sources.find(local, artifactPath));
  }

  Tree logContents(TreeOwner owner, Path directory, String artifactPath) {
    return uploader.upload(owner, Sources.findContents(directory, artifactPath));
  }

  List<ArtifactEntry> list(String uri, boolean recursive) {
    return snapshots.list(uri, recursive);
  }

  Path download(String uri, Path destination) {
    String path = ArtifactPaths.split(uri).path();
    String name = path.substring(path.lastIndexOf('/') + 1);
    Path target = path.isEmpty() ? destination : LocalNames.resolve(destination, name);
    Download[] newest = {new Download(connection, target)};
    snapshots.newest(
        uri,
        locations -> {
          newest[0].fetch(locations);
          return null;
        },
        () -> {
          boolean mayBegin = !newest[0].hasBegun();
          newest[0] = new Download(connection, target);
          return mayBegin;
        });
    return target;
  }

  ArtifactReader open(String uri) {
    return snapshots.newestFile(
        uri, location -> new ArtifactReader(connection, location, snapshots.blocksOf(location)));
  }

  byte[] readRange(String uri, long offset, int length) {
    if (offset < 0 || length < 0) {
      throw new HoldfastException.InvalidArgument(
          Failure.of(
              Status.Code.INVALID_ARGUMENT,
              "A range begins at 0 or later and has no less than no bytes."));
    }
    return snapshots.newestFile(
        uri,
        location -> {
          try (ArtifactReader reader =
              new ArtifactReader(connection, location, snapshots.blocksOf(location))) {
            return reader.readRange(offset, length);
          }
        });
  }
}
