package holdfast.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Timestamp;
import holdfast.ArtifactEntry;
import holdfast.Client;
import holdfast.ConnectOptions;
import holdfast.Content;
import holdfast.ModelEvent;
import holdfast.ModelWatch;
import holdfast.Run;
import holdfast.v1.EventSubject;
import holdfast.v1.Metric;
import holdfast.v1.RunStatus;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;

/** The operations of the suite, each by the client's own calls. */
final class Operations implements AutoCloseable {
  private Client client;
  private ModelWatch watch;

  JsonObject run(Arguments arguments) {
    String op = arguments.text("op");
    return switch (op) {
      case "connect" -> connect(arguments);
      case "file_digest" -> Answers.of("digest", Content.fileDigest(arguments.path("path")));
      case "tree_digest" -> Answers.of("digest", Content.treeDigest(entries(arguments)));
      case "create_experiment" ->
          Answers.of("experiment_id", client.createExperiment(arguments.text("name")));
      case "create_run" -> Answers.of("run_id", createRun(arguments).id());
      case "get_run" -> Answers.run(runOf(arguments).read());
      case "metric_history" ->
          Answers.points(runOf(arguments).metricHistory(arguments.text("key")));
      case "list_artifacts" ->
          Answers.entries(client.listArtifacts(arguments.text("uri"), arguments.flag("recursive")));
      case "download" ->
          Answers.of(
              "path",
              client.download(arguments.text("uri"), arguments.path("destination")).toString());
      case "read_range" -> readRange(arguments);
      case "log_model" -> logModel(arguments);
      case "register_model" ->
          version(
              client
                  .registerModel(arguments.text("name"), arguments.text("model_uri"))
                  .getVersion());
      case "get_alias" ->
          version(
              client
                  .getModelVersionByAlias(arguments.text("name"), arguments.text("alias"))
                  .getVersion());
      case "next_alias_change" -> nextAliasChange(arguments.text("alias"));
      default -> {
        runQuietly(op, arguments);
        yield new JsonObject();
      }
    };
  }

  @Override
  public void close() {
    if (watch != null) {
      watch.close();
      watch = null;
    }
    if (client != null) {
      client.close();
      client = null;
    }
  }

  /** What answers nothing but that it is done. */
  private void runQuietly(String op, Arguments arguments) {
    switch (op) {
      case "log_params" -> runOf(arguments).logParams(arguments.texts("params"));
      case "set_tags" -> runOf(arguments).setTags(arguments.texts("tags"));
      case "log_metrics" -> runOf(arguments).logMetrics(metrics(arguments));
      case "finish_run" ->
          runOf(arguments).finish(RunStatus.valueOf("RUN_STATUS_" + arguments.text("status")));
      case "log_artifact" ->
          runOf(arguments)
              .logArtifact(
                  arguments.path("local_path"), arguments.optionalText("artifact_path").orElse(""));
      case "log_artifacts" ->
          runOf(arguments)
              .logArtifacts(
                  arguments.path("local_dir"), arguments.optionalText("artifact_path").orElse(""));
      case "set_alias" -> setAlias(arguments);
      case "watch_model" -> {
        watch = client.watchModel(arguments.text("name"));
        watch.next(); // the model as it is
      }
      case "close" -> close();
      default -> throw new IllegalArgumentException("there is no operation " + op);
    }
  }

  private JsonObject connect(Arguments arguments) {
    close();
    ConnectOptions options = ConnectOptions.fromEnvironment().withUri(arguments.text("uri"));
    Optional<String> token = arguments.optionalText("token");
    Optional<String> caFile = arguments.optionalText("ca_file");
    options = token.isPresent() ? options.withToken(token.get()) : options;
    options = caFile.isPresent() ? options.withCaFile(Path.of(caFile.get())) : options;
    client = Client.connect(options);
    return Answers.of("server_version", client.capabilities().getServerVersion());
  }

  private Run createRun(Arguments arguments) {
    return client.createRun(
        arguments.text("experiment_id"), arguments.optionalText("name").orElse(""));
  }

  private Run runOf(Arguments arguments) {
    return client.run(arguments.text("run_id"));
  }

  private JsonObject readRange(Arguments arguments) {
    byte[] range =
        client.readRange(
            arguments.text("uri"),
            arguments.number("offset"),
            Math.toIntExact(arguments.number("length")));
    JsonObject answer = Answers.of("sha256", HexFormat.of().formatHex(sha256(range)));
    answer.addProperty("size", range.length);
    return answer;
  }

  private JsonObject logModel(Arguments arguments) {
    String id = runOf(arguments).logModel(arguments.text("name"), arguments.path("local_dir"));
    JsonObject answer = Answers.of("model_id", id);
    answer.addProperty("model_uri", "models:/" + id);
    return answer;
  }

  private void setAlias(Arguments arguments) {
    String name = arguments.text("name");
    String alias = arguments.text("alias");
    long version = Long.parseLong(arguments.text("version"));
    Optional<String> expected = arguments.optionalText("expected_version");
    if (expected.isPresent()) {
      client.setAlias(name, alias, version, Long.parseLong(expected.get()));
    } else {
      client.setAlias(name, alias, version);
    }
  }

  private JsonObject nextAliasChange(String alias) {
    while (true) {
      ModelEvent event = watch.next();
      boolean isIt =
          event
              .change()
              .filter(change -> change.getSubject() == EventSubject.EVENT_SUBJECT_ALIAS)
              .filter(change -> change.getAlias().equals(alias))
              .isPresent();
      if (isIt) {
        return version(event.change().get().getVersion());
      }
    }
  }

  private static JsonObject version(long version) {
    return Answers.of("version", version == 0 ? "" : Long.toString(version));
  }

  private static List<Metric> metrics(Arguments arguments) {
    List<Metric> metrics = new ArrayList<>();
    for (JsonElement element : arguments.list("metrics")) {
      Arguments point = new Arguments(element.getAsJsonObject());
      Metric.Builder metric =
          Metric.newBuilder()
              .setKey(point.text("key"))
              // Of NaN and the infinities, too, which come as texts.
              .setValue(Double.parseDouble(point.text("value")))
              .setStep(point.number("step"));
      if (point.optionalText("timestamp").isPresent()) {
        long millis = point.number("timestamp");
        metric.setTimestamp(
            Timestamp.newBuilder()
                .setSeconds(Math.floorDiv(millis, 1_000L))
                .setNanos((int) Math.floorMod(millis, 1_000L) * 1_000_000));
      }
      metrics.add(metric.build());
    }
    return metrics;
  }

  private static List<ArtifactEntry> entries(Arguments arguments) {
    List<ArtifactEntry> entries = new ArrayList<>();
    for (JsonElement element : arguments.list("entries")) {
      Arguments entry = new Arguments(element.getAsJsonObject());
      boolean isDirectory = entry.flag("directory");
      entries.add(
          new ArtifactEntry(
              entry.text("path"),
              isDirectory,
              entry.flag("executable"),
              entry.optionalText("size").map(Long::parseLong).orElse(0L),
              isDirectory ? "" : entry.text("digest")));
    }
    return entries;
  }

  private static byte[] sha256(byte[] data) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(data);
    } catch (NoSuchAlgorithmException impossible) {
      throw new AssertionError("every Java has SHA-256", impossible);
    }
  }
}
