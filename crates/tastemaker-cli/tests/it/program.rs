use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

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
pub(crate) struct Here(TempDir);

impl Here {
    pub(crate) fn new() -> Self {
        let here = Self(tempfile::tempdir().unwrap());
        fs_err::write(here.path("study.toml"), STUDY).unwrap();
        here
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tastemaker"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What the program prints as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--format", "json"]].concat();
        let output = self.run(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What the program says when it cannot do it.
    pub(crate) fn error(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        text
    }
}

pub(crate) const DECODER: &str = "runs/small/decoder/seed-1";

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
    let compared = here.json(&["report", "runs/small"]);
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

/// A study of two regimes, a search and an un-pretrained twin.
const WHOLE: &str = r#"
[study]
name = "whole"
seeds = [1, 2]
[dataset.synthetic]
users = 150
items = 100
[training]
epochs = 3
[pretraining]
[search]
trials = 3
[[arm]]
name = "item-knn"
recommender = { item-knn = {} }
space = { neighbours = { log-whole = [2, 60] } }
[[arm]]
name = "lora"
twin = true
[arm.recommender.language-model]
backbone = { decoder = { embedding-size = 16, max-length = 16 } }
paradigm = { finetune-extra = { insert = [{ lora = { rank = 2 } }] } }
[evaluate]
metrics = [{ hit-rate = { k = 10 } }, { ndcg = { k = 10 } }, { novelty = { k = 10 } }]
[regime.full]
[regime.noise]
evaluate = { noise = 0.3 }
study = { seeds = [1] }
"#;

