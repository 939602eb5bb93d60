import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import * as holdfast from "../src/index.js";
import { RunService } from "../src/gen/holdfast/v1/run_service_pb.js";
import { Server, SKIPPED, temporaryDirectory } from "./servers.js";

describe("runs, models and the registry", { skip: SKIPPED }, () => {
  const directory = temporaryDirectory();
  let server: Server;
  let client: holdfast.Client;
  let experimentId: string;

  before(async () => {
    server = await Server.start(join(directory.path, "data"));
    client = holdfast.connect(server.uri);
    ({ experimentId } = await client.createExperiment("tracking", { tags: { team: "ocr" } }));
  });

  after(async () => {
    client.close();
    await server.stop();
    directory.remove();
  });

  test("an experiment of a name is one, whoever asks first", async () => {
    const found = await Promise.all([client.experiment("shared"), client.experiment("shared")]);
    assert.equal(found[0].experimentId, found[1].experimentId);
    assert.deepEqual((await client.getExperiment({ experimentId })).tags, { team: "ocr" });
    await assert.rejects(client.createExperiment("shared"), holdfast.AlreadyExistsError);
  });

  test("a run has what was logged to it", async () => {
    const run = await client.createRun({ experimentId, name: "first", tags: { kind: "trial" } });
    await run.logParams({ lr: 0.1, epochs: 3, verbose: true, größe: "L" });
    await run.setTag("note", "two\nlines");
    await run.logMetric("loss", NaN, { step: -2, timestamp: 1_700_000_000_001 });
    await run.logMetrics([
      { key: "loss", value: 5e-324, step: 2 },
      { key: "down", value: -Infinity },
    ]);
    await run.finish("FAILED");
    const state = await run.get();
    assert.deepEqual(
      [state.name, state.experimentId, state.status, state.params],
      ["first", experimentId, "FAILED", { lr: "0.1", epochs: "3", verbose: "true", größe: "L" }],
    );
    assert.deepEqual([state.tags["note"], state.tags["kind"]], ["two\nlines", "trial"]);
    assert.deepEqual([state.metrics["loss"]?.value, state.metrics["down"]?.value], [5e-324, -Infinity]);
    const [first] = await run.metricHistory("loss");
    assert.deepEqual(first, { key: "loss", value: NaN, step: -2, timestamp: 1_700_000_000_001 });
    await assert.rejects(run.logMetric("loss", 1, { step: 0.5 }), holdfast.InvalidArgumentError);
    await assert.rejects(run.logParam("lr", 0.2), (error) => {
      return error instanceof holdfast.InvalidArgumentError && error.reason === "PARAM_IMMUTABLE";
    });
  });

  test("more than a request takes goes in several, and histories of many pages come whole", async () => {
    const run = await client.createRun({ experimentId });
    await run.logParams(Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`p${n}`, n])));
    await run.logMetrics(Array.from({ length: 2_500 }, (_, step) => ({ key: "loss", value: step / 3, step })));
    assert.equal(Object.keys((await run.get()).params).length, 150);
    const points = await run.metricHistory("loss");
    assert.deepEqual([points.length, points[2_499]?.value], [2_500, 2_499 / 3]);
  });

  test("every method of the protos can be called", async () => {
    const { runs } = await client.call(RunService.method.searchRuns, { experimentIds: [experimentId], pageSize: 1 });
    assert.equal(runs.length, 1);
    const streamed: string[] = [];
    for await (const message of client.stream(RunService.method.streamRuns, { experimentIds: [experimentId] })) {
      streamed.push(...message.runs.map((run) => run.runId));
    }
    assert.ok(streamed.length > 1);
    await assert.rejects(client.call(RunService.method.getRun, { runId: "x" }), holdfast.HoldfastError);
  });

  test("a model is logged, registered and promoted without races, and who watches sees it", async () => {
    const folder = join(directory.path, "net");
    mkdirSync(folder);
    writeFileSync(join(folder, "MLmodel"), "flavors: {}\n");
    writeFileSync(join(folder, "weights.bin"), Buffer.alloc(100_000, 1));
    const run = await client.createRun({ experimentId });
    const modelId = await run.logModel(folder, { name: "net", params: { depth: 3 } });
    assert.match(modelId, /^m-[0-9a-f]{32}$/);
    const first = await client.registerModel("net", `models:/${modelId}`, { aliases: ["first"] });
    const second = await client.registerModel("net", `models:/${modelId}`, { tags: { checked: "yes" } });
    assert.deepEqual([first.version, second.version, second.tags], [1, 2, { checked: "yes" }]);

    const watch = client.watchModel("net");
    const beginning = (await watch.next()).value;
    assert.deepEqual(beginning?.state?.aliases, { first: 1 });
    const seen: (number | undefined)[] = [];
    const watching = (async () => {
      for await (const event of watch) {
        if (event.type === "STATE" || event.alias !== "prod") continue;
        seen.push(event.version);
        if (seen.length === 3) break;
      }
    })();
    await client.setAlias("net", "prod", 1, { expected: "absent" });
    await assert.rejects(client.setAlias("net", "prod", 2, { expected: "absent" }), (error) => {
      return error instanceof holdfast.ConflictError && error.metadata["version"] === "1";
    });
    await client.setAlias("net", "prod", 2, { expected: 1 });
    assert.equal((await client.getModelVersionByAlias("net", "prod")).version, 2);
    await client.deleteAlias("net", "prod", { expected: 2 });
    await watching;
    assert.deepEqual(seen, [1, 2, undefined]);
    const resumed = client.watchModel("net", { cursor: watch.cursor });
    await client.setAlias("net", "later", 1);
    const next = (await resumed.next()).value;
    assert.ok(next !== undefined && next.type !== "STATE");
    assert.equal(next.alias, "later");
    resumed.close();
    assert.equal((await resumed.next()).done, true);

    const weights = await client.readRange("models:/net/2/weights.bin", 99_990, 100);
    assert.deepEqual(weights, Buffer.alloc(10, 1));
  });

  test("a model whose upload fails is FAILED and none that can be registered", async () => {
    const run = await client.createRun({ experimentId });
    await assert.rejects(run.logModel(join(directory.path, "nowhere")), holdfast.LocalFileError);
    await assert.rejects(client.getModelVersionByAlias("net", "nothing"), (error) => {
      return error instanceof holdfast.NotFoundError && error.reason === "ALIAS_NOT_FOUND";
    });
  });

  test("a client that is closed says so", async () => {
    const other = holdfast.connect(server.uri);
    await other.capabilities();
    other.close();
    other.close();
    await assert.rejects(other.capabilities(), /This client is closed/);
  });
});
