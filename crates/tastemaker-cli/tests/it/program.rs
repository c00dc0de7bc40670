use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::server;

/// A control and a small language model on made-up data.
const STUDY: &str = r#"
[study]
name = "small"
seeds = [1]
[dataset.synthetic]
users = 200
items = 100
[[arm]]
name = "most-popular"
recommender = { most-popular = {} }
[[arm]]
name = "decoder"
[arm.recommender.language-model]
backbone = { decoder = { embedding-size = 32, max-length = 16 } }
training = { epochs = 12, batch-size = 32, learning-rate = 3e-3 }
"#;

/// A folder to run the program in.
struct Here(TempDir);

impl Here {
    fn new() -> Self {
        let here = Self(tempfile::tempdir().unwrap());
        fs_err::write(here.path("study.toml"), STUDY).unwrap();
        here
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tastemaker"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What the program prints as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--format", "json"]].concat();
        let output = self.run(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What the program says when it cannot do it.
    fn error(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        text
    }
}

const DECODER: &str = "runs/small/decoder/seed-1";

/// A metric of an arm.
fn metric(report: &Value, arm: usize, metric: &str) -> f64 {
    let cells = report["arms"][arm]["test"].as_array().unwrap();
    cells.iter().find(|cell| cell["metric"] == metric).unwrap()["mean"].as_f64().unwrap()
}

#[test]
fn a_study_is_trained_evaluated_and_recommends() {
    let here = Here::new();
    let report = here.json(&["train", "study.toml"]);
    let (popular, decoder) = (metric(&report, 0, "HR@10"), metric(&report, 1, "HR@10"));
    assert!(decoder > 2.0 * popular && decoder > 0.3, "decoder {decoder}, most-popular {popular}");

    // Everything is kept, and nothing is done twice.
    for name in
        ["study.toml", "metrics.json", "model.safetensors", "events.jsonl", "users.parquet", "data"]
    {
        assert!(here.path(DECODER).join(name).exists(), "{name}");
    }
    let before =
        fs_err::metadata(here.path(DECODER).join("metrics.json")).unwrap().modified().unwrap();
    assert_eq!(here.json(&["train", "study.toml"]), report);
    let after =
        fs_err::metadata(here.path(DECODER).join("metrics.json")).unwrap().modified().unwrap();
    assert_eq!(before, after);

    // Against the better one, user by user; Coverage is of no user.
    let compared = here.json(&["train", "study.toml", "--compare"]);
    let families = compared["comparisons"].as_array().unwrap();
    assert_eq!(families.len(), report["arms"][0]["test"].as_array().unwrap().len() - 1);
    let family = families.iter().find(|family| family["metric"] == "HR@10").unwrap();
    assert_eq!(
        (&family["against"], &family["arms"][0]["arm"]),
        (&"decoder".into(), &"most-popular".into())
    );
    let difference = family["arms"][0]["comparison"]["difference"].as_f64().unwrap();
    assert!((difference - (popular - decoder)).abs() < 1e-12);
    assert!(family["arms"][0]["holm"].as_f64().unwrap() < 0.01);

    let evaluation = here.json(&["evaluate", DECODER]);
    let value = |evaluation: &Value| evaluation["metrics"][1]["mean"].as_f64().unwrap();
    assert!((value(&evaluation) - decoder).abs() < 1e-12);
    let sampled = here.json(&["evaluate", DECODER, "--sampled", "20", "--metric", "hr@10"]);
    assert_eq!(sampled["metrics"][0]["metric"], "HR@10 sampled-20");
    assert!(sampled["metrics"][0]["mean"].as_f64().unwrap() > decoder);

    let user = here.json(&["recommend", DECODER, "--user", "u1", "-n", "3"]);
    assert_eq!(user["items"].as_array().unwrap().len(), 3);
    let title = user["history"][0]["title"].as_str().unwrap();
    let anybody = here.json(&["recommend", DECODER, "--history", &title.to_uppercase()]);
    assert_eq!(anybody["history"][0]["by"], "title");
    assert_eq!(anybody["items"].as_array().unwrap().len(), 10);
    // Controls recommend too.
    here.json(&["recommend", "runs/small/most-popular/seed-1", "--user", "u1"]);
}

