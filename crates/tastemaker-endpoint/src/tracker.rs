//! Tells a server of MLflow about runs.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

use crate::client::beginning;
use crate::{Error, Result};

/// The most parameters and the most metrics of one request, by the server's own limits.
const PARAMETERS: usize = 100;
const METRICS: usize = 900;

/// A server of MLflow, as its REST API 2.0 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracker {
    /// Where the server is.
    pub url: String,
    /// What the server is told where it asks who it is.
    pub key: Option<String>,
}

/// A run, as the server is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracked {
    /// The experiment to which it belongs, which is made where it is not there.
    pub experiment: String,
    /// What it is called.
    pub name: String,
    /// When it ended, in milliseconds since 1970.
    pub ended: u64,
    /// Its settings.
    pub parameters: Vec<(String, String)>,
    /// What was measured, and when in training. What is no number cannot be told.
    pub metrics: Vec<(String, usize, f64)>,
}

#[derive(Deserialize)]
struct Found {
    experiment: Experiment,
}

#[derive(Deserialize)]
struct Experiment {
    experiment_id: String,
}

#[derive(Deserialize)]
struct Created {
    run: Run,
}

#[derive(Deserialize)]
struct Run {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    run_id: String,
}

impl Tracker {
    /// Makes a run of the server's from `tracked`, and returns what the server calls it.
    pub fn log(&self, tracked: &Tracked) -> Result<String> {
        // A server that does not answer is given up.
        let timeout = Some(Duration::from_mins(1));
        let agent = Agent::config_builder().timeout_global(timeout).http_status_as_error(false);
        let agent: Agent = agent.build().into();
        let experiment_id = self.experiment(&agent, &tracked.experiment)?;
        let create = json!({
            "experiment_id": experiment_id,
            "run_name": tracked.name,
            "start_time": tracked.ended,
        });
        let created: Created = self.post(&agent, "runs/create", &create)?;
        let run_id = created.run.info.run_id;
        for some in tracked.parameters.chunks(PARAMETERS) {
            let one = |(key, value): &(String, String)| json!({"key": key, "value": value});
            let params: Vec<Value> = some.iter().map(one).collect();
            let _: Value =
                self.post(&agent, "runs/log-batch", &json!({"run_id": run_id, "params": params}))?;
        }
        let finite: Vec<_> =
            tracked.metrics.iter().filter(|(.., value)| value.is_finite()).collect();
        for some in finite.chunks(METRICS) {
            let one = |(key, step, value): &&(String, usize, f64)| json!({"key": key, "value": value, "timestamp": tracked.ended, "step": step});
            let metrics: Vec<Value> = some.iter().map(one).collect();
            let _: Value = self.post(
                &agent,
                "runs/log-batch",
                &json!({"run_id": run_id, "metrics": metrics}),
            )?;
        }
        let ended = json!({"run_id": run_id, "status": "FINISHED", "end_time": tracked.ended});
        let _: Value = self.post(&agent, "runs/update", &ended)?;
        Ok(run_id)
    }

    /// What the server calls the experiment of this name.
    fn experiment(&self, agent: &Agent, name: &str) -> Result<String> {
        let url = self.address("experiments/get-by-name");
        let mut request = agent.get(&url).query("experiment_name", name);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        match answer(&url, request.call()) {
            Ok(found) => Ok(read::<Found>(&url, &found)?.experiment.experiment_id),
            Err(Error::Refused { status: 404, .. }) => {
                let made: Experiment =
                    self.post(agent, "experiments/create", &json!({"name": name}))?;
                Ok(made.experiment_id)
            }
            Err(error) => Err(error),
        }
    }

    fn post<T: serde::de::DeserializeOwned>(
        &self,
        agent: &Agent,
        what: &str,
        told: &Value,
    ) -> Result<T> {
        let url = self.address(what);
        let mut request = agent.post(&url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        read(&url, &answer(&url, request.send(told.to_string()))?)
    }

    fn address(&self, what: &str) -> String {
        format!("{}/api/2.0/mlflow/{what}", self.url.trim_end_matches('/'))
    }
}

/// The body of an answer that is none of no.
fn answer(
    url: &str,
    response: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<String> {
    let unreachable = |error: ureq::Error| Error::Unreachable {
        url: url.to_owned(),
        tries: 1,
        problem: error.to_string(),
    };
    let mut response = response.map_err(unreachable)?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string().map_err(unreachable)?;
    if (200..300).contains(&status) {
        return Ok(body);
    }
    Err(Error::Refused { url: url.to_owned(), status, body: beginning(&body) })
}

fn read<T: serde::de::DeserializeOwned>(url: &str, body: &str) -> Result<T> {
    let problem = |error: serde_json::Error| format!("{error}, in {:?}", beginning(body));
    serde_json::from_str(body)
        .map_err(|error| Error::Unreadable { url: url.to_owned(), problem: problem(error) })
}
