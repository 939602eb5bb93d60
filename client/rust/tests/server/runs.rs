//! Runs and the registry, against a server.

use crate::common::{Scratch, Server, content};
use holdfast::{ErrorKind, Metric, ModelEvent, NewRun, RunEnd, millis_of, v1};

#[tokio::test]
async fn a_run_keeps_what_it_logs() {
    let server = Server::start();
    let client = server.client().await;
    let experiment = client.create_experiment("ocr/größe").await.unwrap();
    assert_eq!(client.experiment("ocr/größe").await.unwrap(), experiment);
    let run = client.create_run(&experiment, NewRun::named("first").tag("team", "ocr")).await.unwrap();
    run.log_params((0..150).map(|number| (format!("p{number}"), number))).await.unwrap();
    run.set_tag("note", "模型").await.unwrap();
    let points = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1];
    let metrics = points.iter().zip(0..).map(|(value, step)| Metric {
        timestamp_ms: Some(1_764_460_800_123 + step),
        ..Metric::new("loss", *value, step)
    });
    run.log_metrics(metrics).await.unwrap();
    run.end(RunEnd::Failed).await.unwrap();

    let found = run.get().await.unwrap();
    assert_eq!((found.run_name.as_str(), found.status()), ("first", v1::RunStatus::Failed));
    assert_eq!(found.params.len(), 150);
    assert!(found.tags.iter().any(|tag| tag.key == "note" && tag.value == "模型"));
    assert_eq!(found.metrics[0].value.to_bits(), 0.1_f64.to_bits());
    let history = run.metric_history("loss").await.unwrap();
    assert!(history[0].value.is_nan());
    assert_eq!(history[1..].iter().map(|point| point.value).collect::<Vec<_>>(), points[1..]);
    assert_eq!(millis_of(history[3].timestamp.as_ref()), 1_764_460_800_126);
}

#[tokio::test]
async fn thousands_of_points_come_back_in_order_over_all_pages() {
    let server = Server::start();
    let run = server.run().await;
    run.log_metrics((0..30_000).map(|step| Metric::new("loss", f64::from(step), step.into()))).await.unwrap();
    let history = run.metric_history("loss").await.unwrap();
    assert!(history.iter().map(|point| point.step).eq(0..30_000));
}

#[tokio::test]
async fn refusals_have_their_kinds_reasons_and_request_ids() {
    let server = Server::start();
    let client = server.client().await;
    let error = client.run("0".repeat(32)).log_param("a", "b").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "RUN_NOT_FOUND"));
    assert!(!error.request_id().is_empty(), "{error:?}");
    assert!(error.to_string().ends_with(&format!("[request {}]", error.request_id())));

    client.create_experiment("taken").await.unwrap();
    let error = client.create_experiment("taken").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::AlreadyExists, "ALREADY_EXISTS"));

    let run = server.run().await;
    run.log_param("lr", "0.1").await.unwrap();
    run.log_param("lr", "0.1").await.unwrap();
    let error = run.log_param("lr", "0.2").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, "PARAM_IMMUTABLE"));
}

#[tokio::test]
async fn a_model_is_logged_registered_promoted_and_watched() {
    let server = Server::start();
    let client = server.client().await;
    let run = server.run().await;
    let folder = Scratch::new();
    folder.write("model/MLmodel", "flavors: {}\n");
    folder.write("model/data/weights.bin", content(100_000, 1));
    let model_id = run.log_model("churn", folder.path().join("model")).await.unwrap();
    let source = format!("models:/{model_id}");
    let first = client.register_model("churn", &source).await.unwrap().version;
    let second = client.register_model("churn", &source).await.unwrap().version;
    assert_eq!((first, second), (1, 2));

    let mut watch = client.watch_model("churn");
    let state = watch.next().await.unwrap().unwrap();
    assert!(matches!(&state, ModelEvent::State(model) if model.name == "churn"));
    assert_eq!(state.alias_version("prod"), Some(0));

    client.set_alias_if("churn", "prod", first, 0).await.unwrap();
    let error = client.set_alias_if("churn", "prod", second, 0).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Conflict, "CONFLICT"));
    client.set_alias_if("churn", "prod", second, first).await.unwrap();
    assert_eq!(client.model_version_by_alias("churn", "prod").await.unwrap().version, second);

    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(watch.next().await.unwrap().unwrap().alias_version("prod"));
    }
    assert_eq!(seen, [first, second]);

    // What came is not told again by a watch that goes on.
    let mut later = client.watch_model_from("churn", watch.cursor());
    client.set_alias("churn", "prod", first).await.unwrap();
    assert_eq!(later.next().await.unwrap().unwrap().alias_version("prod"), Some(first));
    assert!(client.watch_model("nobody").next().await.unwrap().is_err());

    let logged = run.get().await.unwrap().model_outputs;
    assert_eq!(logged.iter().map(|output| &output.model_id).collect::<Vec<_>>(), [&model_id]);
    let entries = client.list_artifacts(&run.artifact_uri(), true).await.unwrap();
    let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["churn", "churn/MLmodel", "churn/data", "churn/data/weights.bin"]);
}

#[tokio::test]
async fn a_directory_that_is_no_model_is_refused_before_there_is_one() {
    let server = Server::start();
    let run = server.run().await;
    let folder = Scratch::new();
    assert_eq!(run.log_model("churn", folder.path()).await.unwrap_err().kind(), ErrorKind::LocalFile);
    assert!(run.get().await.unwrap().model_outputs.is_empty());
}
