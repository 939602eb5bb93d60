package holdfast;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TargetTest {
  @ParameterizedTest
  @CsvSource({
    "holdfast://localhost, holdfast://localhost:5600, dns:///localhost:5600",
    "holdfast://127.0.0.1:1, holdfast://127.0.0.1:1, dns:///127.0.0.1:1",
    "holdfast://[::1]:7/, holdfast://[::1]:7, dns:///[::1]:7",
    "HOLDFAST+TLS://db.lan, holdfast+tls://db.lan:5600, dns:///db.lan:5600",
    "holdfast://db.lan:9?insecure=true, holdfast://db.lan:9?insecure=true, dns:///db.lan:9",
    "unix:/run/holdfast.sock, unix:/run/holdfast.sock, unix:/run/holdfast.sock",
  })
  void eachFormOfAnUriLeadsToItsServer(String uri, String normalized, String address) {
    Target target = parse(uri, Map.of());
    assertEquals(normalized, target.uri());
    assertEquals(address, target.address());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "localhost:5600",
        "http://localhost",
        "./data",
        "holdfast://",
        "holdfast:localhost",
        "unix:",
        "holdfast://localhost/path",
        "holdfast://localhost#x",
        "holdfast://localhost:0",
        "holdfast://localhost:70000",
        "holdfast://localhost?secure=true",
        "sqlite:///x",
        "holdfast://ada:secret@localhost"
      })
  void otherTextsAreRefusedWithTheFormsThatThereAre(String uri) {
    HoldfastException error = refusal(uri, Map.of());
    assertFalse(error.getMessage().contains("secret"));
  }

  @Test
  void withoutAnUriTheErrorSaysWhatToSet() {
    assertTrue(refusal("", Map.of()).getMessage().contains("HOLDFAST_URI"));
  }

  @Test
  void nothingIsSentInTheClearBeyondThisMachineUnlessTheUserSaysSo() {
    assertTrue(
        refusal("holdfast://db.lan", Map.of()).getMessage().contains("holdfast+tls://db.lan:5600"));
    refusal("holdfast://db.lan?insecure=false", Map.of(Target.INSECURE, "1"));
    assertFalse(parse("holdfast://db.lan", Map.of(Target.INSECURE, "1")).tls());
  }

  @Test
  void aCertificateAndItsKeyGoTogether() {
    refusal("holdfast+tls://db.lan", Map.of(Target.CERT_FILE, "/a"));
    // Without TLS they are not looked at.
    parse("holdfast://localhost", Map.of(Target.CERT_FILE, "/a"));
  }

  @Test
  void aTokenIsNeverShown() {
    Target target = parse("holdfast://localhost", Map.of(Target.TOKEN, " hft_secret\n"));
    assertEquals("hft_secret", target.token());
    assertFalse(target.toString().contains("secret"));
    refusal("holdfast://localhost", Map.of(Target.TOKEN, "a\u0007b"));
  }

  private static Target parse(String uri, Map<String, String> variables) {
    Map<String, String> all = new HashMap<>(variables);
    all.put(Target.URI, uri);
    return Target.parse(ConnectOptions.from(all));
  }

  private static HoldfastException refusal(String uri, Map<String, String> variables) {
    return assertThrows(HoldfastException.InvalidArgument.class, () -> parse(uri, variables));
  }
}
