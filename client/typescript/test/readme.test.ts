import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { connect } from "../src/index.js";
import { cleanEnvironment, PACKAGE, Server, SKIPPED, temporaryDirectory } from "./servers.js";

/** The programs of the README, in order. */
const PROGRAMS = Array.from(readFileSync(join(PACKAGE, "README.md"), "utf8").matchAll(/```ts\n(.+?)```/gs), (found) => {
  return found[1] ?? "";
});

describe("the README", { skip: SKIPPED }, () => {
  const directory = temporaryDirectory();
  let server: Server;

  before(async () => {
    server = await Server.start(join(directory.path, "data"));
    // As npm would have installed it.
    mkdirSync(join(directory.path, "node_modules", "@holdfast"), { recursive: true });
    symlinkSync(PACKAGE, join(directory.path, "node_modules", "@holdfast", "client"));
    writeFileSync(join(directory.path, "model.bin"), Buffer.alloc(100_000, 1));
  });

  after(async () => {
    await server.stop();
    directory.remove();
  });

  test("shows programs that run, and log an artifact", async () => {
    assert.ok(PROGRAMS.length >= 2);
    for (const [number, program] of PROGRAMS.entries()) {
      const file = join(directory.path, `${number}.mjs`);
      writeFileSync(file, program);
      const environment = cleanEnvironment({ HOLDFAST_URI: server.uri });
      const done = spawnSync(process.execPath, [file], { cwd: directory.path, env: environment, encoding: "utf8" });
      assert.equal(done.status, 0, `${program}\n${done.stderr}`);
      if (number === 0) assert.match(done.stdout, /model\.bin 100000/);
    }
    const client = connect(server.uri);
    const { version } = await client.getModelVersionByAlias("first-model", "prod");
    assert.equal(version, 1);
    client.close();
  });
});
