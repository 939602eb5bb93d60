package holdfast;

import com.google.protobuf.Message;
import holdfast.v1.GetRunRequest;
import holdfast.v1.GetRunResponse;
import holdfast.v1.ListMetricHistoryRequest;
import holdfast.v1.ListMetricHistoryResponse;
import holdfast.v1.LogBatchRequest;
import holdfast.v1.Metric;
import holdfast.v1.Param;
import holdfast.v1.RunServiceGrpc;
import holdfast.v1.RunStatus;
import holdfast.v1.Tag;
import holdfast.v1.TreeOwner;
import holdfast.v1.UpdateRunRequest;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A run, and what it logs. Each call returns when the server keeps what it brought. */
public final class Run {
  /** What one request takes at most. */
  private static final int MAX_PARAMS = 100;

  private static final int MAX_TAGS = 100;
  private static final int MAX_METRICS = 1_000;

  /** A little less than the 1 MiB that a request may have. */
  private static final int MAX_BATCH_BYTES = 900_000;

  private final Connection connection;
  private final Artifacts artifacts;
  private final Models models;
  private final String id;

  Run(Connection connection, Artifacts artifacts, Models models, String id) {
    this.connection = connection;
    this.artifacts = artifacts;
    this.models = models;
    this.id = id;
  }

  /** 32 hex digits. */
  public String id() {
    return id;
  }

  /** What its artifacts' URIs begin with: {@code runs:/<id>}. */
  public String uri() {
    return "runs:/" + id;
  }

  /** Read it whole: attributes, params, tags, the newest point of each metric, and links. */
  public holdfast.v1.Run read() {
    holdfast.v1.Run.Builder whole = holdfast.v1.Run.newBuilder();
    GetRunRequest.Builder request = GetRunRequest.newBuilder().setRunId(id);
    while (true) {
      GetRunResponse page = connection.call(RunServiceGrpc.getGetRunMethod(), request.build());
      // Merging appends lists, which is how pages of a run continue each other.
      whole.mergeFrom(page.getRun());
      if (page.getNextPageToken().isEmpty()) {
        return whole.build();
      }
      request.setPageToken(page.getNextPageToken());
    }
  }

  /** Log an input; it never changes. */
  public void logParam(String key, String value) {
    logParams(Map.of(key, value));
  }

  /** Log inputs, 100 at a time. */
  public void logParams(Map<String, String> params) {
    List<Param> items = new ArrayList<>();
    params.forEach(
        (key, value) -> items.add(Param.newBuilder().setKey(key).setValue(value).build()));
    batches(items, MAX_PARAMS)
        .forEach(some -> log(LogBatchRequest.newBuilder().addAllParams(some)));
  }

  /** Set a label. */
  public void setTag(String key, String value) {
    setTags(Map.of(key, value));
  }

  /** Set labels, 100 at a time. */
  public void setTags(Map<String, String> tags) {
    List<Tag> items = new ArrayList<>();
    tags.forEach((key, value) -> items.add(Tag.newBuilder().setKey(key).setValue(value).build()));
    batches(items, MAX_TAGS).forEach(some -> log(LogBatchRequest.newBuilder().addAllTags(some)));
  }

  /** Log a point that was measured now. For many, {@link #logMetrics} takes far fewer calls. */
  public void logMetric(String key, double value, long step) {
    logMetrics(
        List.of(
            Metric.newBuilder()
                .setKey(key)
                .setValue(value)
                .setStep(step)
                .setTimestamp(Times.toProto(Instant.now()))
                .build()));
  }

  /** Log points, 1,000 at a time. Those without a time get the server's. */
  public void logMetrics(List<Metric> metrics) {
    batches(metrics, MAX_METRICS)
        .forEach(some -> log(LogBatchRequest.newBuilder().addAllMetrics(some)));
  }

  /** All points of a metric, in order of step, time and arrival. */
  public List<Metric> metricHistory(String key) {
    List<Metric> points = new ArrayList<>();
    ListMetricHistoryRequest.Builder request =
        ListMetricHistoryRequest.newBuilder().setRunId(id).setKey(key);
    while (true) {
      ListMetricHistoryResponse page =
          connection.call(RunServiceGrpc.getListMetricHistoryMethod(), request.build());
      points.addAll(page.getMetricsList());
      if (page.getNextPageToken().isEmpty()) {
        return points;
      }
      request.setPageToken(page.getNextPageToken());
    }
  }

  /** Put a file at its name, or a directory with all below it below its name. */
  public void logArtifact(Path local) {
    logArtifact(local, "");
  }

  /**
   * Put a file at {@code artifactPath/<its name>}, or a directory with all below it there.
   *
   * <p>All of it becomes visible at once when this returns. What the server has is not sent again,
   * so to repeat a call that failed sends only what is missing.
   *
   * @param artifactPath A directory among the artifacts; empty for their root.
   * @throws HoldfastException.LocalFile There is no such file, it changed meanwhile, or is a socket
   *     or a link that leaves the directory.
   */
  public void logArtifact(Path local, String artifactPath) {
    artifacts.log(owner(), local, artifactPath);
  }

  /**
   * Put what is in a directory below {@code artifactPath}; as {@link #logArtifact(Path, String)}.
   */
  public void logArtifacts(Path directory, String artifactPath) {
    artifacts.logContents(owner(), directory, artifactPath);
  }

  /** One level, or all, of its artifacts, with those of the models that it logged. */
  public List<ArtifactEntry> listArtifacts(boolean recursive) {
    return artifacts.list(uri(), recursive);
  }

  /**
   * Log a model of this run: a directory with a file {@code MLmodel}.
   *
   * @param name None of {@code / : . % " '}; empty to have one made up.
   * @return Its id; {@code models:/<id>} names it, also to register it.
   */
  public String logModel(String name, Path directory) {
    return models.log(id, name, directory);
  }

  /** End the run well. */
  public void finish() {
    finish(RunStatus.RUN_STATUS_FINISHED);
  }

  /** End the run; what is logged later is accepted all the same. */
  public void finish(RunStatus status) {
    UpdateRunRequest request =
        UpdateRunRequest.newBuilder()
            .setRunId(id)
            .setStatus(status)
            .setEndTime(Times.toProto(Instant.now()))
            .setRequestId(RequestIds.next())
            .build();
    connection.call(RunServiceGrpc.getUpdateRunMethod(), request);
  }

  private TreeOwner owner() {
    return TreeOwner.newBuilder().setRunId(id).build();
  }

  private void log(LogBatchRequest.Builder batch) {
    LogBatchRequest request = batch.setRunId(id).setRequestId(RequestIds.next()).build();
    connection.call(RunServiceGrpc.getLogBatchMethod(), request);
  }

  /** Cut messages into batches, each small enough for one request. */
  private static <M extends Message> List<List<M>> batches(List<M> items, int most) {
    List<List<M>> batches = new ArrayList<>();
    List<M> batch = new ArrayList<>();
    int size = 0;
    for (M item : items) {
      int weight = item.getSerializedSize();
      if (!batch.isEmpty() && (batch.size() == most || size + weight > MAX_BATCH_BYTES)) {
        batches.add(batch);
        batch = new ArrayList<>();
        size = 0;
      }
      batch.add(item);
      size += weight;
    }
    if (!batch.isEmpty()) {
      batches.add(batch);
    }
    return batches;
  }
}
