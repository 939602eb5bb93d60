//! What requests hold, and what answers are made of.

use holdfast::digests::Digest;
use holdfast::{ArtifactEntry, Metric, RunEnd, millis_of, v1};
use serde_json::{Map, Value, json};

use crate::driver::Failure;

/// The arguments of a request.
pub struct Arguments<'a>(pub &'a Value);

impl<'a> Arguments<'a> {
    pub fn text(&self, name: &str) -> Result<&'a str, Failure> {
        self.0[name].as_str().ok_or_else(|| Failure::wrong(name, "a text", &self.0[name]))
    }

    /// A text that may be absent, or null.
    pub fn optional(&self, name: &str) -> Result<Option<&'a str>, Failure> {
        if self.0[name].is_null() { Ok(None) } else { self.text(name).map(Some) }
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_default()
    }

    pub fn size(&self, name: &str) -> Result<u64, Failure> {
        self.0[name].as_u64().ok_or_else(|| Failure::wrong(name, "a size", &self.0[name]))
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.text(name)?.parse().map_err(|_| Failure::wrong(name, "a number in a text", &self.0[name]))
    }

    pub fn list(&self, name: &str) -> Result<&'a [Value], Failure> {
        let list = self.0[name].as_array().ok_or_else(|| Failure::wrong(name, "a list", &self.0[name]))?;
        Ok(list)
    }

    pub fn texts(&self, name: &str) -> Result<Vec<(&'a str, &'a str)>, Failure> {
        let object = self.0[name].as_object().ok_or_else(|| Failure::wrong(name, "an object", &self.0[name]))?;
        object
            .iter()
            .map(|(key, value)| {
                value.as_str().map(|value| (key.as_str(), value)).ok_or_else(|| Failure::wrong(key, "a text", value))
            })
            .collect()
    }

    pub fn status(&self, name: &str) -> Result<RunEnd, Failure> {
        match self.text(name)? {
            "FINISHED" => Ok(RunEnd::Finished),
            "FAILED" => Ok(RunEnd::Failed),
            "KILLED" => Ok(RunEnd::Killed),
            _ => Err(Failure::wrong(name, "a status that ends a run", &self.0[name])),
        }
    }

    pub fn metric(&self) -> Result<Metric, Failure> {
        let value = match &self.0["value"] {
            Value::String(text) if text == "NaN" => f64::NAN,
            Value::String(text) if text == "Infinity" => f64::INFINITY,
            Value::String(text) if text == "-Infinity" => f64::NEG_INFINITY,
            value => value.as_f64().ok_or_else(|| Failure::wrong("value", "a number", value))?,
        };
        let step = self.0["step"].as_i64().unwrap_or_default();
        Ok(Metric { timestamp_ms: self.0["timestamp"].as_i64(), ..Metric::new(self.text("key")?, value, step) })
    }

    pub fn entry(&self) -> Result<ArtifactEntry, Failure> {
        let path = self.text("path")?;
        if self.flag("directory") {
            return Ok(ArtifactEntry::directory(path));
        }
        let digest: Digest = self.number("digest")?;
        Ok(ArtifactEntry {
            executable: self.flag("executable"),
            ..ArtifactEntry::file(path, self.size("size")?, digest)
        })
    }
}

pub fn entry_to_json(entry: &ArtifactEntry) -> Value {
    json!({
        "path": entry.path,
        "directory": entry.is_directory,
        "executable": entry.executable,
        "size": entry.size,
        "digest": entry.digest.map(|digest| digest.to_string()).unwrap_or_default(),
    })
}

pub fn run_to_json(run: &v1::Run) -> Value {
    let params = run.params.iter().map(|param| (param.key.clone(), param.value.clone().into()));
    let tags = run.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone().into()));
    let metrics = run.metrics.iter().map(|metric| (metric.key.clone(), value_to_json(metric.value)));
    json!({
        "run_id": run.run_id,
        "experiment_id": run.experiment_id,
        "name": run.run_name,
        "status": run.status().as_str_name().trim_start_matches("RUN_STATUS_"),
        "params": params.collect::<Map<String, Value>>(),
        "tags": tags.collect::<Map<String, Value>>(),
        "metrics": metrics.collect::<Map<String, Value>>(),
    })
}

pub fn point_to_json(point: &v1::Metric) -> Value {
    let timestamp = millis_of(point.timestamp.as_ref());
    json!({ "value": value_to_json(point.value), "step": point.step, "timestamp": timestamp })
}

fn value_to_json(value: f64) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}
