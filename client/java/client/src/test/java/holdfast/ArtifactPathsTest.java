package holdfast;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ArtifactPathsTest {
  @ParameterizedTest
  @ValueSource(strings = {"a", "a/b c.txt", ".hidden", "ä/日本/🙂", "a..b", "x=1,y=2(3)@4+5"})
  void ordinaryPathsAreAllowed(String path) {
    assertEquals("", ArtifactPaths.brokenRule(path));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a\\b",
        "C:/a",
        "c:a",
        "file:/a",
        "https://x",
        "a%2fb",
        "a%2Eb",
        "a%5cb",
        "a\u0000b",
        "a\nb",
        "a\u007fb",
        "a\u0085b",
        "a\u202eb",
        "a\u061cb",
        "a\uff0fb",
        " a",
        "a /b",
        "a.",
        "a/b."
      })
  void pathsThatCouldLeadElsewhereAreRefused(String path) {
    HoldfastException error =
        assertThrows(HoldfastException.InvalidArgument.class, () -> ArtifactPaths.check(path));
    assertEquals("INVALID_PATH", error.reason());
  }

  @Test
  void aLoneSurrogateIsRefused() {
    assertThrows(HoldfastException.InvalidArgument.class, () -> ArtifactPaths.check("a\ud800b"));
  }

  @Test
  void lengthsAreThoseOfUtf8Bytes() {
    assertEquals("", ArtifactPaths.brokenRule("ä".repeat(127)));
    assertThrows(HoldfastException.class, () -> ArtifactPaths.check("ä".repeat(128)));
    assertEquals("", ArtifactPaths.brokenRule("a/".repeat(31) + "a"));
    assertThrows(HoldfastException.class, () -> ArtifactPaths.check("a/".repeat(32) + "a"));
  }

  @Test
  void pathsAreOrderedByTheirUtf8Bytes() {
    // UTF-16, by which Java compares, has these two the other way round.
    List<String> paths = new ArrayList<>(List.of("🙂", "\uffee", "a/b", "a", "B"));
    paths.sort(ArtifactPaths.ORDER);
    assertEquals(List.of("B", "a", "a/b", "\uffee", "🙂"), paths);
  }

  @ParameterizedTest
  @CsvSource({
    "runs:/x, runs:/x, ''",
    "runs:/x/a/b, runs:/x, a/b",
    "models:/ocr/2/a, models:/ocr/2, a",
    "models:/ocr@prod/a/b, models:/ocr@prod, a/b",
    "models:/m-0123456789abcdef0123456789abcdef/a, models:/m-0123456789abcdef0123456789abcdef, a",
    "models:/ocr/latest/, models:/ocr/latest, ''"
  })
  void anUriBeginsWithItsRunOrModel(String uri, String root, String path) {
    assertEquals(new ArtifactPaths.Split(root, path), ArtifactPaths.split(uri));
  }
}
