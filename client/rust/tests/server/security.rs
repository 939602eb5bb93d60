//! TLS, tokens and sockets, against a server.

use crate::common::{Scratch, Server, python};
use holdfast::v1::access_service_client::AccessServiceClient;
use holdfast::{Client, ConnectOptions, ErrorKind, NewRun, v1};

/// Makes an authority and a server's certificate; returns the arguments for a server, and the authority's file.
fn certificates(folder: &Scratch) -> (Vec<String>, std::path::PathBuf) {
    let tls = folder.path().join("tls");
    let made =
        python(&["-c", "from holdfast.cli import main; main()", "server", "tls-init"]).arg(&tls).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| tls.join(name).to_str().unwrap().to_owned();
    (vec!["--tls-cert".into(), file("server.crt"), "--tls-key".into(), file("server.key")], tls.join("ca.crt"))
}

async fn token_of(server: &Server) -> String {
    let owner = Client::connect(format!("unix:{}/holdfast.sock", server.data().display())).await.unwrap();
    let request = v1::CreateTokenRequest {
        principal: "ada".to_owned(),
        new_principal_role: v1::Role::Admin.into(),
        ..Default::default()
    };
    AccessServiceClient::new(owner.channel()).create_token(request).await.unwrap().into_inner().secret
}

#[tokio::test]
async fn a_token_over_tls_lets_its_holder_in_and_nothing_else_does() {
    let folder = Scratch::new();
    let (mut arguments, authority) = certificates(&folder);
    arguments.extend(["--auth".to_owned(), "tokens".to_owned()]);
    let server = Server::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let token = token_of(&server).await;

    let options = || ConnectOptions::new().uri(server.uri()).ca_file(&authority);
    let client = options().token(&token).connect().await.unwrap();
    let run = client.create_run("0", NewRun::new()).await.unwrap();
    run.log_artifact(folder.write("a.txt", "a"), "").await.unwrap();
    assert_eq!(run.list_artifacts("").await.unwrap().len(), 1);

    let stranger = options().connect().await;
    let refused = async |client: holdfast::Result<Client>| match client {
        Err(error) => error,
        Ok(client) => client.create_run("0", NewRun::new()).await.err().expect("nobody may come in"),
    };
    let error = refused(stranger).await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unauthenticated, "TOKEN_MISSING"));
    let wrong = format!("hft_{}", "x".repeat(49));
    let error = refused(options().token(wrong).connect().await).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.reason().starts_with("TOKEN_"), "{error:?}");
}

#[tokio::test]
async fn what_tls_explains_is_told_at_once() {
    let folder = Scratch::new();
    let (arguments, authority) = certificates(&folder);
    let server = Server::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let other = Scratch::new();
    let (_, stranger) = certificates(&other);
    let error = ConnectOptions::new().uri(server.uri()).ca_file(stranger).connect().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.message().contains("none of the authorities"), "{error}");

    let plain = Server::start();
    let uri = plain.uri().replace("holdfast://", "holdfast+tls://");
    let error = ConnectOptions::new().uri(uri).ca_file(authority).connect().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.message().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable_with_the_way_out() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Client::connect(format!("holdfast://{nobody}")).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains(&format!("holdfast server --port {}", nobody.port())), "{error}");
}
