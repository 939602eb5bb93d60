//! Logs a file, as the README shows.

use holdfast::{Client, NewRun};

#[tokio::main]
async fn main() -> holdfast::Result<()> {
    let uri = std::env::args().nth(1).unwrap_or_else(|| "holdfast://127.0.0.1:5600".to_owned());
    let client = Client::connect(uri).await?;
    let run = client.create_run(client.experiment("ocr").await?, NewRun::new()).await?;
    run.log_artifact("notes.txt", "").await?;
    run.finish().await?;
    println!("{}/notes.txt", run.artifact_uri());
    Ok(())
}
