import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import * as holdfast from "../src/index.js";
import { holdfast as cli, Server, SKIPPED, temporaryDirectory } from "./servers.js";

describe("a server with TLS and tokens", { skip: SKIPPED }, () => {
  const directory = temporaryDirectory();
  const at = (...names: string[]): string => join(directory.path, ...names);
  let server: Server;
  let token: string;

  before(async () => {
    cli("server", "tls-init", at("tls"));
    const certificate = ["--tls-cert", at("tls", "server.crt"), "--tls-key", at("tls", "server.key")];
    server = await Server.start(at("data"), ["--port", "0", "--auth", "tokens", ...certificate]);
    const owner = `unix:${at("data", "holdfast.sock")}`;
    token = cli("--uri", owner, "token", "create", "--principal", "ada", "--role", "write", "--expires", "1d").trim();
  });

  after(async () => {
    await server.stop();
    directory.remove();
  });

  test("is used with the certificate of its authority and a token", async () => {
    const client = holdfast.connect(server.uri, { token, caFile: at("tls", "ca.crt") });
    assert.equal((await client.capabilities()).principal, "ada");
    const run = await client.createRun();
    const data = randomBytes(9_000_000);
    writeFileSync(at("model.bin"), data);
    await run.logArtifact(at("model.bin"));
    assert.ok((await client.readRange(run.uri("model.bin"), 0, data.length)).equals(data));
    client.close();
  });

  test("says at once what is wrong with a token, or that there is none", async () => {
    for (const [wrong, reason] of [
      ["", "TOKEN_MISSING"],
      ["hft_0", "TOKEN_MALFORMED"],
    ]) {
      const client = holdfast.connect(server.uri, { token: wrong, caFile: at("tls", "ca.crt") });
      await assert.rejects(client.capabilities(), (error) => {
        return error instanceof holdfast.UnauthenticatedError && error.reason === reason && error.requestId !== "";
      });
      client.close();
    }
  });

  test("is not trusted without its authority, and the error says what to set", async () => {
    const client = holdfast.connect(server.uri, { token });
    await assert.rejects(client.capabilities(), (error) => {
      return error instanceof holdfast.TlsError && /HOLDFAST_TLS_CA_FILE must name/.test(error.message);
    });
    client.close();
  });

  test("is not spoken to in the clear, and the error says so", async () => {
    const client = holdfast.connect(server.uri.replace("+tls", ""), { token });
    await assert.rejects(client.capabilities(), (error) => {
      return error instanceof holdfast.TlsError && /speaks TLS: use holdfast\+tls:/.test(error.message);
    });
    client.close();
  });

  test("that wants a certificate of its clients is used with one, and says what is missing without", async () => {
    cli("server", "tls-init", at("tls"), "--client", "ana");
    const files = ["--tls-cert", at("tls", "server.crt"), "--tls-key", at("tls", "server.key")];
    const authority = ["--tls-client-ca", at("tls", "ca.crt")];
    const mutual = await Server.start(at("other-data"), ["--port", "0", ...files, ...authority]);
    const own = { certFile: at("tls", "client-ana.crt"), keyFile: at("tls", "client-ana.key") };
    const client = holdfast.connect(mutual.uri, { caFile: at("tls", "ca.crt"), ...own });
    assert.equal((await client.capabilities()).authenticationEnabled, false);
    client.close();
    const stranger = holdfast.connect(mutual.uri, { caFile: at("tls", "ca.crt") });
    await assert.rejects(stranger.capabilities(), (error) => {
      return error instanceof holdfast.TlsError && /HOLDFAST_TLS_CERT_FILE/.test(error.message);
    });
    stranger.close();
    await mutual.stop();
  });

  test("cannot be spoken to with files that hold no certificate", async () => {
    writeFileSync(at("empty.crt"), "nothing");
    for (const [caFile, text] of [
      [at("missing.crt"), /cannot be read/],
      [at("empty.crt"), /no whole certificate/],
    ] as const) {
      const client = holdfast.connect(server.uri, { token, caFile });
      await assert.rejects(
        client.capabilities(),
        (error) => error instanceof holdfast.TlsError && text.test(error.message),
      );
      client.close();
    }
  });
});
