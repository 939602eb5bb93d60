package holdfast;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ArtifactsTest {
  private static final int BLOCK = 8 << 20;

  @TempDir static Path data;
  @TempDir Path folder;
  private static TestServer server;
  private static Client client;
  private static String experiment;

  @BeforeAll
  static void start() throws IOException {
    server = TestServer.start(data);
    client = Client.connect(options(server.uri()));
    experiment = client.createExperiment("artifacts");
  }

  @AfterAll
  static void stop() {
    if (server != null) {
      client.close();
      server.close();
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 65_536, 65_537, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 5})
  void aFileOfAnySizeComesBackAsItWas(int size) throws IOException {
    Path file = file("file.bin", size);
    Run run = client.createRun(experiment);
    run.logArtifact(file, "some/where");
    Path back = client.download(run.uri() + "/some/where/file.bin", folder.resolve("back"));
    assertEquals(folder.resolve("back/file.bin"), back);
    assertEquals(-1, Files.mismatch(file, back));
    ArtifactEntry entry = client.listArtifacts(run.uri() + "/some/where/file.bin", false).get(0);
    assertEquals(Content.fileDigest(file), entry.digest());
  }

  @Test
  void aDirectoryKeepsItsEmptyDirectoriesAndExecutableBits() throws IOException {
    Path tree = Files.createDirectories(folder.resolve("tree"));
    Files.createDirectories(tree.resolve("empty/inner"));
    Files.writeString(tree.resolve("run.sh"), "echo");
    Files.setPosixFilePermissions(
        tree.resolve("run.sh"), PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.createSymbolicLink(tree.resolve("link"), Path.of("run.sh"));
    Files.createDirectories(tree.resolve("ä"));
    Files.write(tree.resolve("ä/large"), bytes(2 * BLOCK + 1));
    Run run = client.createRun(experiment);
    run.logArtifact(tree);
    List<String> paths = run.listArtifacts(true).stream().map(ArtifactEntry::path).toList();
    assertEquals(
        List.of(
            "tree",
            "tree/empty",
            "tree/empty/inner",
            "tree/link",
            "tree/run.sh",
            "tree/ä",
            "tree/ä/large"),
        paths);
    Path back = client.download(run.uri(), folder.resolve("back"));
    assertEquals(folder.resolve("back"), back);
    assertTrue(Files.isDirectory(back.resolve("tree/empty/inner")));
    assertTrue(Files.isExecutable(back.resolve("tree/run.sh")));
    assertTrue(Files.isExecutable(back.resolve("tree/link")));
    assertFalse(Files.isExecutable(back.resolve("tree/ä/large")));
    assertEquals(-1, Files.mismatch(tree.resolve("ä/large"), back.resolve("tree/ä/large")));
    try (Stream<Path> left = Files.walk(back)) {
      assertTrue(left.noneMatch(path -> path.toString().endsWith(".part")));
    }
  }

  @Test
  void manySmallFilesGoInOneCommitAndAreSentOnce() throws IOException {
    Path tree = Files.createDirectories(folder.resolve("many"));
    for (int number = 0; number < 2_000; number++) {
      Files.writeString(tree.resolve("file-" + number), "content of " + number);
    }
    Run run = client.createRun(experiment);
    run.logArtifacts(tree, "");
    run.logArtifacts(tree, "again");
    assertEquals(4_001, run.listArtifacts(true).size());
    client.download(run.uri() + "/again", folder.resolve("back"));
    for (int number = 0; number < 2_000; number += 97) {
      assertEquals(
          "content of " + number, Files.readString(folder.resolve("back/again/file-" + number)));
    }
  }

  @Test
  void anInterruptedUploadGoesOnWithWhatIsMissing() throws IOException {
    Path file = file("large.bin", 6 * BLOCK);
    try (TestProxy proxy = new TestProxy(server.port());
        Client through = Client.connect(options(proxy.uri()))) {
      Run run = through.createRun(experiment);
      proxy.cutUpAfter(3L * BLOCK);
      run.logArtifact(file);
      assertEquals(1, proxy.cuts());
      assertEquals(Content.fileDigest(file), run.listArtifacts(false).get(0).digest());
      long before = proxy.bytesUp();
      run.logArtifact(file, "again");
      assertTrue(proxy.bytesUp() - before < 100_000, "what the server has is not sent again");
    }
  }

  @Test
  void anInterruptedDownloadGoesOnAtTheBlockReached() throws IOException {
    Path file = file("large.bin", 6 * BLOCK);
    Run run = client.createRun(experiment);
    run.logArtifact(file);
    try (TestProxy proxy = new TestProxy(server.port());
        Client through = Client.connect(options(proxy.uri()))) {
      through.capabilities();
      proxy.cutDownAfter(3L * BLOCK);
      Path back = through.download(run.uri() + "/large.bin", folder.resolve("back"));
      assertEquals(1, proxy.cuts());
      assertEquals(-1, Files.mismatch(file, back));
    }
  }

  @Test
  void aFlippedBitIsDataLossAndNothingIsWritten() throws IOException {
    Path file = file("large.bin", 2 * BLOCK);
    Run run = client.createRun(experiment);
    run.logArtifact(file);
    Path back = Files.createDirectories(folder.resolve("back"));
    try (TestProxy proxy = new TestProxy(server.port());
        Client through = Client.connect(options(proxy.uri()))) {
      through.capabilities();
      proxy.flipDownAfter(BLOCK / 2);
      assertThrows(
          HoldfastException.DataLoss.class, () -> through.download(run.uri() + "/large.bin", back));
    }
    try (Stream<Path> left = Files.list(back)) {
      assertEquals(0, left.count());
    }
  }

  @Test
  void aRangeIsReadAcrossBlocks() throws IOException {
    Path file = file("large.bin", 2 * BLOCK + 100);
    Run run = client.createRun(experiment);
    run.logArtifact(file);
    byte[] all = Files.readAllBytes(file);
    String uri = run.uri() + "/large.bin";
    assertArrayEquals(
        Arrays.copyOfRange(all, BLOCK - 3, BLOCK + 4), client.readRange(uri, BLOCK - 3, 7));
    assertArrayEquals(
        Arrays.copyOfRange(all, 2 * BLOCK + 90, 2 * BLOCK + 100),
        client.readRange(uri, 2 * BLOCK + 90, 50));
    assertEquals(0, client.readRange(uri, 3 * BLOCK, 7).length);
    try (ArtifactReader reader = client.open(uri)) {
      ByteBuffer buffer = ByteBuffer.allocate(10);
      assertEquals(3, reader.position(BLOCK - 3).read(buffer));
      assertEquals(7, reader.read(buffer));
      assertArrayEquals(Arrays.copyOfRange(all, BLOCK - 3, BLOCK + 7), buffer.array());
      assertEquals(-1, reader.position(reader.size()).read(buffer.clear()));
    }
  }

  @Test
  void whatCannotBeLoggedIsSaid() throws IOException {
    Run run = client.createRun(experiment);
    assertThrows(
        HoldfastException.LocalFile.class, () -> run.logArtifact(folder.resolve("absent")));
    assertThrows(HoldfastException.LocalFile.class, () -> run.logArtifacts(file("f", 1), ""));
    assertThrows(
        HoldfastException.InvalidArgument.class, () -> run.logArtifact(file("g", 1), "../x"));
    Path tree = Files.createDirectories(folder.resolve("tree"));
    Files.createSymbolicLink(tree.resolve("out"), folder);
    assertThrows(HoldfastException.LocalFile.class, () -> run.logArtifact(tree));
    assertEquals(List.of(), run.listArtifacts(true));
  }

  @Test
  void aSymbolicLinkInTheDestinationIsNotFollowed() throws IOException {
    Path tree = Files.createDirectories(folder.resolve("tree/sub"));
    Files.writeString(tree.resolve("file"), "x");
    Run run = client.createRun(experiment);
    run.logArtifact(folder.resolve("tree"));
    Path outside = Files.createDirectories(folder.resolve("outside"));
    Path back = Files.createDirectories(folder.resolve("back/tree"));
    Files.createSymbolicLink(back.resolve("sub"), outside);
    assertThrows(
        HoldfastException.LocalFile.class,
        () -> client.download(run.uri(), folder.resolve("back")));
    try (Stream<Path> written = Files.list(outside)) {
      assertEquals(0, written.count());
    }
  }

  static ConnectOptions options(String uri) {
    return ConnectOptions.from(java.util.Map.of()).withUri(uri);
  }

  private Path file(String name, int size) throws IOException {
    return Files.write(folder.resolve(name), bytes(size));
  }

  private static byte[] bytes(int size) {
    byte[] bytes = new byte[size];
    new Random(size).nextBytes(bytes);
    return bytes;
  }
}
