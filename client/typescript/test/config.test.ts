import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, test } from "node:test";

import { parseTarget } from "../src/config.js";
import { InvalidArgumentError } from "../src/index.js";

const refusal = (text: RegExp) => (error: unknown) => error instanceof InvalidArgumentError && text.test(error.message);

describe("where the server is", () => {
  const good: [text: string, uri: string, address: string][] = [
    ["holdfast://localhost", "holdfast://localhost:5600", "localhost:5600"],
    ["holdfast://127.0.0.1:1/", "holdfast://127.0.0.1:1", "127.0.0.1:1"],
    ["holdfast://[::1]:7", "holdfast://[::1]:7", "[::1]:7"],
    ["holdfast+tls://DB.lan:443", "holdfast+tls://db.lan:443", "db.lan:443"],
    ["holdfast://db.lan?insecure=true", "holdfast://db.lan:5600?insecure=true", "db.lan:5600"],
    ["unix:///run/holdfast.sock", "unix:/run/holdfast.sock", "unix:/run/holdfast.sock"],
  ];
  for (const [text, uri, address] of good) {
    test(`${text} is understood, and says itself in one way`, () => {
      const target = parseTarget(text, {}, {});
      assert.deepEqual([target.uri, target.address], [uri, address]);
      assert.equal(parseTarget(target.uri, {}, {}).uri, uri);
    });
  }

  const bad: [text: string, rule: RegExp][] = [
    ["holdfast://db.lan", /in the clear.*holdfast\+tls:\/\/db\.lan:5600/],
    ["holdfast://db.lan?insecure=maybe", /true or false/],
    ["holdfast://localhost?tls=1", /Unknown option tls/],
    ["holdfast://me:secret@localhost", /Credentials do not belong in a URI/],
    ["holdfast://localhost/path", /has a path/],
    ["http://localhost:5600", /speaks gRPC/],
    ["localhost:5600", /lacks a scheme: write holdfast:\/\/localhost:5600/],
    ["./data", /no server of its own/],
    ["postgresql://me:secret@db", /scheme postgresql is not supported/],
    [`unix:/${"x".repeat(120)}`, /at most 107 bytes/],
  ];
  for (const [text, rule] of bad) {
    test(`${text.slice(0, 40)} is refused, with what to do`, () => {
      assert.throws(() => parseTarget(text, {}, {}), refusal(rule));
      assert.throws(
        () => parseTarget(text, {}, {}),
        (error: Error) => !error.message.includes("secret"),
      );
    });
  }

  test("without a URI the environment names it, or the error says how", () => {
    assert.equal(parseTarget(undefined, {}, { HOLDFAST_URI: "holdfast://localhost:9" }).uri, "holdfast://localhost:9");
    assert.throws(() => parseTarget(undefined, {}, {}), refusal(/set HOLDFAST_URI/));
  });

  test("the environment gives token and certificates, and what is passed goes before it", () => {
    const environment = {
      HOLDFAST_TOKEN: " hft_1 ",
      HOLDFAST_TLS_CA_FILE: "/ca.crt",
      HOLDFAST_TLS_CERT_FILE: "/my.crt",
      HOLDFAST_TLS_KEY_FILE: "/my.key",
    };
    const target = parseTarget("holdfast+tls://db", { caFile: "/other.crt" }, environment);
    assert.deepEqual(
      [target.token, target.caFile, target.certFile, target.keyFile],
      ["hft_1", "/other.crt", "/my.crt", "/my.key"],
    );
    assert.throws(() => parseTarget("holdfast+tls://db", { certFile: "/my.crt" }, {}), refusal(/go together/));
    assert.throws(() => parseTarget("holdfast://localhost", { token: "ä" }, {}), refusal(/token never has/));
  });

  test("a token is not shown where a target is printed", () => {
    const target = parseTarget("holdfast://localhost", { token: "hft_secret" }, {});
    assert.ok(!(inspect(target) + JSON.stringify(target)).includes("hft_secret"));
  });
});