#[test]
fn lists_that_are_written_and_read_again_give_the_metrics_of_their_run() {
    let here = Here::new();
    here.json(&["train", "study.toml"]);
    let means = |summary: &Value| -> Vec<(String, f64)> {
        let of = |value: &Value| (value["metric"].to_string(), value["mean"].as_f64().unwrap());
        summary["metrics"].as_array().unwrap().iter().map(of).collect()
    };
    let same = |found: &Value, expected: &Value| {
        let (found, expected) = (means(found), means(expected));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.0, expected.0);
            assert!((found.1 - expected.1).abs() < 1e-9, "{found:?} is not {expected:?}");
        }
    };
    for run in [DECODER, "runs/small/most-popular/seed-1"] {
        let result = fs_err::read_to_string(here.path(run).join("metrics.json")).unwrap();
        let expected = &serde_json::from_str::<Value>(&result).unwrap()["test"];
        for lists in ["x.trec", "x.csv", "x.tsv", "x.jsonl", "x.parquet"] {
            let out = here.run(&["export", run, "--lists", lists, "--qrels", "x.qrels"]);
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            let qrels = ["evaluate", "--runs", lists, "--qrels", "x.qrels", "--items", "100"];
            same(&here.json(&qrels), expected);
            same(&here.json(&["evaluate", run, "--runs", lists]), expected);
        }
    }
    // Of users without a list something is said, and what cannot be known is not taken.
    let ndcg = ["--metric", "ndcg@10", "--metric", "coverage@10"];
    fs_err::write(here.path("few.csv"), "user,item\nu1,i1\nnobody,i1\n").unwrap();
    let few = here.json(&[&["evaluate", DECODER, "--runs", "few.csv"], &ndcg[..]].concat());
    let said = few["protocol"].as_str().unwrap();
    assert!(
        said.contains("of 200 users have no list") && said.contains("of 1 users who"),
        "{said}"
    );
    let unknown = [&["evaluate", "--runs", "few.csv", "--qrels", "x.qrels"], &ndcg[..]].concat();
    let text = here.error(&unknown);
    assert!(
        text.contains("Coverage@10") && text.contains("how many items the catalog has"),
        "{text}"
    );
    fs_err::write(here.path("few.csv"), "user,item\nu1,i1\nu1,i1000\n").unwrap();
    let text = here.error(&["evaluate", DECODER, "--runs", "few.csv"]);
    assert!(
        text.contains("few.csv, line 3: item is \"i1000\", which is not in the catalog"),
        "{text}"
    );
}

