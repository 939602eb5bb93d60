package holdfast;

import com.google.protobuf.Timestamp;
import java.time.Instant;

/** Times of the protos. */
final class Times {
  private Times() {}

  static Timestamp toProto(Instant time) {
    return Timestamp.newBuilder()
        .setSeconds(time.getEpochSecond())
        .setNanos(time.getNano())
        .build();
  }
}
