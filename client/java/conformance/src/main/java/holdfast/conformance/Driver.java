package holdfast.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import holdfast.HoldfastException;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * Does what the conformance suite tells it by the Java client: a request a line on standard input,
 * an answer a line on standard output, as client/conformance/README.md says.
 */
public final class Driver {
  private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

  private Driver() {}

  /** Serve until standard input ends; what is unexpected ends the program with an error. */
  public static void main(String[] arguments) throws IOException {
    BufferedReader requests =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream answers =
        new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    try (Operations operations = new Operations()) {
      for (String line = requests.readLine(); line != null; line = requests.readLine()) {
        if (!line.isBlank()) {
          JsonObject request = JsonParser.parseString(line).getAsJsonObject();
          answers.println(GSON.toJson(answer(operations, request)));
        }
      }
    }
  }

  private static JsonObject answer(Operations operations, JsonObject request) {
    JsonObject answer = new JsonObject();
    try {
      answer.add("ok", operations.run(new Arguments(request)));
    } catch (HoldfastException failure) {
      JsonObject error = new JsonObject();
      error.addProperty("code", failure.code().name());
      error.addProperty("reason", failure.reason());
      error.addProperty("message", failure.detail());
      error.addProperty("request_id", failure.requestId());
      answer.add("error", error);
    }
    return answer;
  }
}
