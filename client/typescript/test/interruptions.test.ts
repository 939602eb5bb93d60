import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer, connect as connectSocket, type Server as Listener, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import * as holdfast from "../src/index.js";
import { Server, SKIPPED, temporaryDirectory } from "./servers.js";

/** Stands between client and server, and cuts connections once so many bytes went one way. */
class Proxy {
  private readonly listener: Listener;
  private readonly sockets = new Set<Socket>();
  private cutAfter = Infinity;
  private passed = 0;
  cuts = 0;

  constructor(private readonly port: number) {
    this.listener = createServer((client) => this.pass(client));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.listener.listen(0, "127.0.0.1", resolve));
    const address = this.listener.address();
    assert.ok(address !== null && typeof address === "object");
    return `holdfast://127.0.0.1:${address.port}`;
  }

  /** Cut all connections when `bytes` more went through, both ways together; once. */
  cutAfterBytes(bytes: number): void {
    this.passed = 0;
    this.cutAfter = bytes;
  }

  close(): void {
    this.listener.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private pass(client: Socket): void {
    const server = connectSocket(this.port, "127.0.0.1");
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
      from.on("data", (data: Buffer) => {
        this.passed += data.length;
        if (this.passed >= this.cutAfter) {
          this.cut();
        } else if (!to.write(data)) {
          from.pause();
          to.once("drain", () => from.resume());
        }
      });
    }
  }

  private cut(): void {
    this.cutAfter = Infinity;
    this.cuts += 1;
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }
}

describe("interruptions", { skip: SKIPPED }, () => {
  const directory = temporaryDirectory();
  const file = join(directory.path, "model.bin");
  let server: Server;
  let proxy: Proxy;
  let client: holdfast.Client;
  let run: holdfast.Run;
  let digest: Buffer;

  before(async () => {
    server = await Server.start(join(directory.path, "data"));
    proxy = new Proxy(Number(server.port));
    client = holdfast.connect(await proxy.listen());
    run = await client.createRun();
    writeFileSync(file, randomBytes(40_000_000));
    digest = await holdfast.hashFile(file);
  });

  after(async () => {
    client.close();
    proxy.close();
    await server.stop();
    directory.remove();
  });

  test("an upload goes on when the network is cut", async () => {
    proxy.cutAfterBytes(20_000_000);
    await run.logArtifact(file);
    assert.equal(proxy.cuts, 1);
    assert.equal((await run.listArtifacts())[0]?.digest, digest.toString("hex"));
  });

  test("a download goes on when the network is cut", async () => {
    await run.logArtifact(file);
    proxy.cutAfterBytes(20_000_000);
    const path = await run.download("model.bin", join(directory.path, "back"));
    assert.equal(proxy.cuts, 2);
    assert.ok((await holdfast.hashFile(path)).equals(digest));
  });

  test("calls and uploads wait for a server that was killed and comes back", async () => {
    await server.stop("SIGKILL");
    const logged = run.logParam("lr", 0.1);
    const uploaded = run.logArtifact(file, { artifactPath: "again" });
    server = await Server.start(join(directory.path, "data"), ["--port", server.port]);
    await Promise.all([logged, uploaded]);
    assert.deepEqual((await run.get()).params, { lr: "0.1" });
  });

  test("where nobody ever answered, it is said soon, and what to do", async () => {
    const nobody = holdfast.connect("holdfast://127.0.0.1:9");
    await assert.rejects(nobody.capabilities(), (error) => {
      return error instanceof holdfast.UnavailableError && /No Holdfast server answers at/.test(error.message);
    });
    nobody.close();
  });
});
