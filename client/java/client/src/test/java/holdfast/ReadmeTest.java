package holdfast;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the README shows is what the examples hold, and they run. */
class ReadmeTest {
  private static final Path EXAMPLES = Path.of("../examples");

  @TempDir Path folder;

  @Test
  void theReadmeShowsTheExamplesAsTheyAre() throws IOException {
    String readme = Files.readString(Path.of("../README.md"));
    Matcher block =
        Pattern.compile("```java\n// (\\w+\\.java)\n(.*?)```", Pattern.DOTALL).matcher(readme);
    List<String> shown = new ArrayList<>();
    while (block.find()) {
      shown.add(block.group(1));
      assertEquals(Files.readString(EXAMPLES.resolve(block.group(1))), block.group(2));
    }
    assertEquals(List.of("LogArtifact.java", "Promote.java"), shown);
  }

  @Test
  void theFirstExampleLogsAnArtifactAndReadsItBack() throws IOException, InterruptedException {
    try (TestServer server = TestServer.start(folder.resolve("data"))) {
      String printed = run("LogArtifact.java", server.uri());
      assertTrue(printed.matches("(?s)notes/hello.txt 6 bytes\\R.*notes/hello.txt\\R"), printed);
    }
  }

  @Test
  void theSecondExamplePromotesAModelAndReactsToErrors() throws IOException, InterruptedException {
    try (TestServer server = TestServer.start(folder.resolve("data"))) {
      String printed = run("Promote.java", server.uri());
      assertTrue(
          printed.startsWith("prod is version 1\nsomebody was faster: version 1\n"), printed);
    }
  }

  /** Run an example as a reader does: the source as it is, on this test's class path. */
  private String run(String example, String uri) throws IOException, InterruptedException {
    String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    ProcessBuilder builder =
        new ProcessBuilder(
                java,
                "-cp",
                System.getProperty("java.class.path"),
                EXAMPLES.resolve(example).toAbsolutePath().toString())
            .directory(folder.toFile())
            .redirectErrorStream(true);
    builder.environment().keySet().removeIf(name -> name.startsWith("HOLDFAST_"));
    builder.environment().put("HOLDFAST_URI", uri);
    Process process = builder.start();
    String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), printed);
    return printed;
  }
}
