use std::path::{Path, PathBuf};

use tastemaker::Error;
use tastemaker::study::{self, Study};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn resolve(text: &str) -> Result<Study, Vec<String>> {
    study::parse("a.toml", text, &[]).map_err(|error| match error {
        Error::Study(problems) => problems.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    })
}

const SMALL: &str = r#"
[study]
name = "small"
seeds = [1, 2]
[dataset.demo]
[training]
epochs = 7
[[arm]]
name = "decoder"
[arm.recommender.language-model]
training = { learning-rate = 0.5 }
"#;

#[test]
fn every_study_in_the_repository_resolves_and_reads_back_as_itself() {
    let files = |folder: &str| fs_err::read_dir(workspace().join(folder)).unwrap();
    let mut n = 0;
    for entry in files("studies").chain(files("recipes")) {
        let path = entry.unwrap().path();
        let study = study::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        let text = study.to_toml().unwrap();
        assert_eq!(
            resolve(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")),
            study
        );
        n += 1;
    }
    assert!(n >= 12, "{n} studies");
}

#[test]
fn what_an_arm_does_not_say_the_study_says() {
    let text = resolve(SMALL).unwrap().to_toml().unwrap();
    assert!(text.contains("epochs = 7") && text.contains("learning-rate = 0.5"), "{text}");
    // What follows from the size is written out.
    assert!(text.contains("embedding-size = 64"), "{text}");
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = r#"
[study]
name = "wrong"
seeds = [1]
[dataset.dmeo]
[split.leave-last-out]
[[arm]]
name = "decoder"
[arm.recommender.language-model]
objective = { softmaxx = {} }
training = { epochs = "many" }
[evaluate]
metrics = [{ ndcg = { k = 10, kk = 3 } }, { ndgc = { k = 5 } }]
[evalute]
"#;
    let problems = resolve(text).unwrap_err();
    let has = |place: &str, what: &str| {
        assert!(
            problems.iter().any(|problem| problem.starts_with(place) && problem.contains(what)),
            "{place} {what} is not in {problems:#?}"
        );
    };
    has("a.toml:14:2", "did you mean \"evaluate\"?");
    has("a.toml:5:", "did you mean \"demo\"?");
    has("a.toml:10:", "did you mean \"softmax\"?");
    has("a.toml:11:", "invalid type: string \"many\"");
    has("a.toml:13:", "unknown field `kk`");
    has("a.toml:13:", "did you mean \"ndcg\"?");
    assert_eq!(problems.len(), 6, "{problems:#?}");
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_runs() {
    let text = r#"
[study]
name = "a/b"
seeds = [1, 1]
[dataset.demo]
[[arm]]
name = "encoder"
[arm.recommender.language-model]
backbone = { encoder = { embedding-size = 50 } }
objective = { softmax = {} }
training = { epochs = 0 }
"#;
    let problems = resolve(text).unwrap_err().join("\n");
    for expected in [
        "the study's name is \"a/b\"",
        "seeds are [1, 1]",
        "embedding-size is 50, expected a multiple of 8 times heads (16)",
        "epochs is 0, expected 1 or more",
        "the backbone of objective softmax is encoder, expected a causal backbone: decoder",
    ] {
        assert!(problems.contains(expected), "{expected} is not in {problems}");
    }
}

#[test]
fn overrides_are_checked_like_the_file_and_shown_where_they_stand() {
    let set = |line: &str| study::parse("a.toml", SMALL, &[line.to_owned()]);
    let study = set("arm.decoder.recommender.language-model.training.epochs=3").unwrap();
    assert!(study.to_toml().unwrap().contains("epochs = 3"));
    assert_eq!(set("study.name=other").unwrap().study.name, "other");
    assert_eq!(set("study.seeds=[4]").unwrap().study.seeds, [4]);
    let error = set("training.epohcs=3").unwrap_err().to_string();
    assert!(error.contains("--set:1:") && error.contains("did you mean \"epochs\"?"), "{error}");
    let error = set("arm.encoder.name=x").unwrap_err().to_string();
    assert!(error.contains("arm has no entry \"encoder\""), "{error}");
}

#[test]
fn a_caret_points_at_the_mistake() {
    let problems = resolve(&SMALL.replace("seeds = [1, 2]", "seeds = 7")).unwrap_err();
    assert_eq!(
        problems[0],
        "a.toml:4:9: invalid type: integer `7`, expected a sequence\n  4 | seeds = 7\n    |         ^"
    );
}

#[test]
fn an_arm_with_a_twin_is_two_and_inherits_its_pre_training() {
    let text = r#"
[study]
name = "twins"
seeds = [1]
[dataset.demo]
[training]
epochs = 7
[pretraining]
objective = { s3-rec = {} }
training = { batch-size = 32 }
[[arm]]
name = "tuned"
twin = true
[arm.recommender.language-model]
paradigm = { finetune-full = {} }
[[arm]]
name = "plain"
[arm.recommender.language-model]
"#;
    let study = resolve(text).unwrap();
    let names: Vec<&str> = study.arm.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["tuned", "tuned-twin", "plain"]);
    let written = study.to_toml().unwrap();
    assert_eq!(written.matches("skip = true").count(), 1, "{written}");
    // The pre-training has its own batch size and, as everything else, the study's epochs.
    assert_eq!(written.matches("batch-size = 32").count(), 2, "{written}");
    assert_eq!(written.matches("epochs = 7").count(), 5, "{written}");
    assert_eq!(resolve(&written).unwrap(), study);
    let problems = resolve(&text.replace("paradigm = { finetune-full = {} }", "")).unwrap_err();
    assert!(problems[0].contains("twin is true, expected pretraining"), "{problems:?}");
    let problems = resolve(&text.replace("twin = true", "twin = 1")).unwrap_err();
    assert!(problems[0].contains("twin is no boolean"), "{problems:?}");
}
