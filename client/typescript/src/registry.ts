/** Registered models, their versions and aliases. */

import { newRequestId, type Channel } from "./channel.js";
import { ModelRegistryService } from "./gen/holdfast/v1/model_registry_service_pb.js";
import type {
  ModelVersion as VersionMessage,
  RegisteredModel as ModelMessage,
} from "./gen/holdfast/v1/registered_model_pb.js";
import { fromLabels, fromTime, toLabels, userName, type Labels } from "./labels.js";
import { toInt64, toNumber } from "./numbers.js";

/** A version of a registered model. Its files never change. */
export interface ModelVersion {
  readonly name: string;
  /** From 1, never used again. */
  readonly version: number;
  /** The URI it was registered from; for people. */
  readonly source: string;
  readonly runId: string;
  readonly modelId: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly aliases: readonly string[];
  /** Milliseconds since 1970. */
  readonly createTime: number | undefined;
}

/** A name under which versions of a model are promoted. */
export interface RegisteredModel {
  readonly name: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  /** The version that each alias names. */
  readonly aliases: Readonly<Record<string, number>>;
}

/** What a version that is registered is told. */
export interface NewVersion {
  description?: string;
  /** At most 100. */
  tags?: Labels;
  /** Aliases that shall name the new version at once, whatever they name now. */
  aliases?: readonly string[];
}

/** What an alias must name now for it to be changed: a version, or nothing. */
export type ExpectedVersion = number | "absent";

const methods = ModelRegistryService.method;

/** Register what a URI names as the next version; the registered model is created when absent, in the same transaction. */
export async function registerModel(
  channel: Channel,
  name: string,
  modelUri: string,
  { description = "", tags, aliases = [] }: NewVersion,
): Promise<ModelVersion> {
  const { modelVersion } = await channel.call(methods.createModelVersion, {
    name,
    source: modelUri,
    description,
    tags: toLabels(tags),
    aliases: [...aliases],
    createRegisteredModel: true,
    userId: userName(),
    requestId: newRequestId(),
  });
  return versionFromMessage(modelVersion as VersionMessage);
}

/** Read a version by its number or an alias. */
export async function getModelVersion(
  channel: Channel,
  name: string,
  selector: { version: number } | { alias: string },
): Promise<ModelVersion> {
  const { modelVersion } = await channel.call(methods.getModelVersion, {
    name,
    selector:
      "alias" in selector
        ? { case: "alias", value: selector.alias }
        : { case: "version", value: toInt64(selector.version, "A version") },
  });
  return versionFromMessage(modelVersion as VersionMessage);
}

/** Read a registered model. */
export async function getRegisteredModel(channel: Channel, name: string): Promise<RegisteredModel> {
  const { registeredModel } = await channel.call(methods.getRegisteredModel, { name });
  return registeredModelFromMessage(registeredModel as ModelMessage);
}

/** Make an alias name a version; raises `ConflictError` when it names another one than expected. */
export async function setAlias(
  channel: Channel,
  name: string,
  alias: string,
  version: number,
  expected: ExpectedVersion | undefined,
): Promise<void> {
  await channel.call(methods.setAlias, {
    name,
    alias,
    version: toInt64(version, "A version"),
    ...expectation(expected),
    userId: userName(),
    requestId: newRequestId(),
  });
}

/** Remove an alias, if it is there; raises as `setAlias` does. */
export async function deleteAlias(
  channel: Channel,
  name: string,
  alias: string,
  expected: ExpectedVersion | undefined,
): Promise<void> {
  await channel.call(methods.deleteAlias, {
    name,
    alias,
    ...expectation(expected),
    userId: userName(),
    requestId: newRequestId(),
  });
}

/** A registered model as users see it. */
export function registeredModelFromMessage(message: ModelMessage): RegisteredModel {
  return {
    name: message.name,
    description: message.description,
    tags: fromLabels(message.tags),
    aliases: Object.fromEntries(message.aliases.map(({ alias, version }) => [alias, toNumber(version, "A version")])),
  };
}

function versionFromMessage(message: VersionMessage): ModelVersion {
  return {
    name: message.name,
    version: toNumber(message.version, "A version"),
    source: message.source,
    runId: message.runId,
    modelId: message.modelId,
    description: message.description,
    tags: fromLabels(message.tags),
    aliases: [...message.aliases],
    createTime: fromTime(message.createTime),
  };
}

function expectation(expected: ExpectedVersion | undefined): { expectedVersion?: bigint } {
  if (expected === undefined) return {};
  return { expectedVersion: expected === "absent" ? 0n : toInt64(expected, "A version") };
}
