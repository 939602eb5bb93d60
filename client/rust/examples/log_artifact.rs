//! Logs a file, as the README shows.

use holdfast::{Client, NewRun};

#[tokio::main]
async fn main() -> holdfast::Result<()> {
    let client = Client::from_env().await?;
    let run = client.create_run(client.experiment("ocr").await?, NewRun::new()).await?;
    run.log_artifact("notes.txt", "").await?;
    run.finish().await?;
    println!("{}/notes.txt", run.artifact_uri());
    Ok(())
}
