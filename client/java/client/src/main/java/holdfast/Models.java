package holdfast;

import holdfast.v1.CreateLoggedModelRequest;
import holdfast.v1.FinalizeLoggedModelRequest;
import holdfast.v1.LogOutputsRequest;
import holdfast.v1.LoggedModelStatus;
import holdfast.v1.ModelOutput;
import holdfast.v1.ModelServiceGrpc;
import holdfast.v1.RunServiceGrpc;
import holdfast.v1.TreeOwner;
import java.nio.file.Files;
import java.nio.file.Path;

/** Logs models: PENDING while they are written, then READY, or FAILED. */
final class Models {
  private static final int MAX_STATUS_MESSAGE = 5_000;

  private final Connection connection;
  private final Artifacts artifacts;

  Models(Connection connection, Artifacts artifacts) {
    this.connection = connection;
    this.artifacts = artifacts;
  }

  /**
   * Log a directory as a model of a run, which gets it as an output.
   *
   * @return Its id.
   * @throws HoldfastException.LocalFile The directory is no model.
   */
  String log(String runId, String name, Path directory) {
    if (!Files.isRegularFile(directory.resolve("MLmodel"))) {
      throw new HoldfastException.LocalFile(
          directory
              + " holds no model: a file MLmodel in it says what kind it is and how it is loaded.");
    }
    CreateLoggedModelRequest request =
        CreateLoggedModelRequest.newBuilder()
            .setName(name)
            .setSourceRunId(runId)
            .setRequestId(RequestIds.next())
            .build();
    String id =
        connection
            .call(ModelServiceGrpc.getCreateLoggedModelMethod(), request)
            .getModel()
            .getModelId();
    try {
      artifacts.logContents(TreeOwner.newBuilder().setModelId(id).build(), directory, "");
      end(id, LoggedModelStatus.LOGGED_MODEL_STATUS_READY, "");
    } catch (HoldfastException error) {
      fail(id, error);
      throw error;
    }
    LogOutputsRequest output =
        LogOutputsRequest.newBuilder()
            .setRunId(runId)
            .addModels(ModelOutput.newBuilder().setModelId(id))
            .setRequestId(RequestIds.next())
            .build();
    connection.call(RunServiceGrpc.getLogOutputsMethod(), output);
    return id;
  }

  private void end(String id, LoggedModelStatus status, String message) {
    FinalizeLoggedModelRequest request =
        FinalizeLoggedModelRequest.newBuilder()
            .setModelId(id)
            .setStatus(status)
            .setStatusMessage(message)
            .setRequestId(RequestIds.next())
            .build();
    connection.call(ModelServiceGrpc.getFinalizeLoggedModelMethod(), request);
  }

  private void fail(String id, HoldfastException error) {
    String text = error.detail();
    try {
      String message = text.substring(0, Math.min(text.length(), MAX_STATUS_MESSAGE));
      end(id, LoggedModelStatus.LOGGED_MODEL_STATUS_FAILED, message);
    } catch (HoldfastException second) {
      error.addSuppressed(second);
    }
  }
}
