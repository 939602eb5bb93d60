package holdfast;

import holdfast.v1.ArtifactServiceGrpc;
import holdfast.v1.CreateExperimentRequest;
import holdfast.v1.CreateModelVersionRequest;
import holdfast.v1.CreateRunRequest;
import holdfast.v1.DeleteAliasRequest;
import holdfast.v1.Experiment;
import holdfast.v1.ExperimentServiceGrpc;
import holdfast.v1.GetCapabilitiesRequest;
import holdfast.v1.GetCapabilitiesResponse;
import holdfast.v1.GetExperimentRequest;
import holdfast.v1.GetModelVersionRequest;
import holdfast.v1.ModelRegistryServiceGrpc;
import holdfast.v1.ModelVersion;
import holdfast.v1.RunServiceGrpc;
import holdfast.v1.SetAliasRequest;
import io.grpc.Channel;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;

/**
 * A client of one server; use it from any thread, and close it when it is not needed any more.
 *
 * <p>Calls are repeated, with backoff, while the server is away: for 30 s once it was heard, and
 * for 5 s before. A change carries an id by which its repetitions are one. Errors are {@link
 * HoldfastException}s.
 */
public final class Client implements AutoCloseable {
  private final Connection connection;
  private final Artifacts artifacts;
  private final Models models;

  private Client(Connection connection) {
    this.connection = connection;
    this.artifacts = new Artifacts(connection);
    this.models = new Models(connection, artifacts);
  }

  /**
   * A client of the server that {@code HOLDFAST_URI} names. Nothing is sent before the first call.
   *
   * @throws HoldfastException.InvalidArgument A setting is absent, or breaks a rule.
   */
  public static Client connect() {
    return connect(ConnectOptions.fromEnvironment());
  }

  /** A client of the server at {@code uri}; the rest is taken from the environment. */
  public static Client connect(String uri) {
    return connect(ConnectOptions.fromEnvironment().withUri(uri));
  }

  /**
   * A client of the server that the options name.
   *
   * @throws HoldfastException.InvalidArgument An option is absent, or breaks a rule.
   * @throws HoldfastException.TlsFailure A certificate or key cannot be read.
   */
  public static Client connect(ConnectOptions options) {
    return new Client(new Connection(Target.parse(options), options.retry()));
  }

  /** What the server is, which limits hold, and whom it takes the caller for. */
  public GetCapabilitiesResponse capabilities() {
    return connection.call(
        ArtifactServiceGrpc.getGetCapabilitiesMethod(),
        GetCapabilitiesRequest.getDefaultInstance());
  }

  /**
   * Create an experiment.
   *
   * @return Its id.
   * @throws HoldfastException.AlreadyExists The name is taken, perhaps by a deleted experiment.
   */
  public String createExperiment(String name) {
    CreateExperimentRequest request =
        CreateExperimentRequest.newBuilder().setName(name).setRequestId(RequestIds.next()).build();
    return connection
        .call(ExperimentServiceGrpc.getCreateExperimentMethod(), request)
        .getExperiment()
        .getExperimentId();
  }

  /** The experiment of this name, which is created when it is absent. */
  public Experiment experiment(String name) {
    try {
      return getExperiment(name);
    } catch (HoldfastException.NotFound absent) {
      try {
        createExperiment(name);
      } catch (HoldfastException.AlreadyExists race) {
        return getExperiment(name); // which somebody else created meanwhile
      }
      return getExperiment(name);
    }
  }

  /** Start a run, whose name the server makes up. */
  public Run createRun(String experimentId) {
    return createRun(experimentId, "");
  }

  /** Start a run. */
  public Run createRun(String experimentId, String name) {
    CreateRunRequest request =
        CreateRunRequest.newBuilder()
            .setExperimentId(experimentId)
            .setRunName(name)
            .setUserId(user())
            .setStartTime(Times.toProto(Instant.now()))
            .setRequestId(RequestIds.next())
            .build();
    return run(connection.call(RunServiceGrpc.getCreateRunMethod(), request).getRun().getRunId());
  }

  /** A run by its id; whether there is such a one is seen when it is used. */
  public Run run(String runId) {
    return new Run(connection, artifacts, models, runId);
  }

  /**
   * One level, or all, of a directory of artifacts; a file gives itself.
   *
   * @param uri Such as {@code runs:/<id>/plots}, {@code models:/ocr/2} or {@code models:/ocr@prod}.
   * @return In the order of the paths, which are those below the run or model.
   */
  public List<ArtifactEntry> listArtifacts(String uri, boolean recursive) {
    return artifacts.list(uri, recursive);
  }

