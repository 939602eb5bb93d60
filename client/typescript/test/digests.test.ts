import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { BLOCK_SIZE, hashFile, treeDigest } from "../src/index.js";
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
