package holdfast;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/** Credentials from the user's files, and what is wrong when no connection comes of them. */
final class TlsFiles {
  private TlsFiles() {}

  /**
   * What a connection to the server is secured by.
   *
   * @throws HoldfastException.TlsFailure A file cannot be read, or does not hold what it should.
   */
  static ChannelCredentials credentials(Target target) {
    if (!target.tls()) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    try {
      if (target.caFile() != null) {
        check(target.caFile(), Target.CA_FILE, "CERTIFICATE-----");
        builder.trustManager(target.caFile().toFile());
      }
      if (target.certFile() != null) {
        check(target.certFile(), Target.CERT_FILE, "CERTIFICATE-----");
        check(target.keyFile(), Target.KEY_FILE, "PRIVATE KEY-----");
        builder.keyManager(target.certFile().toFile(), target.keyFile().toFile());
      }
    } catch (IOException error) {
      throw new HoldfastException.TlsFailure(
          "A file of the connection cannot be read: " + error, error);
    }
    return builder.build();
  }

  /** Changes when one of the files was replaced. */
  static List<Object> fingerprint(Target target) {
    List<Object> found = new ArrayList<>();
    Stream.of(target.caFile(), target.certFile(), target.keyFile())
        .filter(Objects::nonNull)
        .forEach(
            file -> {
              try {
                found.add(Files.readAttributes(file, "lastModifiedTime,size,fileKey"));
              } catch (IOException gone) {
                found.add("gone");
              }
            });
    return found;
  }

  /** What a failed connection says about TLS, with the way out; null when it says nothing of it. */
  static String problem(Target target, Throwable error) {
    StringBuilder said = new StringBuilder();
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      said.append(cause).append('\n');
    }
    String text = said.toString();
    String server = "The server at " + target.uri();
    if (!target.tls()) {
      // The first bytes of a TLS alert, where a frame of HTTP/2 was to come.
      boolean isAlert =
          text.contains("First received frame was not SETTINGS") && text.contains("1503");
      return isAlert ? speaksTls(target) : null;
    }
    if (text.contains("NotSslRecordException") || text.contains("WRONG_VERSION_NUMBER")) {
      return server
          + " does not speak TLS: start it with --tls-cert and --tls-key, or, on this machine or a trusted"
          + " network, use holdfast://.";
    }
    if (text.contains("CertificateExpiredException") || text.contains("NotAfter")) {
      return "The certificate of the server at "
          + target.uri()
          + " has expired: have it renewed, or check this"
          + " machine's clock.";
    }
    if (text.contains("CertificateNotYetValidException") || text.contains("NotBefore")) {
      return "The certificate of the server at "
          + target.uri()
          + " is not valid yet: check this machine's clock and"
          + " the server's.";
    }
    if (text.contains("No subject alternative") || text.contains("No name matching")) {
      return "The certificate of the server at "
          + target.uri()
          + " is not for that host: connect by a name or address"
          + " that it is for, or have it made for this one.";
    }
    if (text.contains("PKIX path") || text.contains("unable to find valid certification path")) {
      String trusted = target.caFile() == null ? "the public ones" : "those in " + target.caFile();
      return "The certificate of the server at "
          + target.uri()
          + " is by none of the authorities that this client"
          + " trusts, "
          + trusted
          + ": "
          + Target.CA_FILE
          + " must name the certificate of the authority that issued"
          + " it.";
    }
    if (text.matches("(?is).*(certificate_required|unknown_ca|bad_certificate).*")) {
      return unknownClient(target);
    }
    return null;
  }

  /** What to tell whose connection without TLS reaches a server that has it. */
  static String speaksTls(Target target) {
    return "The server at "
        + target.uri()
        + " speaks TLS: use holdfast+tls://. Unless a public authority certified"
        + " it, "
        + Target.CA_FILE
        + " names the certificate of its authority.";
  }

  /** What to tell whom the server does not know. */
  static String unknownClient(Target target) {
    String server = "The server at " + target.uri();
    if (target.certFile() == null) {
      return server
          + " closes connections right after the handshake, as one does that wants a certificate of its"
          + " clients: "
          + Target.CERT_FILE
          + " and "
          + Target.KEY_FILE
          + " name yours and its key.";
    }
    return server
        + " does not accept the certificate in "
        + target.certFile()
        + ": it must be valid, and by an"
        + " authority that the server knows as --tls-client-ca.";
  }

  private static void check(Path file, String variable, String mark) throws IOException {
    String text;
    try {
      text = Files.readString(file, java.nio.charset.StandardCharsets.ISO_8859_1);
    } catch (IOException error) {
      throw new HoldfastException.TlsFailure(
          variable + ": " + file + " cannot be read: " + error, error);
    }
    if (!text.contains("-----BEGIN ") || !text.contains(mark)) {
      throw new HoldfastException.TlsFailure(
          variable
              + ": "
              + file
              + " holds no whole "
              + (mark.startsWith("C") ? "certificate" : "private key")
              + " in PEM.",
          null);
    }
  }
}
