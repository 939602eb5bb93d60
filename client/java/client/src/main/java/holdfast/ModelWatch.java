package holdfast;

import holdfast.v1.Event;
import holdfast.v1.EventSubject;
import holdfast.v1.EventType;
import holdfast.v1.ModelRegistryServiceGrpc;
import holdfast.v1.WatchRegisteredModelRequest;
import holdfast.v1.WatchRegisteredModelResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;

/**
 * A registered model as it is, then each change of it, its versions and aliases, as they come.
 *
 * <p>It goes on where it was when the connection breaks or the server is restarted, and looks for a
 * server that went away until it is back. What came is neither missed nor repeated. It ends when it
 * is closed, from any thread, or the model is deleted. One thread iterates.
 */
public final class ModelWatch implements Iterator<ModelEvent>, AutoCloseable {
  /** Answers that may wait to be taken; the server keeps those that follow. */
  private static final int AHEAD = 100;

  private final Connection connection;
  private final String name;
  private String cursor;
  private Patience patience;
  private ModelEvent upcoming;
  private boolean ended;
  private volatile boolean closed;
  private volatile StreamCall<WatchRegisteredModelRequest, WatchRegisteredModelResponse> call;

  ModelWatch(Connection connection, String name, String cursor) {
    this.connection = connection;
    this.name = name;
    this.cursor = cursor;
  }

  /**
   * Wait for the next event; false when the watch was closed or the model deleted.
   *
   * @throws HoldfastException.NotFound There is no such model.
   * @throws HoldfastException.OutOfRange What followed the cursor is not kept any more.
   * @throws HoldfastException.Unavailable No server was found when the watch began.
   */
  @Override
  public boolean hasNext() {
    while (upcoming == null && !ended && !closed) {
      try {
        WatchRegisteredModelResponse response =
            call == null ? connection.run(this::begin) : call.next();
        if (response == null && call == null) {
          ended = true; // the cursor stands behind the end of the model
        } else if (response == null) {
          throw Status.UNAVAILABLE
              .withDescription("the server ended the stream early")
              .asRuntimeException();
        } else {
          take(response);
        }
      } catch (StatusRuntimeException broken) {
        goOn(connection.translate(broken));
      } catch (HoldfastException.Unavailable away) {
        goOn(away);
      } catch (HoldfastException.Cancelled cancelled) {
        if (!closed) {
          throw cancelled;
        }
      }
    }
    return upcoming != null && !closed;
  }

  @Override
  public ModelEvent next() {
    if (!hasNext()) {
      throw new NoSuchElementException("the watch is closed, or the model deleted");
    }
    ModelEvent event = upcoming;
    upcoming = null;
    return event;
  }

  /** End the watch; a thread that waits for its next event gets none. */
  @Override
  public void close() {
    closed = true;
    if (call != null) {
      call.close();
    }
  }

  /** Begin, or go on; the first answer comes at once. Null when there is nothing more to tell. */
  private WatchRegisteredModelResponse begin() {
    StreamCall<WatchRegisteredModelRequest, WatchRegisteredModelResponse> begun =
        connection.stream(ModelRegistryServiceGrpc.getWatchRegisteredModelMethod(), AHEAD);
    call = begun;
    if (closed) {
      begun.close();
    }
    begun.send(WatchRegisteredModelRequest.newBuilder().setName(name).setCursor(cursor).build());
    begun.halfClose();
    WatchRegisteredModelResponse first = null;
    try {
      first = begun.next();
    } finally {
      if (first == null) {
        begun.close();
        call = null;
      }
    }
    if (first == null && cursor.isEmpty()) {
      throw Status.UNAVAILABLE
          .withDescription("the server ended the stream early")
          .asRuntimeException();
    }
    return first;
  }

  private void take(WatchRegisteredModelResponse response) {
    patience = null;
    cursor = response.getCursor();
    if (response.hasRegisteredModel()) {
      upcoming =
          new ModelEvent(cursor, Optional.of(response.getRegisteredModel()), Optional.empty());
    } else if (response.hasEvent()) {
      Event event = response.getEvent();
      ended =
          event.getSubject() == EventSubject.EVENT_SUBJECT_REGISTERED_MODEL
              && event.getType() == EventType.EVENT_TYPE_DELETED;
      upcoming = new ModelEvent(cursor, Optional.empty(), Optional.of(event));
    }
  }

  /** Pause before the next look for the server, for as long as it takes. */
  private void goOn(HoldfastException failure) {
    StreamCall<WatchRegisteredModelRequest, WatchRegisteredModelResponse> broken = call;
    call = null;
    if (broken != null) {
      broken.close();
    }
    if (closed || connection.isClosed()) {
      closed = true;
      return;
    }
    // Without a cursor nobody was ever there: the address is more likely wrong than the server
    // away.
    if (cursor.isEmpty() || !RpcErrors.isInterruption(failure)) {
      throw failure;
    }
    patience = patience == null ? new Patience(connection.retry(), null) : patience;
    patience.pause(failure.retryAfter());
    connection.revive();
  }
}
