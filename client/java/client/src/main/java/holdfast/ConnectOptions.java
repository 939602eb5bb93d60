package holdfast;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * Where the server is, and how to reach it. What is not said here is taken from the environment:
 * {@code HOLDFAST_URI}, {@code HOLDFAST_TOKEN}, {@code HOLDFAST_TLS_CA_FILE}, {@code
 * HOLDFAST_TLS_CERT_FILE}, {@code HOLDFAST_TLS_KEY_FILE} and {@code HOLDFAST_INSECURE}.
 *
 * <p>Values are immutable; each method returns another one.
 */
public final class ConnectOptions {
  private final Map<String, String> settings;
  private final RetryPolicy retry;

  private ConnectOptions(Map<String, String> settings, RetryPolicy retry) {
    this.settings = Map.copyOf(settings);
    this.retry = retry;
  }

  /** What the environment of this process says. */
  public static ConnectOptions fromEnvironment() {
    return new ConnectOptions(System.getenv(), RetryPolicy.DEFAULT);
  }

  /** What these variables say, in place of this process's. */
  static ConnectOptions from(Map<String, String> variables) {
    return new ConnectOptions(variables, RetryPolicy.DEFAULT);
  }

  /**
   * The server: {@code holdfast://host:port}, {@code holdfast+tls://host:port}, {@code unix:/path}.
   */
  public ConnectOptions withUri(String uri) {
    return with(Target.URI, uri);
  }

  /** Sent as a bearer token with each call. */
  public ConnectOptions withToken(String token) {
    return with(Target.TOKEN, token);
  }

  /** Certificates to trust in place of the public ones, in PEM. */
  public ConnectOptions withCaFile(Path file) {
    return with(Target.CA_FILE, file.toString());
  }

  /** This client's own certificate and its key, in PEM, for servers that want one. */
  public ConnectOptions withCertificate(Path certificate, Path key) {
    return with(Target.CERT_FILE, certificate.toString()).with(Target.KEY_FILE, key.toString());
  }

  /** Allow a connection without encryption beyond this machine: the network is trusted. */
  public ConnectOptions allowInsecure() {
    return with(Target.INSECURE, "1");
  }

  /** How long and how often calls are repeated that find no server. */
  public ConnectOptions withRetry(RetryPolicy retry) {
    return new ConnectOptions(settings, retry);
  }

  String get(String variable) {
    return settings.getOrDefault(variable, "").strip();
  }

  RetryPolicy retry() {
    return retry;
  }

  private ConnectOptions with(String variable, String value) {
    Map<String, String> changed = new HashMap<>(settings);
    changed.put(variable, value);
    return new ConnectOptions(changed, retry);
  }
}
