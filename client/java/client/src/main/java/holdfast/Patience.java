package holdfast;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Pauses between attempts that bring nothing, until a window is over that begins with the first of
 * them. Make a new one after progress.
 */
final class Patience {
  private final RetryPolicy retry;
  private final Duration window;
  private int failures;
  private long begun;

  /**
   * @param window How long to go on; null for ever.
   */
  Patience(RetryPolicy retry, Duration window) {
    this.retry = retry;
    this.window = window;
  }

  /**
   * Sleep before the next attempt; false when there is to be none.
   *
   * @param told How long the server wants to be left alone. Half as much again is spread over its
   *     clients.
   */
  boolean pause(Optional<Duration> told) {
    long now = System.nanoTime();
    if (failures == 0) {
      begun = now;
    }
    long delay = retry.delay(failures).toNanos();
    if (told.isPresent()) {
      double spread = 1 + ThreadLocalRandom.current().nextDouble() / 2;
      delay = Math.max(delay, (long) (told.get().toNanos() * spread));
    }
    if (window != null && now - begun + delay > window.toNanos()) {
      return false;
    }
    failures++;
    try {
      Thread.sleep(delay / 1_000_000, (int) (delay % 1_000_000));
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new HoldfastException.Cancelled(
          "The thread was interrupted while it waited for the server.");
    }
    return true;
  }
}
