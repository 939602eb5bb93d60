package holdfast;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The test vectors of docs/protocol.md. */
class DigestsTest {
  private static final String EMPTY =
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  private static final String HELLO =
      "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

  @TempDir Path folder;

  @Test
  void theEmptyFileHasTheDigestOfTheEmptyString() throws IOException {
    assertEquals(EMPTY, Content.fileDigest(Files.createFile(folder.resolve("empty"))));
  }

  @Test
  void aSmallFileHasTheDigestThatSha256sumPrints() throws IOException {
    assertEquals(HELLO, Content.fileDigest(Files.writeString(folder.resolve("hello"), "hello")));
  }

  @Test
  void aFileOfExactlyOneBlockHasThatBlocksDigest() throws IOException {
    assertEquals(
        "2daeb1f36095b44b318410b3f4e8b5d989dcc7bb023d1426c492dab0a3053e74",
        Content.fileDigest(zeros(8_388_608)));
  }

  @Test
  void aFileOfMoreThanABlockHasTheDigestOfItsBlocksDigests() throws IOException {
    assertEquals(
        "76c01c30902b42cc7931a49ac5fe9e60e69826c119ca2d49c09a5d73b1d6b0a8",
        Content.fileDigest(zeros(8_388_609)));
  }

  @Test
  void aTreeHasTheDigestOfItsEntriesInTheOrderOfTheirPaths() {
    List<ArtifactEntry> entries =
        List.of(
            new ArtifactEntry("run", false, true, 0, EMPTY),
            new ArtifactEntry("d/hello", false, false, 5, HELLO),
            new ArtifactEntry("d", true, false, 0, ""));
    assertEquals(
        "c1b092981e9e9e50f7005d07367b439e320b5c0c9f3390f067d00738611df3ec",
        Content.treeDigest(entries));
  }

  private Path zeros(long size) throws IOException {
    Path file = folder.resolve("zeros");
    try (RandomAccessFile zeros = new RandomAccessFile(file.toFile(), "rw")) {
      zeros.setLength(size);
    }
    return file;
  }
}
