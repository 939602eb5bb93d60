package holdfast.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * What a request says. An argument that is absent, or of another kind, is an error of the suite.
 */
record Arguments(JsonObject request) {
  String text(String name) {
    if (!request.has(name)) {
      throw new IllegalArgumentException("the request lacks " + name + ": " + request);
    }
    return request.get(name).getAsString();
  }

  Optional<String> optionalText(String name) {
    return request.has(name) && !request.get(name).isJsonNull()
        ? Optional.of(request.get(name).getAsString())
        : Optional.empty();
  }

  Path path(String name) {
    return Path.of(text(name));
  }

  long number(String name) {
    return request.get(name).getAsLong();
  }

  boolean flag(String name) {
    return request.has(name) && request.get(name).getAsBoolean();
  }

  JsonArray list(String name) {
    return request.getAsJsonArray(name);
  }

  Map<String, String> texts(String name) {
    Map<String, String> texts = new LinkedHashMap<>();
    request
        .getAsJsonObject(name)
        .entrySet()
        .forEach(entry -> texts.put(entry.getKey(), entry.getValue().getAsString()));
    return texts;
  }
}
