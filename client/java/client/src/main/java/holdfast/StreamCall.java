package holdfast;

import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A call of any kind whose messages are sent, and whose answers are taken, by waiting. One thread
 * uses it; any may close it.
 */
final class StreamCall<Q, R> extends ClientCall.Listener<R> implements AutoCloseable {
  private final ClientCall<Q, R> call;
  private final Runnable heard;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final Deque<R> answers = new ArrayDeque<>();
  private StatusRuntimeException error;
  private boolean ended;

  /**
   * Begin the call.
   *
   * @param ahead Answers that may wait to be taken.
   * @param heard Is called, from any thread, for each answer.
   */
  StreamCall(ClientCall<Q, R> call, int ahead, Runnable heard) {
    this.call = call;
    this.heard = heard;
    call.start(this, new Metadata());
    call.request(ahead);
  }

  /** Send a message; it may wait here to be written. After the call's end it goes nowhere. */
  void send(Q message) {
    if (!isEnded()) {
      try {
        call.sendMessage(message);
      } catch (IllegalStateException cancelled) {
        // By another thread meanwhile; who takes the next answer is told.
        return;
      }
    }
  }

  /** Say that no more messages follow. */
  void halfClose() {
    if (!isEnded()) {
      call.halfClose();
    }
  }

  /**
   * Wait until what was sent is written, but for a little, or the call ended; true if it did not.
   */
  boolean awaitReady() {
    lock.lock();
    try {
      while (!ended && !call.isReady()) {
        changed.await();
      }
      return !ended;
    } catch (InterruptedException interrupted) {
      throw interrupted();
    } finally {
      lock.unlock();
    }
  }

  /** The next answer, or null when there is none so far. */
  R poll() {
    lock.lock();
    try {
      return answers.isEmpty() ? null : take();
    } finally {
      lock.unlock();
    }
  }

  /**
   * Wait for the next answer; null at the end.
   *
   * @throws StatusRuntimeException The call ended with an error.
   */
  R next() {
    lock.lock();
    try {
      while (answers.isEmpty() && !ended) {
        changed.await();
      }
      if (!answers.isEmpty()) {
        return take();
      }
      if (error != null) {
        throw error;
      }
      return null;
    } catch (InterruptedException interrupted) {
      throw interrupted();
    } finally {
      lock.unlock();
    }
  }

  /** The one answer of a call that has one. */
  R answer() {
    R answer = next();
    if (answer == null) {
      throw Status.UNAVAILABLE
          .withDescription("the server ended the call without an answer")
          .asRuntimeException();
    }
    return answer;
  }

  @Override
  public void close() {
    if (!isEnded()) {
      call.cancel("not needed any more", null);
    }
  }

  @Override
  public void onMessage(R message) {
    heard.run();
    lock.lock();
    try {
      answers.add(message);
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  @Override
  public void onReady() {
    lock.lock();
    try {
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    lock.lock();
    try {
      ended = true;
      error = status.isOk() ? null : status.asRuntimeException(trailers);
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private R take() {
    R answer = answers.remove();
    if (!ended) {
      call.request(1);
    }
    return answer;
  }

  private boolean isEnded() {
    lock.lock();
    try {
      return ended;
    } finally {
      lock.unlock();
    }
  }

  private HoldfastException interrupted() {
    Thread.currentThread().interrupt();
    close();
    return new HoldfastException.Cancelled(
        "The thread was interrupted while it waited for the server.");
  }
}
