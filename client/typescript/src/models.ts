/** Logged models: a directory with a model becomes one, all at once or not at all. */

import { newRequestId, type Channel } from "./channel.js";
import { LoggedModelStatus, type LoggedModel } from "./gen/holdfast/v1/model_pb.js";
import { ModelService } from "./gen/holdfast/v1/model_service_pb.js";
import { RunService } from "./gen/holdfast/v1/run_service_pb.js";
import { toLabels, type Labels } from "./labels.js";
import { toInt64 } from "./numbers.js";
import { findContents, type Symlinks } from "./transfer/sources.js";
import { upload } from "./transfer/uploading.js";

/** What a model that is logged is told. */
export interface NewModel {
  /** None of `/ : . % " '`; default: one that the server makes up. */
  name?: string;
  /** At most 100. */
  params?: Labels;
  /** At most 100. */
  tags?: Labels;
  /** Such as `classifier`. */
  modelType?: string;
  /** The step of training at which it is logged. */
  step?: number;
  /** Whether symbolic links may lead out of the directory; default: they may not. */
  symlinks?: Symlinks;
}

const MAX_STATUS_MESSAGE = 5_000;

/**
 * Log the contents of a directory as a model of a run; returns the model's id when it is READY.
 *
 * Local errors are found before there is a model. One whose upload fails is FAILED, and says why.
 */
export async function logModel(channel: Channel, runId: string, localDir: string, options: NewModel): Promise<string> {
  const { name = "", params, tags, modelType = "", step = 0, symlinks = "inside" } = options;
  const atStep = toInt64(step, "A step");
  const sources = await findContents(localDir, "", symlinks);
  const { model } = await channel.call(ModelService.method.createLoggedModel, {
    name,
    sourceRunId: runId,
    modelType,
    params: toLabels(params),
    tags: toLabels(tags),
    requestId: newRequestId(),
  });
  const { modelId } = model as LoggedModel;
  try {
    await upload(channel, { owner: { case: "modelId", value: modelId } }, sources);
    await channel.call(RunService.method.logOutputs, {
      runId,
      models: [{ modelId, step: atStep }],
      requestId: newRequestId(),
    });
    await finalize(channel, modelId, LoggedModelStatus.READY, "");
  } catch (error) {
    // The first error says what went wrong.
    await finalize(channel, modelId, LoggedModelStatus.FAILED, String(error)).catch(() => undefined);
    throw error;
  }
  return modelId;
}

async function finalize(channel: Channel, modelId: string, status: LoggedModelStatus, message: string): Promise<void> {
  await channel.call(ModelService.method.finalizeLoggedModel, {
    modelId,
    status,
    statusMessage: message.slice(0, MAX_STATUS_MESSAGE),
    requestId: newRequestId(),
  });
}
