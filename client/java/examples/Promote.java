import holdfast.Client;
import holdfast.HoldfastException;
import holdfast.ModelWatch;
import java.nio.file.Files;
import java.nio.file.Path;

class Promote {
  public static void main(String[] arguments) throws Exception {
    Path model = Files.createDirectories(Path.of("model"));
    Files.writeString(model.resolve("MLmodel"), "flavors: {}\n");
    try (Client client = Client.connect()) {
      String id =
          client.createRun(client.experiment("java").getExperimentId()).logModel("ocr", model);
      long version = client.registerModel("ocr", "models:/" + id).getVersion();
      try (ModelWatch watch = client.watchModel("ocr")) {
        watch.next(); // the model as it is
        client.setAlias("ocr", "prod", version, 0); // which must be absent
        String alias = watch.next().change().orElseThrow().getAlias();
        System.out.println(
            alias + " is version " + client.getModelVersionByAlias("ocr", alias).getVersion());
      }
      client.setAlias("ocr", "prod", version, 0);
    } catch (HoldfastException.Conflict error) {
      System.out.println("somebody was faster: version " + error.metadata().get("version"));
    } catch (HoldfastException.Unavailable error) {
      System.out.println("no server: " + error.getMessage());
    }
  }
}
