package holdfast;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Status;
import java.nio.channels.ClosedChannelException;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class RpcErrorsTest {
  private static Stream<Arguments> statuses() {
    Status unknown = Status.UNKNOWN;
    return Stream.of(
        Arguments.of(
            unknown
                .withDescription("Channel closed but for unknown reason")
                .withCause(new ClosedChannelException()),
            true),
        Arguments.of(
            Status.INTERNAL
                .withDescription("of a later version")
                .withCause(new RuntimeException(new ClosedChannelException())),
            true),
        Arguments.of(Status.INTERNAL.withDescription("Received Rst Stream: RST_STREAM"), true),
        Arguments.of(unknown.withDescription("the method threw"), false),
        Arguments.of(
            Status.INTERNAL
                .withDescription("a text of a later version")
                .withCause(new InvalidProtocolBufferException("of another version")),
            false));
  }

  @ParameterizedTest
  @MethodSource("statuses")
  void aConnectionThatBrokeIsWaitedForAndADefectIsNot(Status status, boolean isInterruption)
      throws HoldfastException {
    Target target = Target.parse(ConnectOptions.from(Map.of(Target.URI, "holdfast://localhost")));
    HoldfastException failure = RpcErrors.translate(status.asRuntimeException(), target);
    assertEquals(isInterruption, RpcErrors.isInterruption(failure), failure.getMessage());
  }
}
