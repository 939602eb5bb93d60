package holdfast;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import holdfast.v1.EventSubject;
import holdfast.v1.GetServerInfoRequest;
import holdfast.v1.Metric;
import holdfast.v1.RunStatus;
import holdfast.v1.ServerServiceGrpc;
import io.grpc.Status;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunsTest {
  @TempDir static Path data;
  @TempDir Path folder;
  private static TestServer server;
  private static Client client;

  @BeforeAll
  static void start() throws IOException {
    server = TestServer.start(data);
    client = Client.connect(ArtifactsTest.options(server.uri()));
  }

  @AfterAll
  static void stop() {
    if (server != null) {
      client.close();
      server.close();
    }
  }

  @Test
  void aRunKeepsWhatItLogs() {
    Run run = client.createRun(client.experiment("kept").getExperimentId(), "first");
    run.logParams(Map.of("lr", "0.1", "depth", "3"));
    run.setTag("team", "b");
    run.logMetric("loss", 0.5, 1);
    run.logMetric("loss", Double.NaN, 2);
    run.finish();
    holdfast.v1.Run read = run.read();
    assertEquals("first", read.getRunName());
    assertEquals(RunStatus.RUN_STATUS_FINISHED, read.getStatus());
    assertEquals(
        List.of("depth", "lr"), read.getParamsList().stream().map(p -> p.getKey()).toList());
    assertTrue(Double.isNaN(read.getMetrics(0).getValue()));
    assertEquals(2, run.metricHistory("loss").size());
  }

  @Test
  void moreThanOneRequestTakesIsCutIntoSeveral() {
    Run run = client.createRun(client.experiment("many").getExperimentId());
    List<Metric> points =
        IntStream.range(0, 2_500)
            .mapToObj(
                step -> Metric.newBuilder().setKey("loss").setValue(step).setStep(step).build())
            .toList();
    run.logMetrics(points);
    Map<String, String> params = new java.util.HashMap<>();
    IntStream.range(0, 250).forEach(number -> params.put("p" + number, "x".repeat(5_000)));
    run.logParams(params);
    assertEquals(2_500, run.metricHistory("loss").size());
    assertEquals(250, run.read().getParamsCount());
  }

  @Test
  void anExperimentIsCreatedOnce() {
    assertEquals(
        client.experiment("one").getExperimentId(), client.experiment("one").getExperimentId());
    HoldfastException taken =
        assertThrows(HoldfastException.AlreadyExists.class, () -> client.createExperiment("one"));
    assertEquals("ALREADY_EXISTS", taken.reason());
    assertFalse(taken.requestId().isEmpty());
  }

  @Test
  void anUnknownRunIsNotFound() {
    HoldfastException error =
        assertThrows(HoldfastException.NotFound.class, () -> client.run("0".repeat(32)).read());
    assertEquals("RUN_NOT_FOUND", error.reason());
    assertEquals(Status.Code.NOT_FOUND, error.code());
    assertTrue(error.getMessage().contains(error.requestId()));
  }

  @Test
  void aModelIsRegisteredPromotedAndSeenThroughAWatch() throws IOException {
    Run run = client.createRun(client.experiment("models").getExperimentId());
    Path model = Files.createDirectories(folder.resolve("model"));
    assertThrows(HoldfastException.LocalFile.class, () -> run.logModel("ocr", model));
    Files.writeString(model.resolve("MLmodel"), "flavors: {}\n");
    String id = run.logModel("ocr", model);
    assertEquals(id, run.read().getModelOutputs(0).getModelId());
    long first = client.registerModel("ocr", "models:/" + id).getVersion();
    long second = client.registerModel("ocr", run.uri() + "/ocr").getVersion();
    assertEquals(List.of(1L, 2L), List.of(first, second));
    try (ModelWatch watch = client.watchModel("ocr")) {
      assertTrue(watch.next().state().isPresent());
      client.setAlias("ocr", "prod", first, 0);
      HoldfastException lost =
          assertThrows(
              HoldfastException.Conflict.class, () -> client.setAlias("ocr", "prod", second, 0));
      assertInstanceOf(HoldfastException.FailedPrecondition.class, lost);
      assertEquals("1", lost.metadata().get("version"));
      client.setAlias("ocr", "prod", second, first);
      client.deleteAlias("ocr", "prod");
      List<Long> versions = new ArrayList<>();
      while (versions.size() < 3) {
        watch
            .next()
            .change()
            .filter(change -> change.getSubject() == EventSubject.EVENT_SUBJECT_ALIAS)
            .ifPresent(change -> versions.add(change.getVersion()));
      }
      assertEquals(List.of(first, second, 0L), versions);
    }
    assertThrows(
        HoldfastException.NotFound.class, () -> client.getModelVersionByAlias("ocr", "prod"));
  }

  @Test
  void aWatchGoesOnWhenTheConnectionBreaks() throws IOException {
    Run run = client.createRun(client.experiment("watched").getExperimentId());
    Path model = Files.createDirectories(folder.resolve("model"));
    Files.writeString(model.resolve("MLmodel"), "flavors: {}\n");
    client.registerModel("watched", "models:/" + run.logModel("watched", model));
    try (TestProxy proxy = new TestProxy(server.port());
        Client through = Client.connect(ArtifactsTest.options(proxy.uri()));
        ModelWatch watch = through.watchModel("watched")) {
      watch.next();
      proxy.cutDownAfter(1);
      client.setAlias("watched", "a", 1);
      client.setAlias("watched", "b", 1);
      List<String> aliases = new ArrayList<>();
      while (aliases.size() < 2) {
        watch
            .next()
            .change()
            .filter(change -> change.getSubject() == EventSubject.EVENT_SUBJECT_ALIAS)
            .ifPresent(change -> aliases.add(change.getAlias()));
      }
      assertEquals(List.of("a", "b"), aliases);
      assertEquals(1, proxy.cuts());
    }
  }

  @Test
  void theWatchOfAnUnknownModelIsNotFound() {
    try (ModelWatch watch = client.watchModel("absent")) {
      HoldfastException error = assertThrows(HoldfastException.NotFound.class, watch::hasNext);
      assertEquals("REGISTERED_MODEL_NOT_FOUND", error.reason());
    }
  }

  @Test
  void aServerThatIsNotThereIsUnavailableWhenTheWindowIsOver() throws IOException {
    int port;
    try (TestProxy proxy = new TestProxy(1)) {
      port = Integer.parseInt(proxy.uri().replaceAll(".*:", ""));
    }
    RetryPolicy brief =
        new RetryPolicy(
            Duration.ofSeconds(1),
            Duration.ofMillis(300),
            Duration.ofMillis(10),
            Duration.ofMillis(50));
    ConnectOptions options = ArtifactsTest.options("holdfast://127.0.0.1:" + port).withRetry(brief);
    try (Client nobody = Client.connect(options)) {
      HoldfastException error =
          assertThrows(HoldfastException.Unavailable.class, nobody::capabilities);
      assertTrue(error.getMessage().contains("HOLDFAST_URI"), error.getMessage());
    }
  }

  @Test
  void aClosedClientSaysSo() {
    Client closed = Client.connect(ArtifactsTest.options(server.uri()));
    closed.close();
    assertThrows(HoldfastException.FailedPrecondition.class, closed::capabilities);
  }

  @Test
  void generatedStubsReachWhatTheClientDoesNotOffer() {
    ServerServiceGrpc.ServerServiceBlockingStub stub =
        ServerServiceGrpc.newBlockingStub(client.channel());
    assertEquals(
        client.capabilities().getServerVersion(),
        stub.getServerInfo(GetServerInfoRequest.getDefaultInstance()).getServerVersion());
  }
}
