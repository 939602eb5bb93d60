/** Experiments: what they are, and the calls. */

import { newRequestId, type Channel } from "./channel.js";
import { AlreadyExistsError, NotFoundError } from "./errors.js";
import { LifecycleStage, type Experiment as ExperimentMessage } from "./gen/holdfast/v1/experiment_pb.js";
import { ExperimentService } from "./gen/holdfast/v1/experiment_service_pb.js";
import { fromLabels, fromTime, toLabels, type Labels } from "./labels.js";

/** An experiment groups runs and logged models. */
export interface Experiment {
  readonly experimentId: string;
  readonly name: string;
  readonly isDeleted: boolean;
  readonly tags: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly createTime: number | undefined;
}

const methods = ExperimentService.method;

/** Create an experiment; raises `AlreadyExistsError` when the name is taken, also by a deleted one. */
export async function createExperiment(channel: Channel, name: string, tags?: Labels): Promise<Experiment> {
  const request = { name, tags: toLabels(tags), requestId: newRequestId() };
  const { experiment } = await channel.call(methods.createExperiment, request);
  return fromMessage(experiment as ExperimentMessage);
}

/** Read an experiment by its id or its name; raises `NotFoundError`. */
export async function getExperiment(
  channel: Channel,
  selector: { experimentId: string } | { name: string },
): Promise<Experiment> {
  const { experiment } = await channel.call(methods.getExperiment, {
    selector:
      "name" in selector
        ? { case: "name", value: selector.name }
        : { case: "experimentId", value: selector.experimentId },
  });
  return fromMessage(experiment as ExperimentMessage);
}

/** The experiment of this name, created when it is absent; any number of clients may be the first. */
export async function getOrCreateExperiment(channel: Channel, name: string): Promise<Experiment> {
  try {
    return await getExperiment(channel, { name });
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
  try {
    return await createExperiment(channel, name);
  } catch (error) {
    if (!(error instanceof AlreadyExistsError)) throw error;
    return getExperiment(channel, { name }); // another client was faster
  }
}

function fromMessage(message: ExperimentMessage): Experiment {
  return {
    experimentId: message.experimentId,
    name: message.name,
    isDeleted: message.lifecycleStage === LifecycleStage.DELETED,
    tags: fromLabels(message.tags),
    createTime: fromTime(message.createTime),
  };
}
