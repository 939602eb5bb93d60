import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { fromBinary } from "@bufbuild/protobuf";

import { encodeChunk, MAX_HEAD } from "../src/format/chunks.js";
import { brokenPathRule } from "../src/format/paths.js";
import { WriteBlocksRequestSchema } from "../src/gen/holdfast/v1/artifact_service_pb.js";
import { InvalidArgumentError, LocalFileError, OutOfRangeError } from "../src/index.js";
import { toInt64, toNumber } from "../src/numbers.js";
import { checkPlatform, FoldedPaths } from "../src/transfer/names.js";

describe("artifact paths", () => {
  for (const path of ["a", "a/b.txt", "größe/学習 率.txt", ".hidden", "a..b", "x".repeat(255)]) {
    test(`${JSON.stringify(path.slice(0, 20))} is one`, () => assert.equal(brokenPathRule(path), ""));
  }

  const refused: [path: string, rule: RegExp][] = [
    ["", /empty/],
    ["/etc/passwd", /relative/],
    ["a\\b", /backslash/],
    ["file:/x", /URI/],
    ["C:x", /drive/],
    ["a/%2E%2e/b", /%2e/],
    ["a\u0000b", /control/],
    ["a\u202eb", /direction/],
    ["a\uff0fb", /look-alikes/],
    ["a//b", /empty component/],
    ["a/../b", /'\.\.'/],
    ["a/ b", /space/],
    ["a/b.", /dot/],
    ["\ud800", /UTF-8/],
    ["ä".repeat(128), /255 bytes/],
    ["x/".repeat(32) + "x", /32 components/],
    [
      "x".repeat(200) +
        "/y".repeat(10) +
        "/" +
        "z".repeat(255) +
        "/" +
        "z".repeat(255) +
        "/" +
        "z".repeat(255) +
        "/" +
        "z".repeat(255),
      /1024 bytes/,
    ],
  ];
  for (const [path, rule] of refused) {
    test(`${JSON.stringify(path.slice(0, 20))} is refused by its rule`, () => assert.match(brokenPathRule(path), rule));
  }
});

describe("names", () => {
  test("that would be one file where case does not count are refused, naming both", () => {
    const paths = new FoldedPaths();
    for (const path of ["a/b", "a/c", "a/b"]) paths.add(path);
    assert.throws(() => paths.add("A/C"), /a\/c and A\/C would be the same file/);
    paths.add("caf\u00e9");
    assert.throws(() => paths.add("cafe\u0301"), /would be the same file/);
  });

  test("that Windows reserves are refused there", () => {
    for (const path of ["a/con.txt", "b?", "x/LPT1"]) {
      assert.throws(() => checkPlatform(path, "win32"), LocalFileError);
      checkPlatform(path, "linux");
    }
    checkPlatform("a/console.txt", "win32");
  });
});

describe("chunks", () => {
  for (const size of [1, 127, 128, 1 << 20]) {
    test(`a chunk of ${size} bytes is what the generated message reads`, () => {
      const data = Buffer.alloc(size, 7);
      const digest = Buffer.alloc(32, 9);
      const buffer = Buffer.alloc(size + MAX_HEAD);
      const { chunk } = fromBinary(WriteBlocksRequestSchema, encodeChunk(buffer, data, { digest, size: 8 << 20 }));
      assert.deepEqual(Buffer.from(chunk?.data ?? []), data);
      assert.deepEqual(Buffer.from(chunk?.digest ?? []), digest);
      assert.equal(chunk?.size, 8 << 20);
      const rest = fromBinary(WriteBlocksRequestSchema, encodeChunk(buffer, data)).chunk;
      assert.deepEqual([rest?.digest.length, rest?.size, rest?.data.length], [0, 0, size]);
    });
  }
});

describe("numbers of 64 bits", () => {
  test("are exact, or refused", () => {
    assert.equal(toNumber(9007199254740991n, "A step"), Number.MAX_SAFE_INTEGER);
    assert.throws(() => toNumber(9007199254740993n, "A step"), OutOfRangeError);
    assert.equal(toInt64(-5, "A step"), -5n);
    assert.equal(toInt64(2n ** 62n, "A step"), 2n ** 62n);
    for (const bad of [0.5, NaN, 2 ** 53, 2n ** 63n]) {
      assert.throws(() => toInt64(bad, "A step"), InvalidArgumentError);
    }
  });
});
