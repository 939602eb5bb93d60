package holdfast;

/**
 * A file or directory among the artifacts of a run or model.
 *
 * @param path From the root of the run's or model's artifacts, separated by slashes.
 * @param directory Whether it is a directory.
 * @param executable Whether its owner may execute the file.
 * @param size Bytes; 0 for directories.
 * @param digest 64 hex digits as docs/protocol.md defines them; empty for directories.
 */
public record ArtifactEntry(
    String path, boolean directory, boolean executable, long size, String digest) {}
