use serde_json::Value;

use crate::program::{DECODER, Here};
use crate::server::server;

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

/// Whether the program says the metrics of the golden values.
fn says(found: &Value, golden: &Value, names: &[(&str, &str)]) {
    for (metric, name) in names {
        let metrics = found["metrics"].as_array().unwrap();
        let value = metrics.iter().find(|value| value["metric"] == *metric).unwrap();
        let (value, expected) = (value["value"].as_f64().unwrap(), golden[name].as_f64().unwrap());
        assert!((value - expected).abs() < 1e-6 * expected.abs().max(1.0), "{metric}: {value}");
    }
}

#[test]
fn ratings_clicks_and_texts_of_other_tools_are_measured_as_by_the_reference_libraries() {
    let here = Here::new();
    let golden: Value = serde_json::from_str(include_str!(
        "../../../tastemaker-eval/tests/golden/predictions.json"
    ))
    .unwrap();
    let (ratings, clicks) = (&golden["ratings"][1], &golden["clicks"][0]);
    let rows = |pairs: &Value| -> String {
        let row = |pair: &Value| format!("{},{}\n", pair[0], pair[1]);
        pairs.as_array().unwrap().iter().map(row).collect()
    };
    fs_err::write(here.path("a.csv"), format!("est,r_ui\n{}", rows(&ratings["pairs"]))).unwrap();
    let found = here.json(&["evaluate", "--ratings", "a.csv"]);
    says(&found, ratings, &[("RMSE", "rmse"), ("MAE", "mae")]);
    let text = rows(&clicks["pairs"]).replace("true", "1").replace("false", "0");
    fs_err::write(here.path("a.csv"), format!("score,click\n{text}")).unwrap();
    let found = here.json(&["evaluate", "--clicks", "a.csv"]);
    says(&found, clicks, &[("AUC", "auc"), ("log-loss", "log-loss")]);
    assert!(found["protocol"].as_str().unwrap().contains("no column says what was asked"));

    // Groups need not come one after the other.
    let mut lines = vec!["impression_id\tscore\tclick".to_owned()];
    let groups = golden["groups"].as_array().unwrap();
    for place in 0..100 {
        for (name, group) in groups.iter().enumerate() {
            let Some(click) = group.get(place) else { continue };
            let label = u8::from(click[1].as_bool().unwrap());
            lines.push(format!("{name}\t{}\t{label}", click[0]));
        }
    }
    fs_err::write(here.path("a.tsv"), lines.join("\n")).unwrap();
    let found = here.json(&["evaluate", "--clicks", "a.tsv"]);
    let of_groups = [
        ("AUC of groups", "auc"),
        ("AUC of groups, by clicks (GAUC)", "auc-by-clicks"),
        ("MRR of groups", "mrr"),
        ("NDCG@5 of groups", "ndcg-5"),
    ];
    says(&found, &golden["grouped"], &of_groups);

    let golden: Value =
        serde_json::from_str(include_str!("../../../tastemaker-eval/tests/golden/generation.json"))
            .unwrap();
    let set = &golden["sets"][0];
    let line = |(pair, feature): (&Value, &Value)| {
        serde_json::json!({ "generated": pair[0], "reference": pair[1], "feature": feature })
            .to_string()
    };
    let (pairs, features) = (set["pairs"].as_array(), set["features"]["wanted"].as_array());
    let lines: Vec<String> = pairs.unwrap().iter().zip(features.unwrap()).map(line).collect();
    fs_err::write(here.path("a.jsonl"), lines.join("\n")).unwrap();
    let found = here.json(&["evaluate", "--texts", "a.jsonl"]);
    let names = [("BLEU", "bleu"), ("ROUGE-1", "rouge-1"), ("METEOR", "meteor"), ("chrF", "chrf")];
    says(&found, set, &names);
    says(&found, &set["features"], &[("FMR", "matching")]);
    let both = here.error(&["evaluate", "--texts", "a.jsonl", "--ratings", "a.csv"]);
    assert!(both.contains("cannot be used with"), "{both}");
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

#[test]
fn a_study_ranks_among_the_candidates_of_a_file_and_says_which() {
    let here = Here::new();
    let study = fs_err::read_to_string(here.path("study.toml")).unwrap();
    let with = |evaluate: &str| {
        fs_err::write(here.path("study.toml"), format!("{study}\n[evaluate]\n{evaluate}")).unwrap();
    };
    with("candidates = \"lists.tsv\"");
    let train = ["train", "study.toml", "--recommender", "most-popular"];
    let text = here.error(&train);
    assert!(text.contains("sampled is 0, expected how many of a user's candidates"), "{text}");
    with("candidates = \"lists.tsv\"\nsampled = 30");
    assert!(here.error(&train).contains("evaluate.candidates: cannot read lists.tsv"));
    // Everything for the first fifty users; what they have met is passed over.
    let all: Vec<String> = (0..100).map(|item| format!("i{item}")).collect();
    let lists = |items: &[String]| {
        let line = |user: u32| format!("u{user}\t{}\n", items.join(" "));
        fs_err::write(here.path("lists.tsv"), (1..=50).map(line).collect::<String>()).unwrap();
    };
    lists(&all);
    let report = here.json(&train);
    let cell = &report["arms"][0]["test"][0];
    assert!(cell["metric"].as_str().unwrap().ends_with(" listed-30"), "{cell}");
    // Lists of other tools are of the same users.
    let run = "runs/small/most-popular/seed-1";
    fs_err::write(here.path("own.csv"), "user,item\nu1,i1\n").unwrap();
    let own = here.json(&["evaluate", run, "--runs", "own.csv", "--metric", "hr@10"]);
    assert_eq!(own["metrics"][0]["n-users"], 50);
    // Among fewer, and among all.
    let among = |more: &[&str]| {
        let found = here.json(&[&["evaluate", run, "--metric", "hr@10"], more].concat());
        (found["metrics"][0]["metric"].to_string(), found["metrics"][0]["n-users"].clone())
    };
    assert_eq!(among(&["--sampled", "9"]), ("\"HR@10 listed-9\"".to_owned(), 50.into()));
    assert_eq!(among(&["--sampled", "0"]), ("\"HR@10\"".to_owned(), 200.into()));
    // A run that has ended is not taken for one among other candidates.
    here.json(&train);
    lists(&all[..60]);
    let text = here.error(&train);
    assert!(text.contains("was made with other candidates than those in lists.tsv ("), "{text}");
}