/// Every file of a study but costs, which depend on the clock, and reports of them.
fn timeless(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (std::collections::BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs_err::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name != "costs.json" && !name.starts_with("report.") {
                let inside = path.strip_prefix(folder).unwrap().to_owned();
                files.insert(inside, fs_err::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_study_that_was_killed_ends_in_the_same_bytes_as_one_that_was_not() {
    let here = Here::new();
    fs_err::write(here.path("whole.toml"), WHOLE).unwrap();
    let study = |out: &str, jobs: &str| {
        let mut command =
            here.command(&["study", "whole.toml", "--out", out, "--jobs", jobs, "--quiet"]);
        command.stdout(Stdio::null());
        command
    };
    assert!(study("once", "2").status().unwrap().success());
    let mut killed = study("again", "2").stderr(Stdio::null()).spawn().unwrap();
    let begun = here.path("again/whole/full/lora");
    while !begun.exists() && killed.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Runs that it had begun may be at it still; this one waits for them.
    assert!(study("again", "1").status().unwrap().success());
    let (once, again) = (timeless(&here.path("once")), timeless(&here.path("again")));
    let differ: Vec<&PathBuf> =
        once.keys().filter(|name| once.get(*name) != again.get(*name)).collect();
    assert!(differ.is_empty() && once.len() == again.len(), "{differ:?}");
    // Arms × seeds of the first regime, arms of the second, and two searches.
    let count = |name: &str| once.keys().filter(|path| path.ends_with(name)).count();
    assert_eq!([count("metrics.json"), count("trials.json")], [9, 2]);
}

#[test]
fn the_report_of_a_study_needs_nothing_else() {
    let here = Here::new();
    fs_err::write(here.path("whole.toml"), WHOLE).unwrap();
    let plan = here.json(&["study", "whole.toml", "--dry-run"]);
    let arm = &plan[0]["arms"][1];
    assert_eq!((&arm["runs-left"], &arm["stages"][0]["stage"]), (&2.into(), &"pretraining".into()));
    assert!(arm["seconds"].as_f64().unwrap() > 0.0 && !here.path("runs").exists());
    let reports = here.json(&["study", "whole.toml"]);
    let [full, noise] = &reports.as_array().unwrap()[..] else { panic!("two regimes") };
    assert_eq!(
        (&full["study"], &noise["study"]),
        (&"whole (full)".into(), &"whole (noise)".into())
    );
    assert!(noise["protocol"].as_str().unwrap().contains("30 % of each history replaced"));
    let family = &full["comparisons"][1];
    assert_eq!(
        (&family["metric"], family["arms"].as_array().unwrap().len()),
        (&"NDCG@10".into(), 2)
    );
    let users: u64 = family["arms"][0]["histogram"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(users, family["arms"][0]["comparison"]["n-users"].as_u64().unwrap());
    let group = &full["groups"][0];
    assert_eq!(group["by"], "length of the history");
    // The means of the groups are those of all.
    let parts = group["groups"].as_array().unwrap().iter();
    let sum: f64 = parts
        .map(|part| part["n-users"].as_f64().unwrap() * part["means"][1].as_f64().unwrap())
        .sum();
    let mean = metric(full, 1, "NDCG@10");
    assert!((sum / users as f64 - mean).abs() < 1e-9, "{sum} {mean}");
    let html = fs_err::read_to_string(here.path("runs/whole/report.html")).unwrap();
    for outside in ["<script", "http://", "https://", "src=", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert_eq!(html.matches("<article").count(), 2);
    for (name, begins) in [("md", "# whole (full)"), ("tex", "% whole (full)"), ("json", "[")] {
        let text = fs_err::read_to_string(here.path("runs/whole/report").with_extension(name));
        assert!(text.unwrap().starts_with(begins), "{name}");
    }
    // From the folders alone, and of one regime.
    let again = here.json(&["report", "runs/whole/noise", "--out", "noise.html"]);
    assert_eq!(again["arms"], noise["arms"]);
    assert!(here.path("noise.html").exists());
    // Other metrics are taken as the study takes its own.
    let run = "runs/whole/noise/lora/seed-1";
    let other = here.json(&["evaluate", run, "--metric", "mrr@10"]);
    assert!(other["protocol"].as_str().unwrap().contains("30 % of each history replaced"));
    assert!(here.error(&["report", "runs", "--out", "x.pdf"]).contains("none of .html"));
    assert!(here.error(&["report", "runs"]).contains("no resolved.toml"));
}

#[test]
fn an_audit_says_what_it_found_and_gates_on_it() {
    let here = Here::new();
    here.json(&[
        "train",
        "study.toml",
        "--recommender",
        "most-popular",
        "--seed",
        "1",
        "--seed",
        "2",
    ]);
    let run = "runs/small/most-popular/seed-1";
    fs_err::write(here.path("record.toml"), "owner = \"us\"\ndata-licence = \"made up\"\n")
        .unwrap();
    let audited = here.json(&[
        "audit",
        run,
        "--record",
        "record.toml",
        "--resamples",
        "100",
        "--mitigate",
        "--out",
        "audit.html",
        "--out",
        "audit.md",
        "--out",
        "one.json",
    ]);
    let findings = audited["audit"]["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 6);
    let indicator = |name: &str| {
        let all = findings.iter().flat_map(|f| f["indicators"].as_array().unwrap());
        all.into_iter().find(|found| found["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    };
    // Nearly the same for everybody: the few items that are shown, over 100.
    assert!(indicator("coverage")["value"].as_f64().unwrap() < 0.3);
    assert!(indicator("likeness")["value"].as_f64().unwrap() > 0.5);
    // The other seed learns the same, and orders equals otherwise, of which a hundred items have many.
    assert!((0.5..0.999).contains(&indicator("run-jaccard")["value"].as_f64().unwrap()));
    // Titles are not read, so that words planted in them do nothing.
    assert_eq!(indicator("planted-exposure")["value"], 0.0);
    assert_eq!(audited["record"]["owner"], "us");
    assert!(audited["record"]["seeds"] == "1" && audited["record"]["data-hash"].is_string());
    let points = audited["trade-offs"][0]["points"].as_array().unwrap();
    assert!(points.len() > 10 && points.iter().any(|point| point["pareto"] == true));
    // What was audited before goes into the report of others.
    let before = serde_json::to_string(&[&audited]).unwrap();
    fs_err::write(here.path("before.json"), &before).unwrap();
    for file in ["before.json", "one.json"] {
        assert_eq!(here.json(&["audit", file]), audited, "{file}");
    }
    fs_err::write(here.path("before.json"), "[{}]").unwrap();
    let error = here.error(&["audit", "before.json"]);
    assert!(error.contains("before.json, line 1") && error.contains("missing field"), "{error}");
    let html = fs_err::read_to_string(here.path("audit.html")).unwrap();
    for outside in ["<script", "http://", "https://", "src=", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("no legal advice") && html.contains("What this audit cannot see"));
    assert!(fs_err::read_to_string(here.path("audit.md")).unwrap().starts_with("# Audit: small"));
    // A gate that is not passed is no error.
    let gate = |at: &str| {
        let arguments =
            ["audit", run, "--harm", "governance", "--resamples", "100", "--fail-at", at];
        here.run(&arguments).status.code()
    };
    assert_eq!((gate("limited"), gate("unacceptable")), (Some(1), Some(0)));
    let error = here.error(&["audit", run, "--harm", "privcy"]);
    assert!(error.contains("did you mean \"privacy\"?"), "{error}");
    fs_err::write(here.path("wrong.toml"), "ownr = \"us\"\n").unwrap();
    let error = here.error(&["audit", run, "--record", "wrong.toml"]);
    assert!(error.contains("did you mean \"owner\"?"), "{error}");
}
