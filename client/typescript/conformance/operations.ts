/** What a driver can be told to do; each public method is an op. */

import { createHash } from "node:crypto";

import {
  connect,
  hashFile,
  treeDigest,
  type Client,
  type FinalStatus,
  type RegisteredModel,
  type Watch,
} from "../src/index.js";

type Labels = Record<string, string>;

/** A double in JSON, which has no names for some. */
type Double = number | "NaN" | "Infinity" | "-Infinity";

interface Entry {
  path: string;
  directory: boolean;
  executable: boolean;
  size: number;
  digest: string;
}

/** The ops of one driver, which has one connection. */
export class Operations {
  private connected: Client | undefined;
  private watch: Watch<RegisteredModel> | undefined;

  async connect(request: { uri: string; token?: string; ca_file?: string }): Promise<object> {
    await this.close();
    this.connected = connect(request.uri, { token: request.token, caFile: request.ca_file });
    const { serverVersion } = await this.client.capabilities();
    return { server_version: serverVersion };
  }

  async file_digest({ path }: { path: string }): Promise<object> {
    return { digest: (await hashFile(path)).toString("hex") };
  }

  async tree_digest({ entries }: { entries: Entry[] }): Promise<object> {
    const items = entries.map(({ directory, digest, ...entry }) => ({
      ...entry,
      isDirectory: directory,
      digest: Buffer.from(digest, "hex"),
    }));
    return { digest: treeDigest(items).toString("hex") };
  }

  async create_experiment({ name }: { name: string }): Promise<object> {
    const { experimentId } = await this.client.createExperiment(name);
    return { experiment_id: experimentId };
  }

  async create_run(request: { experiment_id: string; name?: string }): Promise<object> {
    const { runId } = await this.client.createRun({ experimentId: request.experiment_id, name: request.name ?? "" });
    return { run_id: runId };
  }

  async log_params(request: { run_id: string; params: Labels }): Promise<void> {
    await this.client.run(request.run_id).logParams(request.params);
  }

  async set_tags(request: { run_id: string; tags: Labels }): Promise<void> {
    await this.client.run(request.run_id).setTags(request.tags);
  }

  async log_metrics(request: {
    run_id: string;
    metrics: { key: string; value: Double; step: number; timestamp: number }[];
  }): Promise<void> {
    const metrics = request.metrics.map((metric) => ({ ...metric, value: Number(metric.value) }));
    await this.client.run(request.run_id).logMetrics(metrics);
  }

  async finish_run(request: { run_id: string; status: FinalStatus }): Promise<void> {
    await this.client.run(request.run_id).finish(request.status);
  }

  async get_run(request: { run_id: string }): Promise<object> {
    const run = await this.client.getRun(request.run_id);
    const metrics = Object.entries(run.metrics).map(([key, point]) => [key, toDouble(point.value)] as const);
    return {
      run_id: run.runId,
      experiment_id: run.experimentId,
      name: run.name,
      status: run.status,
      params: run.params,
      tags: run.tags,
      metrics: Object.fromEntries(metrics),
    };
  }

  async metric_history(request: { run_id: string; key: string }): Promise<object> {
    const points = await this.client.run(request.run_id).metricHistory(request.key);
    return { points: points.map(({ value, step, timestamp }) => ({ value: toDouble(value), step, timestamp })) };
  }

  async log_artifact(request: { run_id: string; local_path: string; artifact_path?: string }): Promise<void> {
    const options = { artifactPath: request.artifact_path };
    await this.client.run(request.run_id).logArtifact(request.local_path, options);
  }

  async log_artifacts(request: { run_id: string; local_dir: string; artifact_path?: string }): Promise<void> {
    const options = { artifactPath: request.artifact_path };
    await this.client.run(request.run_id).logArtifacts(request.local_dir, options);
  }

  async list_artifacts({ uri, recursive = false }: { uri: string; recursive?: boolean }): Promise<object> {
    const artifacts = await this.client.listArtifacts(uri, { recursive });
    const entries: Entry[] = artifacts.map(({ isDirectory, ...artifact }) => ({ ...artifact, directory: isDirectory }));
    return { entries };
  }

  async download({ uri, destination }: { uri: string; destination: string }): Promise<object> {
    return { path: await this.client.download(uri, destination) };
  }

  async read_range({ uri, offset, length }: { uri: string; offset: number; length: number }): Promise<object> {
    const data = await this.client.readRange(uri, offset, length);
    return { sha256: createHash("sha256").update(data).digest("hex"), size: data.length };
  }

  async log_model(request: { run_id: string; name: string; local_dir: string }): Promise<object> {
    const modelId = await this.client.run(request.run_id).logModel(request.local_dir, { name: request.name });
    return { model_id: modelId, model_uri: `models:/${modelId}` };
  }

  async register_model(request: { name: string; model_uri: string }): Promise<object> {
    const { version } = await this.client.registerModel(request.name, request.model_uri);
    return { version: String(version) };
  }

  async set_alias(request: { name: string; alias: string; version: string; expected_version?: string }): Promise<void> {
    const { name, alias, version, expected_version: text } = request;
    const expected = text === "0" ? "absent" : Number(text);
    await this.client.setAlias(name, alias, Number(version), text === undefined ? {} : { expected });
  }

  async get_alias({ name, alias }: { name: string; alias: string }): Promise<object> {
    const { version } = await this.client.getModelVersionByAlias(name, alias);
    return { version: String(version) };
  }

  async watch_model({ name }: { name: string }): Promise<void> {
    this.watch = this.client.watchModel(name);
    await this.watch.next(); // how it is
  }

  async next_alias_change({ alias }: { alias: string }): Promise<object> {
    for (;;) {
      const next = await this.watch?.next();
      if (next?.value === undefined) throw new Error("the watch is over, or was never begun");
      if (next.value.type !== "STATE" && next.value.alias === alias)
        return { version: String(next.value.version ?? "") };
    }
  }

  async close(): Promise<void> {
    this.watch?.close();
    this.connected?.close();
  }

  private get client(): Client {
    if (this.connected === undefined) throw new Error("connect comes first");
    return this.connected;
  }
}

function toDouble(value: number): Double {
  return Number.isFinite(value) ? value : (String(value) as Double);
}
