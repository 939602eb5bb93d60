package holdfast;

import java.security.SecureRandom;
import java.util.HexFormat;

/** Ids of mutations, by which their repetitions are one. */
final class RequestIds {
  private static final SecureRandom RANDOM = new SecureRandom();

  private RequestIds() {}

  /** 128 random bits as 32 hex digits. */
  static String next() {
    byte[] bits = new byte[16];
    RANDOM.nextBytes(bits);
    return HexFormat.of().formatHex(bits);
  }
}
