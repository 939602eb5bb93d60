package holdfast;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * How long and how often a call is repeated that found no server.
 *
 * @param window To keep trying once the server has answered before.
 * @param firstWindow The same before its first answer: the address is more likely wrong then.
 * @param initialDelay Upper bound of the first pause; it doubles with each.
 * @param maxDelay Where that bound stops growing.
 */
public record RetryPolicy(
    Duration window, Duration firstWindow, Duration initialDelay, Duration maxDelay) {

  /** 30 s, and 5 s for a server that was never heard; pauses up to 0.1 s at first and 2 s later. */
  public static final RetryPolicy DEFAULT =
      new RetryPolicy(
          Duration.ofSeconds(30),
          Duration.ofSeconds(5),
          Duration.ofMillis(100),
          Duration.ofSeconds(2));

  /**
   * How long to pause after a failure, with full jitter: clients must not come back together.
   *
   * @param failures How many there were before, from 0.
   */
  Duration delay(int failures) {
    double bound =
        Math.min(
            (double) maxDelay.toNanos(),
            initialDelay.toNanos() * Math.pow(2, Math.min(failures, 30)));
    return Duration.ofNanos((long) (ThreadLocalRandom.current().nextDouble() * bound));
  }
}
