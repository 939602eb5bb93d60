import holdfast.Client;
import holdfast.Run;
import java.nio.file.Files;
import java.nio.file.Path;

class LogArtifact {
  public static void main(String[] arguments) throws Exception {
    Path file = Files.writeString(Path.of("hello.txt"), "hello\n");
    try (Client client = Client.connect()) { // HOLDFAST_URI says where
      Run run = client.createRun(client.experiment("java").getExperimentId());
      run.logParam("greeting", "hello");
      run.logMetric("length", Files.size(file), 0);
      run.logArtifact(file, "notes"); // or a directory
      run.finish();
      client
          .listArtifacts(run.uri() + "/notes", false)
          .forEach(entry -> System.out.println(entry.path() + " " + entry.size() + " bytes"));
      Path back = client.download(run.uri() + "/notes", Path.of("back"));
      System.out.println(back.resolve("hello.txt"));
    }
  }
}
