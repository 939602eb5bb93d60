package holdfast;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** Stands between a client and a server, cuts connections and flips bits. */
final class TestProxy implements AutoCloseable {
  private static final long NEVER = Long.MAX_VALUE;

  private final ServerSocket listener;
  private final int serverPort;
  private final List<Socket> sockets = new CopyOnWriteArrayList<>();
  private final AtomicLong up = new AtomicLong();
  private final AtomicLong down = new AtomicLong();
  private final AtomicInteger cuts = new AtomicInteger();
  private volatile long cutUpAfter = NEVER;
  private volatile long cutDownAfter = NEVER;
  private volatile long flipDownAt = NEVER;

  TestProxy(int serverPort) throws IOException {
    this.serverPort = serverPort;
    this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    begin(this::accept);
  }

  String uri() {
    return "holdfast://127.0.0.1:" + listener.getLocalPort();
  }

  /** Cut all connections, once, when so many more bytes went to the server. */
  void cutUpAfter(long bytes) {
    cutUpAfter = up.get() + bytes;
  }

  /** Cut all connections, once, when so many more bytes came from the server. */
  void cutDownAfter(long bytes) {
    cutDownAfter = down.get() + bytes;
  }

  /** Flip a bit, once, when so many more bytes came from the server. */
  void flipDownAfter(long bytes) {
    flipDownAt = down.get() + bytes;
  }

  int cuts() {
    return cuts.get();
  }

  long bytesUp() {
    return up.get();
  }

  @Override
  public void close() throws IOException {
    listener.close();
    cutAll();
  }

  private void accept() throws IOException {
    while (true) {
      Socket client = listener.accept();
      Socket server = new Socket(InetAddress.getLoopbackAddress(), serverPort);
      sockets.add(client);
      sockets.add(server);
      begin(() -> pumpUp(client.getInputStream(), server.getOutputStream()));
      begin(() -> pumpDown(server.getInputStream(), client.getOutputStream()));
    }
  }

  private void pumpUp(InputStream from, OutputStream to) throws IOException {
    byte[] buffer = new byte[16 << 10];
    for (int count = from.read(buffer); count > 0; count = from.read(buffer)) {
      if (up.addAndGet(count) >= cutUpAfter) {
        cutUpAfter = NEVER;
        cuts.incrementAndGet();
        cutAll();
        return;
      }
      to.write(buffer, 0, count);
    }
    cutAll();
  }

  private void pumpDown(InputStream from, OutputStream to) throws IOException {
    byte[] buffer = new byte[16 << 10];
    for (int count = from.read(buffer); count > 0; count = from.read(buffer)) {
      long before = down.getAndAdd(count);
      if (before + count >= cutDownAfter) {
        cutDownAfter = NEVER;
        cuts.incrementAndGet();
        cutAll();
        return;
      }
      if (flipDownAt >= before && flipDownAt < before + count) {
        buffer[(int) (flipDownAt - before)] ^= 1;
        flipDownAt = NEVER;
      }
      to.write(buffer, 0, count);
    }
    cutAll();
  }

  private void cutAll() throws IOException {
    for (Socket socket : sockets) {
      socket.close();
    }
    sockets.clear();
  }

  private interface Work {
    void run() throws IOException;
  }

  private static void begin(Work work) {
    Thread thread =
        new Thread(
            () -> {
              try {
                work.run();
              } catch (IOException closed) {
                return; // as happens at the end
              }
            });
    thread.setDaemon(true);
    thread.start();
  }
}
