package holdfast;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.security.GeneralSecurityException;
import java.security.cert.X509Certificate;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/** Asks a server itself whether TLS is why it closes connections, where gRPC does not know. */
final class TlsProbe {
  private static final int MILLIS = 3_000;

  /** gRPC's words for a connection that the other side closed. */
  private static final Pattern CUT_OFF =
      Pattern.compile("closed|reset|Broken pipe|EOF|not SETTINGS", Pattern.CASE_INSENSITIVE);

  private TlsProbe() {}

  /**
   * What is wrong, and the way out; null when TLS is not why. Sends the beginning of a TLS
   * handshake and nothing of the user's.
   */
  static String problem(Target target, HoldfastException failure) {
    StringBuilder said = new StringBuilder();
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      said.append(cause).append('\n');
    }
    boolean isSocket = target.address().startsWith("unix:");
    if (isSocket || !CUT_OFF.matcher(said).find()) {
      return null;
    }
    try {
      boolean isAnswered = shakesHands(target);
      if (!target.tls()) {
        return TlsFiles.speaksTls(target);
      }
      return isAnswered ? null : TlsFiles.unknownClient(target);
    } catch (IOException | GeneralSecurityException noTls) {
      return null; // or nobody is there any more
    }
  }

  /** Do a TLS handshake; whether the server says anything after it. */
  private static boolean shakesHands(Target target) throws IOException, GeneralSecurityException {
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, new TrustManager[] {new LookingOnly()}, null);
    String address = target.address().substring("dns:///".length());
    String host = address.substring(0, address.lastIndexOf(':')).replaceAll("[\\[\\]]", "");
    int port = Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
    try (Socket plain = new Socket()) {
      plain.connect(new InetSocketAddress(host, port), MILLIS);
      plain.setSoTimeout(MILLIS);
      try (SSLSocket secure =
          (SSLSocket) context.getSocketFactory().createSocket(plain, host, port, false)) {
        SSLParameters parameters = secure.getSSLParameters();
        parameters.setApplicationProtocols(new String[] {"h2"});
        secure.setSSLParameters(parameters);
        secure.startHandshake();
        try {
          return secure.getInputStream().read() >= 0;
        } catch (IOException cut) {
          return false;
        }
      }
    }
  }

  /** Believes every certificate: this is a look, over which nothing is said. */
  private static final class LookingOnly implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String kind) {}

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String kind) {}

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
