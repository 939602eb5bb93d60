package holdfast;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A server, and how it is reached.
 *
 * @param uri Normalized; holds no secret.
 * @param address What gRPC connects to.
 * @param tls Whether the connection is encrypted and the server's certificate checked.
 * @param loopback Whether the connection cannot leave this machine.
 * @param caFile Certificates to trust in place of the public ones; null for those.
 * @param certFile This client's own certificate; null for none.
 * @param keyFile That certificate's key; null for none.
 * @param token Sent with each call; empty for none.
 */
record Target(
    String uri,
    String address,
    boolean tls,
    boolean loopback,
    Path caFile,
    Path certFile,
    Path keyFile,
    String token) {

  static final String URI = "HOLDFAST_URI";
  static final String TOKEN = "HOLDFAST_TOKEN";
  static final String CA_FILE = "HOLDFAST_TLS_CA_FILE";
  static final String CERT_FILE = "HOLDFAST_TLS_CERT_FILE";
  static final String KEY_FILE = "HOLDFAST_TLS_KEY_FILE";
  static final String INSECURE = "HOLDFAST_INSECURE";

  private static final int DEFAULT_PORT = 5600;

  /** sun_path holds 108 bytes with the closing NUL. */
  private static final int MAX_SOCKET_PATH = 107;

  private static final String FORMS =
      "Use holdfast://host:port, holdfast+tls://host:port, or unix:/path/to/socket.";
  private static final Pattern SCHEME =
      Pattern.compile("([A-Za-z][A-Za-z0-9+.-]+):.*", Pattern.DOTALL);
  private static final Pattern HOST_AND_PORT =
      Pattern.compile("(?:\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9_.-]+):\\d+/?");
  private static final Pattern NETWORK =
      Pattern.compile(
          "(?<scheme>[A-Za-z+]+)://(?<user>[^/?#]*@)?(?:\\[(?<six>[0-9A-Fa-f:.]+)\\]|(?<host>[^/?#:@\\[\\]]*))"
              + "(?::(?<port>\\d{0,5}))?(?<path>/[^?#]*)?(?:\\?(?<query>[^#]*))?(?<fragment>#.*)?");
  private static final Set<String> TRUE = Set.of("1", "true", "yes", "on");
  private static final Set<String> FALSE = Set.of("", "0", "false", "no", "off");

  /**
   * The server that the options, or the environment, name.
   *
   * @throws HoldfastException.InvalidArgument It is none of the forms, or would send in the clear.
   */
  static Target parse(ConnectOptions options) {
    String text = options.get(URI);
    if (text.isEmpty()) {
      throw refused(
          "No server is named: set "
              + URI
              + ", or connect with a URI. This client starts no server of its own; `holdfast server` does. "
              + FORMS);
    }
    Matcher scheme = SCHEME.matcher(text);
    if (!scheme.matches() || HOST_AND_PORT.matcher(text).matches()) {
      throw refused(
          HOST_AND_PORT.matcher(text).matches()
              ? "'%s' lacks a scheme: write holdfast://%s, or holdfast+tls://%s."
                  .formatted(text, text, text)
              : "'%s' names no server; the data directory of an embedded one is for Python only. %s"
                  .formatted(text, FORMS));
    }
    String name = scheme.group(1).toLowerCase(Locale.ROOT);
    return switch (name) {
      case "holdfast", "holdfast+tls" -> network(text, options);
      case "unix" -> socket(text.substring("unix:".length()), options);
      case "http", "https" -> throw refused("Holdfast speaks gRPC, not " + name + "://. " + FORMS);
      // The text is not repeated: URIs of databases carry passwords.
      default -> throw refused("The scheme '" + name + "' is not supported. " + FORMS);
    };
  }

  @Override
  public String toString() {
    return "Target[" + uri + (token.isEmpty() ? "" : ", token=***") + "]";
  }

  private static Target socket(String rest, ConnectOptions options) {
    String name = rest.startsWith("//") ? rest.substring(2) : rest;
    if (name.isEmpty()) {
      throw refused("unix: names no socket. " + FORMS);
    }
    String path = Path.of(name).toAbsolutePath().toString();
    if (path.getBytes(StandardCharsets.UTF_8).length > MAX_SOCKET_PATH) {
      throw refused(
          "The path of a socket is at most %d bytes: '%s' is longer. Use a shorter one."
              .formatted(MAX_SOCKET_PATH, path));
    }
    String address = "unix:" + path;
    return new Target(address, address, false, true, null, null, null, token(options));
  }

  private static Target network(String text, ConnectOptions options) {
    Matcher parts = NETWORK.matcher(text);
    if (!parts.matches()) {
      throw refused(
          (text.contains("@") ? "The URI" : "'" + text + "'") + " names no host. " + FORMS);
    }
    if (parts.group("user") != null) {
      throw refused(
          "Credentials do not belong in a URI, which ends up in logs: set "
              + TOKEN
              + " in the environment.");
    }
    String host = parts.group("six") != null ? parts.group("six") : parts.group("host");
    if (host.isEmpty()) {
      throw refused("'" + text + "' names no host. " + FORMS);
    }
    String path = parts.group("path");
    if ((path != null && !path.equals("/")) || parts.group("fragment") != null) {
      throw refused(
          "'" + text + "' has a path, and a server has none: end after the port. " + FORMS);
    }
    String given = parts.group("port");
    int port = given == null || given.isEmpty() ? DEFAULT_PORT : Integer.parseInt(given);
    if (port < 1 || port > 65_535) {
      throw refused("A port is a number from 1 to 65535, not " + given + ".");
    }
    boolean tls = parts.group("scheme").equalsIgnoreCase("holdfast+tls");
    boolean insecure = insecure(parts.group("query"), options);
    boolean loopback = isLoopback(host);
    if (!tls && !loopback && !insecure) {
      throw refused(
          ("holdfast://%s would send everything over the network in the clear. Use holdfast+tls://%s:%d, or say that"
                  + " the network is trusted: ?insecure=true, or %s=1.")
              .formatted(host, host, port, INSECURE));
    }
    Path certFile = file(CERT_FILE, options);
    Path keyFile = file(KEY_FILE, options);
    if (tls && (certFile == null) != (keyFile == null)) {
      throw refused(
          CERT_FILE + " and " + KEY_FILE + " go together: a certificate, and its private key.");
    }
    String address = (host.contains(":") ? "[" + host + "]" : host) + ":" + port;
    String query = insecure && !tls && !loopback ? "?insecure=true" : "";
    return new Target(
        (tls ? "holdfast+tls://" : "holdfast://") + address + query,
        "dns:///" + address,
        tls,
        loopback,
        tls ? file(CA_FILE, options) : null,
        tls ? certFile : null,
        tls ? keyFile : null,
        token(options));
  }

  private static boolean insecure(String query, ConnectOptions options) {
    if (query == null || query.isEmpty()) {
      return flag(options.get(INSECURE), INSECURE);
    }
    String[] option = query.split("=", 2);
    if (!option[0].equals("insecure") || option.length != 2) {
      throw refused(
          "Unknown option '" + option[0] + "': a server's URI takes ?insecure=true only.");
    }
    return flag(option[1], "?insecure");
  }

  private static boolean flag(String value, String name) {
    String lower = value.toLowerCase(Locale.ROOT);
    if (TRUE.contains(lower) || FALSE.contains(lower)) {
      return TRUE.contains(lower);
    }
    throw refused(name + " is true or false, not '" + value + "'.");
  }

  private static boolean isLoopback(String host) {
    return host.equals("localhost")
        || host.matches("127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}")
        || host.matches("(0{0,4}:){2,7}0{0,3}1");
  }

  private static Path file(String variable, ConnectOptions options) {
    String value = options.get(variable);
    if (value.isEmpty()) {
      return null;
    }
    String home =
        value.startsWith("~/") ? System.getProperty("user.home") + value.substring(1) : value;
    return Path.of(home).toAbsolutePath();
  }

  private static String token(ConnectOptions options) {
    String token = options.get(TOKEN);
    if (!token.chars().allMatch(c -> c >= 0x20 && c < 0x7f)) {
      throw refused(TOKEN + " holds characters that a token never has.");
    }
    return token;
  }

  private static HoldfastException.InvalidArgument refused(String message) {
    return new HoldfastException.InvalidArgument(message);
  }
}
