import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import * as holdfast from "../src/index.js";
import { Server, SKIPPED, temporaryDirectory } from "./servers.js";

describe("artifacts", { skip: SKIPPED }, () => {
  const directory = temporaryDirectory();
  let server: Server;
  let client: holdfast.Client;
  let run: holdfast.Run;
  let experimentId: string;

  /** A path of the test's own directory. */
  const at = (...names: string[]): string => join(directory.path, ...names);

  before(async () => {
    server = await Server.start(at("data"));
    client = holdfast.connect(server.uri);
    ({ experimentId } = await client.experiment("artifacts"));
    run = await client.createRun({ experimentId });
    mkdirSync(at("set", "empty"), { recursive: true });
    mkdirSync(at("set", "größe"));
    writeFileSync(at("set", "none"), "");
    writeFileSync(at("set", "größe", "run.sh"), "#!/bin/sh\n");
    chmodSync(at("set", "größe", "run.sh"), 0o755);
    writeFileSync(at("set", "two-blocks.bin"), randomBytes(2 * holdfast.BLOCK_SIZE));
    writeFileSync(at("set", "medium.bin"), randomBytes(3_000_000));
    for (let number = 0; number < 300; number += 1) writeFileSync(at("set", `${number}.txt`), `number ${number}`);
    symlinkSync("0.txt", at("set", "link.txt"));
  });

  after(async () => {
    client.close();
    await server.stop();
    directory.remove();
  });

  test("a directory comes back as it was: contents, empty directories and executable bits", async () => {
    await run.logArtifact(at("set"), { artifactPath: "logged" });
    const listed = await run.listArtifacts("", { recursive: true });
    const paths = new Set(listed.map((artifact) => artifact.path));
    for (const path of ["logged", "logged/set", "logged/set/empty", "logged/set/größe/run.sh", "logged/set/link.txt"]) {
      assert.ok(paths.has(path), path);
    }
    mkdirSync(at("back"));
    const path = await run.download("logged/set", at("back"));
    assert.equal(path, at("back", "set"));
    assert.deepEqual(readdirSync(path).sort(), readdirSync(at("set")).sort());
    for (const name of ["none", "two-blocks.bin", "medium.bin", "299.txt", "link.txt", "größe/run.sh"]) {
      assert.ok(readFileSync(join(path, name)).equals(readFileSync(at("set", name))), name);
    }
    assert.ok(statSync(join(path, "empty")).isDirectory());
    assert.ok((statSync(join(path, "größe", "run.sh")).mode & 0o100) !== 0);
    assert.ok((statSync(join(path, "none")).mode & 0o100) === 0);
  });

  test("digests are those of the local files, and files that are there are replaced", async () => {
    await run.logArtifact(at("set", "two-blocks.bin"));
    const [artifact] = await run.listArtifacts("two-blocks.bin");
    const digest = (await holdfast.hashFile(at("set", "two-blocks.bin"))).toString("hex");
    assert.deepEqual([artifact?.path, artifact?.size, artifact?.digest], ["two-blocks.bin", 2 << 23, digest]);
    mkdirSync(at("again"));
    writeFileSync(at("again", "two-blocks.bin"), "something else");
    await run.download("two-blocks.bin", at("again"));
    assert.equal((await holdfast.hashFile(at("again", "two-blocks.bin"))).toString("hex"), digest);
    assert.deepEqual(readdirSync(at("again")), ["two-blocks.bin"]);
  });

  test("ranges are read across the edges of blocks", async () => {
    await run.logArtifact(at("set", "two-blocks.bin"));
    const whole = readFileSync(at("set", "two-blocks.bin"));
    const reader = await client.open(run.uri("two-blocks.bin"));
    assert.equal(reader.size, whole.length);
    for (const [offset, length] of [
      [0, 1],
      [holdfast.BLOCK_SIZE - 3, 10],
      [whole.length - 5, 100],
      [whole.length, 5],
      [0, whole.length],
    ] as const) {
      assert.ok((await reader.read(offset, length)).equals(whole.subarray(offset, offset + length)), `${offset}`);
    }
    const pieces: Buffer[] = [];
    for await (const piece of reader.stream(100)) pieces.push(piece);
    assert.ok(Buffer.concat(pieces).equals(whole.subarray(100)));
    await assert.rejects(reader.read(-1, 5), holdfast.InvalidArgumentError);
  });

  test("bytes and texts in memory become files", async () => {
    await run.logText("größe", "notes/a.txt");
    await run.logBytes(randomBytes(200_000), "notes/b.bin");
    assert.equal((await client.readRange(run.uri("notes/a.txt"), 0, 100)).toString(), "größe");
    const sizes = (await run.listArtifacts("notes")).map((artifact) => [artifact.path, artifact.size]);
    assert.deepEqual(sizes, [
      ["notes/a.txt", 7],
      ["notes/b.bin", 200_000],
    ]);
  });

  test("what cannot be logged is refused before anything is sent", async () => {
    const other = await client.createRun({ experimentId });
    mkdirSync(at("links"));
    symlinkSync("/etc/hostname", at("links", "leaving"));
    await assert.rejects(other.logArtifact(at("nothing")), (error) => {
      return error instanceof holdfast.LocalFileError && error.code === "NOT_FOUND";
    });
    await assert.rejects(other.logArtifact("/dev/null"), /is a device/);
    await assert.rejects(other.logArtifact(at("links")), /leaves the directory.*symlinks: "follow"/);
    await assert.rejects(other.logArtifact(at("set", "none"), { artifactPath: "../up" }), (error) => {
      return error instanceof holdfast.InvalidArgumentError && error.reason === "INVALID_PATH";
    });
    assert.deepEqual(await other.listArtifacts(), []);
  });

  test("a run that is not there is named by the error, with the reason and the request", async () => {
    const missing = client.run("0".repeat(32));
    const works = [
      () => missing.get(),
      () => missing.logParam("a", 1),
      () => missing.logArtifact(at("set", "two-blocks.bin")),
    ];
    for (const work of works) {
      await assert.rejects(work, (error) => {
        return error instanceof holdfast.NotFoundError && error.reason === "RUN_NOT_FOUND" && error.requestId !== "";
      });
    }
  });

  test("a download never follows a link that stands in its way", async () => {
    mkdirSync(at("elsewhere"));
    mkdirSync(at("trap"));
    symlinkSync(at("elsewhere"), at("trap", "linked"));
    const other = await client.createRun({ experimentId });
    await other.logText("text", "linked/a.txt");
    await assert.rejects(client.download(other.uri(), at("trap")), /is a symbolic link/);
    assert.deepEqual(readdirSync(at("elsewhere")), []);
  });
});
