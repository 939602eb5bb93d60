package holdfast;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Assumptions;

/** A real server, started as a process of its own and ended with the test. */
final class TestServer implements AutoCloseable {
  private static final Pattern SERVING = Pattern.compile(" serving on .*?(127\\.0\\.0\\.1:\\d+)");

  private final Process process;
  private final String address;
  private final Thread reader;

  private TestServer(Process process, String address, Thread reader) {
    this.process = process;
    this.address = address;
    this.reader = reader;
  }

  /** Start one, or pass over the test, saying why, where there is no server to start. */
  static TestServer start(Path data, String... arguments) throws IOException {
    List<String> command = new ArrayList<>(List.of(python().toString(), "-m", "holdfast_server"));
    command.addAll(List.of("--port", "0", "--data-dir", data.toString()));
    command.addAll(List.of(arguments));
    Process process = processOf(command).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8));
    StringBuilder said = new StringBuilder();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      said.append(line).append('\n');
      Matcher serving = SERVING.matcher(line);
      if (serving.find()) {
        Thread reader = new Thread(() -> drain(lines));
        reader.setDaemon(true);
        reader.start();
        return new TestServer(process, serving.group(1), reader);
      }
    }
    throw new IOException("the server did not start: " + said);
  }

  /** Run the command line of Holdfast; returns what it prints. */
  static String run(String... arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(python().resolveSibling("holdfast").toString()));
    command.addAll(List.of(arguments));
    Process process = processOf(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (process.waitFor() != 0) {
      throw new IOException(String.join(" ", command) + " failed: " + printed);
    }
    return printed.strip();
  }

  /** Such as {@code 127.0.0.1:40001}. */
  String address() {
    return address;
  }

  int port() {
    return Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
  }

  String uri() {
    return "holdfast://" + address;
  }

  @Override
  public void close() {
    process.destroy();
    try {
      if (!process.waitFor(30, TimeUnit.SECONDS)) {
        process.destroyForcibly().waitFor();
      }
      reader.join(10_000);
    } catch (InterruptedException interrupted) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }

  private static ProcessBuilder processOf(List<String> command) {
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().keySet().removeIf(name -> name.startsWith("HOLDFAST_"));
    return builder;
  }

  private static Path python() {
    Path python =
        Optional.ofNullable(System.getenv("HOLDFAST_SERVER_PYTHON"))
            .map(Path::of)
            .orElse(Path.of("../../../.venv/bin/python").toAbsolutePath().normalize());
    Assumptions.assumeTrue(
        Files.isExecutable(python),
        "no server to test against: `make venv` at the root of the repository, or set HOLDFAST_SERVER_PYTHON");
    return python;
  }

  /** Read what the server says later: a full pipe would stop it. */
  private static void drain(BufferedReader lines) {
    try {
      lines.lines().forEach(line -> {});
    } catch (UncheckedIOException closed) {
      return;
    }
  }
}
