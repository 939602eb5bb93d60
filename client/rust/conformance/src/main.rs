//! The driver of the conformance suite: does what it is told on standard input, one JSON object a line, as
//! `client/conformance/README.md` says.

mod arguments;
mod driver;

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use crate::driver::{Driver, Failure};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut driver = Driver::default();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = match driver.run(&request).await {
            Ok(answer) => json!({ "ok": answer }),
            Err(Failure::Client(error)) => json!({ "error": {
                "code": error.kind().code(),
                "reason": error.reason(),
                "message": error.message(),
                "request_id": error.request_id(),
            }}),
            Err(Failure::Driver(problem)) => return Err(format!("{request}: {problem}").into()),
        };
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
