package holdfast;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SecurityTest {
  @TempDir static Path folder;
  private static TestServer server;
  private static Path tls;
  private static Path socket;
  private static String token;

  @BeforeAll
  static void start() throws IOException, InterruptedException {
    Path data = folder.resolve("data");
    tls = folder.resolve("tls");
    socket = folder.resolve("s");
    TestServer.run("server", "tls-init", tls.toString(), "--client", "bob");
    server =
        TestServer.start(
            data,
            "--auth",
            "tokens",
            "--unix",
            socket.toString(),
            "--tls-cert",
            tls.resolve("server.crt").toString(),
            "--tls-key",
            tls.resolve("server.key").toString());
    token =
        TestServer.run(
            "--uri", "unix:" + socket, "token", "create", "--principal", "ada", "--role", "admin");
  }

  @AfterAll
  static void stop() {
    if (server != null) {
      server.close();
    }
  }

  @Test
  void aTokenOverTlsSaysWhoCalls() {
    try (Client client = Client.connect(options().withToken(token))) {
      assertEquals("ada", client.capabilities().getPrincipal());
    }
  }

  @Test
  void theOwnerComesThroughTheSocket() {
    try (Client client = Client.connect(ArtifactsTest.options("unix:" + socket))) {
      assertEquals("owner", client.capabilities().getPrincipal());
    }
  }

  @Test
  void withoutAGoodTokenACallIsUnauthenticated() {
    try (Client client = Client.connect(options())) {
      HoldfastException error =
          assertThrows(HoldfastException.Unauthenticated.class, () -> client.createExperiment("x"));
      assertEquals("TOKEN_MISSING", error.reason());
    }
    String other = token.substring(0, token.length() - 4) + "0000";
    try (Client client = Client.connect(options().withToken(other))) {
      HoldfastException error =
          assertThrows(HoldfastException.Unauthenticated.class, () -> client.createExperiment("x"));
      assertTrue(error.reason().startsWith("TOKEN_"), error.reason());
    }
  }

  @Test
  void aServerThatNobodyCertifiedIsRefusedAtOnce() {
    ConnectOptions options = ArtifactsTest.options("holdfast+tls://" + server.address());
    try (Client client = Client.connect(options.withToken(token))) {
      HoldfastException error =
          assertThrows(HoldfastException.TlsFailure.class, () -> client.createExperiment("x"));
      assertTrue(error.getMessage().contains(Target.CA_FILE), error.getMessage());
    }
  }

  @Test
  void aPlaintextClientIsToldThatTheServerSpeaksTls() {
    try (Client client = Client.connect(ArtifactsTest.options("holdfast://" + server.address()))) {
      HoldfastException error =
          assertThrows(HoldfastException.TlsFailure.class, () -> client.createExperiment("x"));
      assertTrue(error.getMessage().contains("holdfast+tls://"), error.getMessage());
    }
  }

  @Test
  void aServerThatKnowsItsClientsWantsACertificate() throws IOException {
    try (TestServer mutual =
        TestServer.start(
            folder.resolve("mutual"),
            "--tls-cert",
            tls.resolve("server.crt").toString(),
            "--tls-key",
            tls.resolve("server.key").toString(),
            "--tls-client-ca",
            tls.resolve("ca.crt").toString())) {
      ConnectOptions options =
          ArtifactsTest.options("holdfast+tls://" + mutual.address())
              .withCaFile(tls.resolve("ca.crt"));
      try (Client stranger = Client.connect(options)) {
        HoldfastException error =
            assertThrows(HoldfastException.TlsFailure.class, () -> stranger.createExperiment("x"));
        assertTrue(error.getMessage().contains(Target.CERT_FILE), error.getMessage());
      }
      Path certificate = tls.resolve("client-bob.crt");
      try (Client bob =
          Client.connect(options.withCertificate(certificate, tls.resolve("client-bob.key")))) {
        bob.createExperiment("x");
      }
    }
  }

  @Test
  void aFileThatIsNoCertificateIsSaid() throws IOException {
    Path file = Files.writeString(folder.resolve("no.crt"), "nothing");
    assertThrows(
        HoldfastException.TlsFailure.class, () -> Client.connect(options().withCaFile(file)));
    assertThrows(
        HoldfastException.TlsFailure.class,
        () -> Client.connect(options().withCaFile(folder.resolve("absent.crt"))));
  }

  private static ConnectOptions options() {
    return ArtifactsTest.options("holdfast+tls://" + server.address())
        .withCaFile(tls.resolve("ca.crt"));
  }
}
