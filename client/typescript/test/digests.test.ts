import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { sha256 } from "../src/format/digests.js";
import { BLOCK_SIZE, fileDigest, hashFile, LocalFileError, treeDigest } from "../src/index.js";
import { BlockBuffers } from "../src/transfer/buffers.js";
import { HashThreads } from "../src/transfer/hash-threads.js";
import { hashBlocks } from "../src/transfer/hashing.js";
import { findFile, type Source } from "../src/transfer/sources.js";
import { ROOT, temporaryDirectory } from "./servers.js";

/** The test vectors of the protocol's page, by what they are of. */
const VECTORS = new Map(
  Array.from(
    readFileSync(join(ROOT, "docs/protocol.md"), "utf8").matchAll(/^\| (.+?) \| `([0-9a-f]{64})` \|$/gm),
    (row) => [row[1], row[2]],
  ),
);

describe("digests", () => {
  const directory = temporaryDirectory();
  before(() => assert.equal(VECTORS.size, 5));
  after(directory.remove);

  const contents: [name: string, data: Uint8Array][] = [
    ["empty file", Buffer.alloc(0)],
    ["`hello`", Buffer.from("hello")],
    ["8,388,608 zero bytes", Buffer.alloc(BLOCK_SIZE)],
    ["8,388,609 zero bytes", Buffer.alloc(BLOCK_SIZE + 1)],
  ];
  for (const [name, data] of contents) {
    test(`a file has the digest that the protocol's page gives for: ${name}`, async () => {
      const path = join(directory.path, `${data.length}`);
      writeFileSync(path, data);
      assert.equal((await hashFile(path)).toString("hex"), VECTORS.get(name));
    });
  }

  for (const withThreads of [false, true]) {
    const how = withThreads ? "in threads" : "by Node itself";
    test(`a file that changed since it was found is an error, read ${how}, and so is one that is gone`, async () => {
      const path = join(directory.path, `changing-${String(withThreads)}`);
      const threads = withThreads ? new HashThreads() : undefined;
      const hash = async (source: Source): Promise<string[]> => {
        const names: string[] = [];
        for await (const batch of hashBlocks([source], new BlockBuffers(withThreads), threads)) {
          names.push(...batch.map((block) => block.name));
        }
        return names;
      };
      writeFileSync(path, Buffer.alloc(BLOCK_SIZE + 100_000, 1));
      const source = await findFile(path);
      const whole = fileDigest((await hash(source)).map((name) => Buffer.from(name, "hex")));
      assert.ok(whole.equals(await hashFile(path)));
      writeFileSync(path, Buffer.alloc(BLOCK_SIZE, 1));
      await assert.rejects(hash(source), /changed while it was logged/);
      rmSync(path);
      await assert.rejects(hash(source), LocalFileError);
      await threads?.close();
    });
  }

  test("threads read into the same memory again, and refuse when they have ended", async () => {
    const path = join(directory.path, "parts");
    writeFileSync(path, Buffer.concat([Buffer.alloc(3 << 20, 1), Buffer.alloc(3 << 20, 2)]));
    const threads = new HashThreads();
    const memory = new BlockBuffers(true).take(3 << 20);
    for (const part of [0, 1, 0, 1]) {
      const answer = await threads.load(path, part * memory.length, memory);
      assert.ok("digest" in answer && (await sha256(Buffer.alloc(3 << 20, part + 1))).equals(answer.digest));
      assert.equal(memory[memory.length - 1], part + 1);
    }
    await threads.close();
    await assert.rejects(threads.load(path, 0, memory), /thread that hashes ended/);
  });

  test("a tree has the digest that the protocol's page gives, whatever order its entries come in", () => {
    const [name, expected] = [...VECTORS].at(-1) ?? [];
    assert.match(name ?? "", /^tree: directory `d`/);
    const empty = { isDirectory: false, executable: false, size: 0, digest: Buffer.alloc(0) };
    const digest = treeDigest([
      { ...empty, path: "run", executable: true, digest: Buffer.from(VECTORS.get("empty file") ?? "", "hex") },
      { ...empty, path: "d/hello", size: 5, digest: Buffer.from(VECTORS.get("`hello`") ?? "", "hex") },
      { ...empty, path: "d", isDirectory: true },
    ]);
    assert.equal(digest.toString("hex"), expected);
  });
});
