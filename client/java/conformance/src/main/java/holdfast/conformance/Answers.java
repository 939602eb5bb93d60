package holdfast.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.Timestamp;
import holdfast.ArtifactEntry;
import holdfast.v1.Metric;
import holdfast.v1.Run;
import java.util.List;

/** What the client gave, as the suite wants to see it. */
final class Answers {
  private static final String STATUS_PREFIX = "RUN_STATUS_";

  private Answers() {}

  static JsonObject of(String name, String value) {
    JsonObject answer = new JsonObject();
    answer.addProperty(name, value);
    return answer;
  }

  static JsonObject run(Run run) {
    JsonObject answer = of("run_id", run.getRunId());
    answer.addProperty("experiment_id", run.getExperimentId());
    answer.addProperty("name", run.getRunName());
    answer.addProperty("status", run.getStatus().name().substring(STATUS_PREFIX.length()));
    JsonObject params = new JsonObject();
    run.getParamsList().forEach(param -> params.addProperty(param.getKey(), param.getValue()));
    JsonObject tags = new JsonObject();
    run.getTagsList().forEach(tag -> tags.addProperty(tag.getKey(), tag.getValue()));
    JsonObject metrics = new JsonObject();
    run.getMetricsList().forEach(metric -> metrics.add(metric.getKey(), number(metric.getValue())));
    answer.add("params", params);
    answer.add("tags", tags);
    answer.add("metrics", metrics);
    return answer;
  }

  static JsonObject points(List<Metric> points) {
    JsonArray list = new JsonArray();
    for (Metric point : points) {
      JsonObject one = new JsonObject();
      one.add("value", number(point.getValue()));
      one.addProperty("step", point.getStep());
      Timestamp time = point.getTimestamp();
      one.addProperty("timestamp", time.getSeconds() * 1_000 + time.getNanos() / 1_000_000);
      list.add(one);
    }
    JsonObject answer = new JsonObject();
    answer.add("points", list);
    return answer;
  }

  static JsonObject entries(List<ArtifactEntry> entries) {
    JsonArray list = new JsonArray();
    for (ArtifactEntry entry : entries) {
      JsonObject one = of("path", entry.path());
      one.addProperty("directory", entry.directory());
      one.addProperty("executable", entry.executable());
      one.addProperty("size", entry.size());
      if (!entry.directory()) {
        one.addProperty("digest", entry.digest());
      }
      list.add(one);
    }
    JsonObject answer = new JsonObject();
    answer.add("entries", list);
    return answer;
  }

  /** JSON has no number for the values that are none. */
  private static JsonElement number(double value) {
    return Double.isFinite(value)
        ? new JsonPrimitive(value)
        : new JsonPrimitive(Double.toString(value));
  }
}