  /**
   * Write a file or directory below {@code destination}, under the last name of the URI's path;
   * what a whole run or model holds goes to {@code destination} itself.
   *
   * <p>Files that are there are replaced, others stay. Each appears under its name only when it is
   * whole and has its digest.
   *
   * @return Where it is.
   * @throws HoldfastException.DataLoss Bytes do not have their digest; that file is not written.
   * @throws HoldfastException.LocalFile A file cannot be written.
   */
  public Path download(String uri, Path destination) {
    return artifacts.download(uri, destination);
  }

  /** A file that is read block by block as it is needed, verified. */
  public ArtifactReader open(String uri) {
    return artifacts.open(uri);
  }

  /** A range of a file, verified; where the file ends before, as much as there is. */
  public byte[] readRange(String uri, long offset, int length) {
    return artifacts.readRange(uri, offset, length);
  }

  /**
   * Register a logged model, a directory of a run, or another version, under the next number; the
   * registered model is created when it is absent.
   *
   * @param modelUri Such as {@code models:/<model id>}.
   */
  public ModelVersion registerModel(String name, String modelUri) {
    CreateModelVersionRequest request =
        CreateModelVersionRequest.newBuilder()
            .setName(name)
            .setSource(modelUri)
            .setCreateRegisteredModel(true)
            .setUserId(user())
            .setRequestId(RequestIds.next())
            .build();
    return connection
        .call(ModelRegistryServiceGrpc.getCreateModelVersionMethod(), request)
        .getModelVersion();
  }

  /** Make an alias name a version, whatever it names now. */
  public void setAlias(String name, String alias, long version) {
    setAlias(aliasRequest(name, alias, version));
  }

  /**
   * Make an alias name a version, if it names {@code expectedVersion} now.
   *
   * @param expectedVersion 0 when the alias must be absent.
   * @throws HoldfastException.Conflict Somebody else changed it first; nothing is changed.
   */
  public void setAlias(String name, String alias, long version, long expectedVersion) {
    setAlias(aliasRequest(name, alias, version).setExpectedVersion(expectedVersion));
  }

  /** Remove an alias; one that is not there is passed over. */
  public void deleteAlias(String name, String alias) {
    DeleteAliasRequest request =
        DeleteAliasRequest.newBuilder()
            .setName(name)
            .setAlias(alias)
            .setUserId(user())
            .setRequestId(RequestIds.next())
            .build();
    connection.call(ModelRegistryServiceGrpc.getDeleteAliasMethod(), request);
  }

  /**
   * The version that an alias names.
   *
   * @throws HoldfastException.NotFound There is no such model or alias.
   */
  public ModelVersion getModelVersionByAlias(String name, String alias) {
    GetModelVersionRequest request =
        GetModelVersionRequest.newBuilder().setName(name).setAlias(alias).build();
    return connection
        .call(ModelRegistryServiceGrpc.getGetModelVersionMethod(), request)
        .getModelVersion();
  }

  /**
   * Watch a registered model with its versions and aliases: first as it is, then each change. Close
   * the watch when it is not needed any more.
   */
  public ModelWatch watchModel(String name) {
    return watchModel(name, "");
  }

  /**
   * Go on with a watch of a registered model.
   *
   * @param cursor Of the last event that was taken; empty to begin with the model as it is.
   */
  public ModelWatch watchModel(String name, String cursor) {
    return new ModelWatch(connection, name, cursor);
  }

  /**
   * A channel for generated stubs of {@code holdfast.v1}, for what this client does not offer.
   * Calls on it carry the token; they are not repeated, and their errors are gRPC's.
   */
  public Channel channel() {
    return connection.channel();
  }

  /** End calls that are going on, and refuse further ones. */
  @Override
  public void close() {
    connection.close();
  }

  private Experiment getExperiment(String name) {
    GetExperimentRequest request = GetExperimentRequest.newBuilder().setName(name).build();
    return connection.call(ExperimentServiceGrpc.getGetExperimentMethod(), request).getExperiment();
  }

  private void setAlias(SetAliasRequest.Builder request) {
    connection.call(ModelRegistryServiceGrpc.getSetAliasMethod(), request.build());
  }

  private static SetAliasRequest.Builder aliasRequest(String name, String alias, long version) {
    return SetAliasRequest.newBuilder()
        .setName(name)
        .setAlias(alias)
        .setVersion(version)
        .setUserId(user())
        .setRequestId(RequestIds.next());
  }

  /** Who runs this program, as the system says: a note for the history, and no proof. */
  private static String user() {
    return System.getProperty("user.name", "");
  }
}