#[test]
fn losses_and_metrics_are_told_to_tensorboard_and_mlflow() {
    let here = Here::new();
    here.json(&["train", "study.toml"]);
    let ran = |arguments: &[&str]| {
        let out = here.run(arguments);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    ran(&["export", DECODER, "--tensorboard", "logs"]);
    let file = fs_err::read(here.path("logs/events.out.tfevents.0.tastemaker")).unwrap();
    let times = |tag: &str| file.windows(tag.len()).filter(|at| *at == tag.as_bytes()).count();
    let events = fs_err::read_to_string(here.path(DECODER).join("events.jsonl")).unwrap();
    let epochs = events.lines().filter(|line| line.contains("\"event\":\"epoch\"")).count();
    assert!(epochs > 0);
    assert_eq!((times("/epoch/loss"), times("/epoch/validation")), (epochs, epochs));
    assert_eq!((times("test/NDCG@10"), times("validation/NDCG@10")), (1, 1));

    let found = "{\"experiment\": {\"experiment_id\": \"7\"}}".to_owned();
    let created = "{\"run\": {\"info\": {\"run_id\": \"abc\"}}}".to_owned();
    let mut answers = vec![(200, "", found), (200, "", created)];
    answers.extend(std::iter::repeat_n((200, "", "{}".to_owned()), 3));
    let (url, asked) = server(answers);
    ran(&["export", DECODER, "--mlflow", &url]);
    let mut bodies: Vec<Value> = Vec::new();
    for (head, body) in asked.iter().take(5) {
        assert!(head.contains("/api/2.0/mlflow/"), "{head}");
        bodies.push(serde_json::from_str(&body).unwrap_or_default());
    }
    assert_eq!(bodies[1]["run_name"], "decoder seed 1");
    let has = |list: &Value, key: &str, value: Value| {
        let all = list.as_array().unwrap();
        assert!(all.iter().any(|one| one["key"] == key && one["value"] == value), "{list}");
    };
    let epochs = "arm.recommender.language-model.training.epochs";
    has(&bodies[2]["params"], epochs, "12".into());
    let result = fs_err::read_to_string(here.path(DECODER).join("metrics.json")).unwrap();
    let result: Value = serde_json::from_str(&result).unwrap();
    let first = &result["test"]["metrics"][0];
    assert_eq!(first["metric"], "HR@5");
    has(&bodies[3]["metrics"], "test/HR_at_5", first["mean"].clone());
    assert_eq!(bodies[4]["status"], "FINISHED");
    // Controls have metrics and no losses.
    ran(&["export", "runs/small/most-popular/seed-1", "--tensorboard", "logs"]);
}

/// The files of a run whose bytes must not depend on how it was run.
fn bytes(run: &Path) -> Vec<Vec<u8>> {
    let names =
        ["metrics.json", "model.safetensors", "events.jsonl", "users.parquet", "study.toml"];
    names.iter().map(|name| fs_err::read(run.join(name)).unwrap()).collect()
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes_with_any_number_of_threads() {
    let here = Here::new();
    let train = |out: &str, threads: &str| {
        let arguments =
            ["train", "study.toml", "--recommender", "decoder", "--out", out, "--threads", threads];
        here.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    assert!(train("whole", "2").wait().unwrap().success());
    let run = |out: &str| here.path(out).join("small/decoder/seed-1");
    let mut killed = 0;
    // Each time it is killed as soon as it has come further than the time before.
    for checkpoints in 1..4 {
        let mut child = train("broken", "1");
        let checkpoint = run("broken").join("checkpoint.safetensors");
        let stamp = || fs_err::metadata(&checkpoint).and_then(|file| file.modified()).ok();
        let before = stamp();
        while child.try_wait().unwrap().is_none() {
            if stamp().is_some() && stamp() != before {
                child.kill().unwrap();
                killed += 1;
                break;
            }
        }
        child.wait().unwrap();
        assert!(checkpoints < 2 || killed > 0, "it never could be killed");
    }
    assert!(train("broken", "1").wait().unwrap().success());
    assert!(bytes(&run("whole")) == bytes(&run("broken")));
}

#[test]
fn what_cannot_be_done_says_why_and_leaves_nothing() {
    let here = Here::new();
    let has = |arguments: &[&str], expected: &[&str]| {
        let text = here.error(arguments);
        for expected in expected {
            assert!(text.contains(expected), "{arguments:?}: {expected:?} is not in {text}");
        }
    };
    has(&["train"], &["--data demo"]);
    has(&["train", "no.toml"], &["no.toml"]);
    has(&["train", "--data", "no.csv"], &["no.csv", "does not exist"]);
    has(&["train", "--data", "dmeo"], &["did you mean \"demo\"?"]);
    has(
        &["train", "--data", "demo", "--recommender", "most-popluar"],
        &["did you mean \"most-popular\"?"],
    );
    has(
        &["train", "study.toml", "--recommender", "decodr"],
        &["no arm \"decodr\"; did you mean \"decoder\"?"],
    );
    has(&["train", "study.toml", "--set", "study.nmae=x"], &["--set:1:", "did you mean \"name\"?"]);
    let without_times = STUDY.replace("embedding-size = 32", "views = [\"return\"]");
    let conditioned = format!("{without_times}objective = {{ return-conditioned = {{}} }}\n");
    fs_err::write(here.path("values.toml"), conditioned).unwrap();
    for arguments in [&["train", "values.toml"][..], &["train", "values.toml", "--dry-run"]] {
        has(arguments, &["values.toml:16:1: arm \"decoder\"", "the interactions have no values"]);
    }
    let elsewhere = "dataset={ sequence-lines = { path = \"no.txt\" } }";
    has(&["train", "study.toml", "--dry-run", "--set", elsewhere], &["no.txt"]);
    has(&["list", "metric"], &["did you mean \"metrics\"?"]);
    has(&["evaluate", "nowhere"], &["nowhere", "expected the folder of a run"]);
    has(&["recommend", ".", "--user", "u1"], &["expected the folder of a run"]);

    fs_err::write(here.path("a.csv"), "person,thing,when\nx,y,1\nx,z,2\nx,w,later\n").unwrap();
    has(
        &["data", "describe", "a.csv", "--user-column", "perso"],
        &["perso", "did you mean \"person\"?"],
    );
    let columns = ["--user-column", "person", "--item-column", "thing", "--time-column", "when"];
    has(
        &[&["data", "prepare", "a.csv", "--out", "out"], &columns[..]].concat(),
        &["a.csv", "line 4", "later"],
    );
    assert!(!here.path("out").exists());
    assert!(!here.path("runs").exists());
}

#[test]
fn a_run_that_was_tampered_with_is_refused() {
    let here = Here::new();
    here.json(&[
        "train",
        "study.toml",
        "--recommender",
        "decoder",
        "--set",
        "training.epochs=1",
        "--set",
        "arm.decoder.recommender.language-model.training.epochs=1",
    ]);
    let model = here.path(DECODER).join("model.safetensors");
    let text = here.error(&["recommend", DECODER, "--user", "nobody"]);
    assert!(text.contains("there is no user \"nobody\""), "{text}");
    let text = here.error(&["recommend", DECODER, "--history", "no such thing at all"]);
    assert!(text.contains("there is no item \"no such thing at all\"; the nearest are"), "{text}");

    let whole = fs_err::read(&model).unwrap();
    fs_err::write(&model, &whole[..whole.len() / 2]).unwrap();
    let text = here.error(&["recommend", DECODER, "--user", "u1"]);
    assert!(
        text.contains("model.safetensors") && text.contains("no whole safetensors file"),
        "{text}"
    );
    fs_err::remove_file(&model).unwrap();
    let text = here.error(&["evaluate", DECODER]);
    assert!(text.contains("is missing"), "{text}");
    fs_err::write(&model, whole).unwrap();

    // The same folder for another study is refused, not mixed.
    let text = here.error(&["train", "study.toml", "--recommender", "decoder"]);
    assert!(text.contains("another study"), "{text}");
}

#[test]
fn a_full_disk_leaves_no_half_written_file() {
    // /dev/full takes no byte; a folder below a file cannot be made.
    let here = Here::new();
    fs_err::write(here.path("file"), "").unwrap();
    let text = here.error(&["data", "prepare", "synthetic", "--out", "file/out"]);
    assert!(text.contains("file"), "{text}");
    let names: Vec<_> =
        fs_err::read_dir(here.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn data_is_prepared_to_the_same_bytes_and_read_again() {
    let here = Here::new();
    here.json(&["data", "prepare", "synthetic", "--out", "one"]);
    here.json(&["data", "prepare", "synthetic", "--out", "two"]);
    for entry in fs_err::read_dir(here.path("one")).unwrap() {
        let name = entry.unwrap().file_name();
        let bytes = |folder: &str| fs_err::read(here.path(folder).join(&name)).unwrap();
        assert!(bytes("one") == bytes("two"), "{}", name.display());
    }
    let described = here.json(&["data", "describe", "one"]);
    assert_eq!(described["users"], 1000);
    assert_eq!(described["hash"], here.json(&["data", "describe", "synthetic"])["hash"]);
}

#[test]
fn tables_are_for_people_and_json_is_for_programs() {
    let here = Here::new();
    let lists = here.json(&["list"]);
    assert!(lists["metrics"]["ndcg"].is_string());
    let text = String::from_utf8(here.run(&["list", "metrics"]).stdout).unwrap();
    assert!(text.starts_with("metrics\n  auc "), "{text}");
    let help = String::from_utf8(here.run(&["list", "--help"]).stdout).unwrap();
    for (kind, _) in tastemaker::tables() {
        assert!(help.contains(kind), "{kind} is not in {help}");
        assert!(here.json(&["list", kind])[kind].is_object());
    }
    assert_eq!(here.json(&["doctor"])["working folder can be written to"], "yes");
}
