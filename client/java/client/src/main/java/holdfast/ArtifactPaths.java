package holdfast;

import io.grpc.Status;
import java.nio.charset.CharsetEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Comparator;
import java.util.regex.Pattern;

/** Rules of artifact paths, as docs/protocol.md states them, and URIs of artifacts. */
final class ArtifactPaths {
  /** The order of paths: that of their UTF-8 bytes. */
  static final Comparator<String> ORDER =
      (one, other) ->
          Arrays.compareUnsigned(
              one.getBytes(StandardCharsets.UTF_8), other.getBytes(StandardCharsets.UTF_8));

  private static final int MAX_BYTES = 1_024;
  private static final int MAX_COMPONENTS = 32;
  private static final int MAX_COMPONENT_BYTES = 255;
  private static final Pattern SCHEME = Pattern.compile("[A-Za-z][A-Za-z0-9+.-]*:/");
  private static final Pattern DRIVE = Pattern.compile("[A-Za-z]:");
  private static final Pattern ENCODED = Pattern.compile("%(2[eEfF]|5[cC])");
  private static final Pattern CONTROL = Pattern.compile("[\\x00-\\x1f\\x7f-\\x9f]");

  /** They reorder text on screen, or look like the characters that separate components. */
  private static final Pattern FORBIDDEN =
      Pattern.compile("[\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\uff0e\\uff0f\\uff3c]");

  private static final Pattern MODEL_ID = Pattern.compile("m-[0-9a-f]{32}");

  private ArtifactPaths() {}

  /**
   * The path, if the format allows it.
   *
   * @throws HoldfastException.InvalidArgument It breaks a rule, which the message states.
   */
  static String check(String path) {
    String rule = brokenRule(path);
    if (!rule.isEmpty()) {
      throw new HoldfastException.InvalidArgument(
          Failure.of(
                  Status.Code.INVALID_ARGUMENT,
                  "The artifact path '" + shown(path) + "' is refused: " + rule + ".")
              .withReason("INVALID_PATH"));
    }
    return path;
  }

  /**
   * A path that the server sent, if it stays below where it is written. A client that believed
   * others would be at the mercy of whoever it connects to.
   */
  static String checkReceived(String path) {
    String rule = brokenRule(path);
    if (!rule.isEmpty()) {
      throw new HoldfastException.LocalFile(
          "The server sent the path '"
              + shown(path)
              + "', and nothing is written there: "
              + rule
              + ".");
    }
    return path;
  }

  /** The name below a directory; null or empty is the root. */
  static String join(String directory, String name) {
    return directory == null || directory.isEmpty()
        ? name
        : name.isEmpty() ? directory : directory + "/" + name;
  }

  /** The first rule that the path breaks, in words; empty when it breaks none. */
  static String brokenRule(String path) {
    if (path.isEmpty()) {
      return "it is empty";
    }
    CharsetEncoder encoder = StandardCharsets.UTF_8.newEncoder();
    if (!encoder.canEncode(path)) {
      return "it is not valid UTF-8";
    }
    if (path.getBytes(StandardCharsets.UTF_8).length > MAX_BYTES) {
      return "it is longer than " + MAX_BYTES + " bytes of UTF-8";
    }
    if (path.startsWith("/")) {
      return "it must be relative";
    }
    if (path.contains("\\")) {
      return "it must not contain a backslash; separate components by '/'";
    }
    if (SCHEME.matcher(path).lookingAt()) {
      return "it looks like a URI";
    }
    if (DRIVE.matcher(path).lookingAt()) {
      return "it must not begin with a drive letter";
    }
    if (ENCODED.matcher(path).find()) {
      return "it must not contain %2e, %2f or %5c";
    }
    if (CONTROL.matcher(path).find()) {
      return "it must not contain control characters";
    }
    if (FORBIDDEN.matcher(path).find()) {
      return "it must not contain direction overrides or look-alikes of '.', '/' and '\\'";
    }
    String[] components = path.split("/", -1);
    if (components.length > MAX_COMPONENTS) {
      return "it has more than " + MAX_COMPONENTS + " components";
    }
    return Arrays.stream(components)
        .map(ArtifactPaths::brokenComponentRule)
        .filter(rule -> !rule.isEmpty())
        .findFirst()
        .orElse("");
  }

  /**
   * The run or model that a URI begins with, and the path below it: {@code runs:/x/a/b} gives
   * {@code runs:/x} and {@code a/b}.
   */
  static Split split(String uri) {
    int colon = uri.indexOf(":/");
    if (colon < 0) {
      return new Split(uri, ""); // which the server refuses, with the forms that there are
    }
    String rest = uri.substring(colon + 2).replaceAll("^/+|/+$", "");
    String[] parts = rest.split("/");
    boolean isOne =
        uri.startsWith("runs:") || parts[0].contains("@") || MODEL_ID.matcher(parts[0]).matches();
    int heads = Math.min(isOne ? 1 : 2, parts.length);
    return new Split(
        uri.substring(0, colon + 2) + String.join("/", Arrays.copyOfRange(parts, 0, heads)),
        String.join("/", Arrays.copyOfRange(parts, heads, parts.length)));
  }

  /**
   * A URI in two parts.
   *
   * @param root The run or model.
   * @param path Below it; empty for all of it.
   */
  record Split(String root, String path) {}

  private static String brokenComponentRule(String component) {
    if (component.isEmpty()) {
      return "it has an empty component";
    }
    if (component.equals(".") || component.equals("..")) {
      return "it has a component '.' or '..'";
    }
    char last = component.charAt(component.length() - 1);
    if (component.charAt(0) == ' ' || last == ' ' || last == '.') {
      return "a component must not begin with a space, nor end with a space or a dot";
    }
    if (component.getBytes(StandardCharsets.UTF_8).length > MAX_COMPONENT_BYTES) {
      return "a component is longer than " + MAX_COMPONENT_BYTES + " bytes of UTF-8";
    }
    return "";
  }

  private static String shown(String path) {
    String shown = path.length() > 200 ? path.substring(0, 200) + "…" : path;
    return shown.replaceAll("[\\p{Cntrl}\\p{Cs}]", "?");
  }
}
