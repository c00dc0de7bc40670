use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tastemaker::core::prepare::Prepared;
use tastemaker::core::splits::SplitSets;
use tastemaker::recommenders::AnyRecommender;
use tastemaker::study::{self, Study};
use tastemaker::train::{Event, Observer, Training};
use tastemaker::{Error, StudyObserver};

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
        let file = fs_err::read_to_string(&path).unwrap();
        let studies = study::parse_all(&path.display().to_string(), &file, &[]);
        for study in studies.unwrap_or_else(|error| panic!("{error}")) {
            let text = study.to_toml().unwrap();
            assert_eq!(
                resolve(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")),
                study
            );
            n += 1;
        }
    }
    assert!(n >= 40, "{n} studies");
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
fn what_no_arm_could_take_over_is_refused_and_what_some_do_not_is_noted() {
    let before = "[pretraining]\nobjective = { s3-rec = {} }\n[[arm]]";
    let problems = resolve(&SMALL.replace("[[arm]]", before)).unwrap_err();
    assert_has(&problems, "a.toml:8:", "no arm adapts a pre-trained language model");
    let control = "recommender = { most-popular = {} }";
    let (shared, arm) = SMALL.split_once("[arm.").unwrap();
    let problems = resolve(&format!("{shared}{control}")).unwrap_err();
    assert_has(&problems, "a.toml:7:", "no arm is a language model");
    let own = arm.replace("training = {", "training = { epochs = 3,");
    let two = format!("{SMALL}[[arm]]\nname = \"other\"\n[arm.{own}");
    assert_eq!(resolve(&two).unwrap().notes, Vec::<String>::new());
    let notes = study::parse("a.toml", &two, &["training.epochs=5".to_owned()]).unwrap().notes;
    assert_eq!(notes, ["--set training.epochs=5 has no effect on arms that say their own: other"]);
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

    // One in shards has a twin as well, whose space is its own.
    let sharded = text.replacen(
        "[arm.recommender.language-model]",
        "space.\"recommender.language-model.pretraining.training.epochs\" = { whole = [1, 3] }\n\
         recommender.sharded.shards = 2\n[arm.recommender.sharded.recommender.language-model]",
        1,
    );
    let study = resolve(&format!("{sharded}[search]\n")).unwrap();
    let names: Vec<&str> = study.arm.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["tuned", "tuned-twin", "plain"]);
    assert_eq!(study.to_toml().unwrap().matches("skip = true").count(), 1);
    assert_eq!((study.arm[0].space.len(), study.arm[1].space.len()), (1, 0));
}

/// Whether one of the problems begins with `place` and contains `what`.
fn assert_has(problems: &[String], place: &str, what: &str) {
    let is = |problem: &String| problem.starts_with(place) && problem.contains(what);
    assert!(problems.iter().any(is), "{place} {what} is not in {problems:#?}");
}

#[test]
fn what_does_not_fit_together_is_shown_at_its_setting() {
    let text = r#"
[study]
name = "places"
seeds = [1, 1]
[dataset.demo]
[training]
epochs = 0
[pretraining]
objective = { s3-rec = {} }
[[arm]]
name = "encoder"
[arm.recommender.language-model]
backbone = { encoder = { heads = 3 } }
objective = { masked-items = { probability = 7.0 } }
[[arm]]
name = "free"
twin = true
[arm.recommender.language-model]
objective = { softmax = {} }
few-shot = { users = 3 }
paradigm = { prompt-free = {} }
[[arm]]
name = "partial"
[arm.recommender.language-model]
backbone = { encoder = {} }
paradigm = { finetune-partial = { learns = [{ top-layers = 9 }] } }
auxiliary = [{ objective = { bce = {} }, schedule = { weight = 0.0 } }]
[arm.recommender.language-model.training]
epochs = 3
learning-rate = -1.0
[[arm]]
name = "knn"
recommender = { item-knn = { neighbours = 0 } }
[[arm]]
name = "knn"
recommender = { item-knn = {} }
"#;
    let problems = resolve(text).unwrap_err();
    for (place, what) in [
        ("a.toml:4:1:", "seeds are [1, 1]"),
        ("a.toml:7:1:", "arm \"encoder\": epochs is 0"),
        ("a.toml:13:1:", "embedding-size is 64"),
        ("a.toml:14:32:", "probability is 7"),
        ("a.toml:9:1:", "arm \"free\": paradigm prompt-free is without pre-training that"),
        ("a.toml:20:1:", "arm \"free\": few-shot is set"),
        ("a.toml:17:1:", "arm \"free\": twin is true, expected false: of paradigm prompt-free"),
        ("a.toml:25:1:", "the backbone of objective softmax is encoder"),
        ("a.toml:26:47:", "top-layers is 9"),
        ("a.toml:27:55:", "weight is 0"),
        ("a.toml:30:1:", "arm \"partial\": learning-rate is -1"),
        ("a.toml:33:30:", "neighbours is 0"),
        ("a.toml:35:1:", "two arms are called \"knn\""),
    ] {
        assert_has(&problems, place, what);
    }
}

#[test]
fn a_part_that_cannot_be_read_hides_no_other_mistake() {
    let text = r#"
[study]
name = "parts"
seeds = [1]
[dataset.demo]
[backbone]
decoder = { heeds = 3 }
[[arm]]
name = "decoder"
[arm.recommender.language-model]
objective = { softmaxx = {} }
backbone = { decoder = { heads = 3 } }
scoring = "f32"
auxiliary = [{ objective = { bcee = {} } }]
pretraining = { objective = { s4-rec = {} }, training = { batch-size = 0 } }
few-shot = { people = 3 }
[[arm]]
name = "other"
[arm.recommender.language-model]
few-shot = { users = 0 }
[[arm]]
name = "third"
[arm.recommender.language-model]
scorin = "int8"
[[arm]]
name = "fourth"
[arm.recommender.sharded]
shards = 0
[arm.recommender.sharded.recommender.language-model]
objective = { masked-itemss = {} }
backbone = { encoder = {} }
few-shot = { users = 0 }
"#;
    let problems = resolve(text).unwrap_err();
    for (place, what) in [
        ("a.toml:7:13:", "did you mean \"heads\"?"),
        ("a.toml:11:15:", "did you mean \"softmax\"?"),
        ("a.toml:12:1:", "embedding-size is 64, expected a multiple of 8 times heads"),
        ("a.toml:14:30:", "did you mean \"bce\"?"),
        ("a.toml:15:31:", "did you mean \"s3-rec\"?"),
        ("a.toml:16:14:", "unknown variant `people`"),
        ("a.toml:15:59:", "arm \"decoder\": batch-size is 0"),
        ("a.toml:20:1:", "arm \"other\": few-shot is 0 users"),
        ("a.toml:24:1:", "did you mean \"scoring\"?"),
        ("a.toml:28:1:", "arm \"fourth\": shards is 0"),
        ("a.toml:30:15:", "did you mean \"masked-items\"?"),
        ("a.toml:32:1:", "arm \"fourth\": few-shot is 0 users"),
    ] {
        assert_has(&problems, place, what);
    }
    // What two arms inherit is one mistake; that an encoder learns no softmax is none.
    assert_eq!(problems.len(), 12, "{problems:#?}");
}

#[test]
fn a_name_without_its_settings_is_refused_with_an_example() {
    let with = |line: &str| resolve(&format!("{SMALL}{line}\n")).unwrap_err().join("\n");
    for (line, expected) in [
        ("paradigm = \"finetune-full\"", "for example { finetune-full = {} }"),
        ("objective = \"softmx\"", "found the string \"softmx\""),
        ("objective = \"softmx\"", "for example { softmax = {} }"),
        ("backbone = 3", "invalid type: integer `3`, expected a name with its settings"),
        ("backbone = {}", "found {}, expected a name with its settings, for example { decoder"),
        ("objective = { softmax = {}, bce = {} }", "found the second name \"bce\""),
        ("paradigm = { finetune-extra = { insert = [\"lora\"] } }", "for example { lora = {} }"),
    ] {
        let problems = with(line);
        assert!(problems.starts_with("a.toml:12:"), "{line}: {problems}");
        assert!(problems.contains(expected), "{line}: {expected} is not in {problems}");
    }
    let other = SMALL.replace("[dataset.demo]", "dataset = \"demo\"\nsplit = \"leave-last-out\"");
    let problems =
        resolve(&other.replace("[study]", "study = 3").replace("name", "#")).unwrap_err();
    assert!(problems.iter().any(|p| p.contains("for example { demo = {} }")), "{problems:?}");
    assert!(problems.iter().any(|p| p.contains("{ leave-last-out = {} }")), "{problems:?}");
}

#[test]
fn what_the_data_lacks_is_reported_at_once_with_its_place_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.txt");
    let lines = (1..20).map(|user| format!("{user} {user} 20 21 22 {}\n", user + 1));
    fs_err::write(&path, lines.collect::<String>()).unwrap();
    let text = format!(
        r#"
[study]
name = "lacks"
seeds = [1]
[dataset.sequence-lines]
path = {path:?}
[[arm]]
name = "times"
[arm.recommender.language-model]
backbone = {{ decoder = {{ views = ["gap"] }} }}
[[arm]]
name = "values"
[arm.recommender.language-model]
backbone = {{ decoder = {{ views = ["return"] }} }}
objective = {{ return-conditioned = {{}} }}
[[arm]]
name = "attributes"
twin = true
[arm.recommender.language-model]
paradigm = {{ finetune-full = {{}} }}
pretraining = {{ objective = {{ s3-rec = {{}} }} }}
few-shot = {{ users = 1000 }}
[[arm]]
name = "elsewhere"
[arm.recommender.language-model]
paradigm = {{ finetune-full = {{}} }}
[arm.recommender.language-model.pretraining.elsewhere]
dataset = {{ sequence-lines = {{ path = "nowhere.txt" }} }}
[[arm]]
name = "other"
[arm.recommender.language-model]
paradigm = {{ finetune-full = {{}} }}
[arm.recommender.language-model.pretraining]
objective = {{ s3-rec = {{}} }}
elsewhere = {{ dataset = {{ sequence-lines = {{ path = {path:?} }} }} }}
[[arm]]
name = "texts"
recommender = {{ bm25 = {{}} }}
[[arm]]
name = "large"
recommender = {{ ease = {{ max-items = 3 }} }}
"#
    );
    let study = resolve(&text).unwrap();
    let problems = match tastemaker::check(&study) {
        Err(Error::Study(problems)) => problems,
        other => panic!("{other:?}"),
    };
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for (place, what) in [
        (
            "a.toml:10:26:",
            "arm \"times\": language-model cannot be used here: the backbone has views",
        ),
        ("a.toml:15:1:", "arm \"values\": language-model cannot be used here: objective return-"),
        ("a.toml:21:17:", "arm \"attributes\": language-model cannot be used here: objective s3"),
        ("a.toml:22:1:", "arm \"attributes\": few-shot is 1000 users, expected at most 19"),
        ("a.toml:22:1:", "arm \"attributes-twin\": few-shot is 1000 users, expected at most 19"),
        ("a.toml:27:45:", "nowhere.txt"),
        ("a.toml:34:1:", "arm \"other\": language-model cannot be used here: objective s3-rec"),
        ("a.toml:38:17:", "arm \"texts\": bm25 cannot be used here"),
        ("a.toml:41:26:", "arm \"large\": ease cannot be used here"),
    ] {
        assert_has(&problems, place, what);
    }
    assert_eq!(problems.len(), 9, "{problems:#?}");
}

/// Counts epochs.
#[derive(Default)]
struct Epochs(AtomicUsize);

impl Observer for Epochs {
    fn observe(&self, event: &Event) {
        if let Event::Epoch { .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl StudyObserver for Epochs {
    fn data(&self, _: &Prepared, _: &SplitSets) {}

    fn run(&self, _: &str, _: u64, _: &Path, _: bool) {}
}

#[test]
fn regimes_that_learn_the_same_learn_it_once() {
    let text = r#"
[study]
name = "regimes"
seeds = [1]
[dataset.synthetic]
users = 60
items = 100
[training]
epochs = 2
[[arm]]
name = "decoder"
[arm.recommender.language-model]
backbone = { decoder = { embedding-size = 16, max-length = 8 } }
[regime.full]
[regime.noise]
evaluate = { noise = 0.5 }
[regime.shorter]
training = { epochs = 1 }
"#;
    let out = tempfile::tempdir().unwrap();
    let studies = study::parse_all("a.toml", text, &[]).unwrap();
    let folder = |regime: &str| out.path().join("regimes").join(regime).join("decoder/seed-1");
    let learnt = |study: &Study| {
        let epochs = Epochs::default();
        tastemaker::train(study, out.path(), &epochs).unwrap();
        epochs.0.into_inner()
    };
    assert_eq!(studies.iter().map(learnt).collect::<Vec<_>>(), [2, 0, 1]);
    let same = |name: &str| {
        let of = |regime: &str| fs_err::read(folder(regime).join(name)).unwrap();
        of("full") == of("noise")
    };
    assert!(same("model.safetensors") && same("events.jsonl"));
    assert!(!same("metrics.json"));
    // As if nothing had been there.
    let alone = tempfile::tempdir().unwrap();
    tastemaker::train(&studies[1], alone.path(), &Epochs::default()).unwrap();
    let own = alone.path().join("regimes/noise/decoder/seed-1");
    for name in ["model.safetensors", "events.jsonl", "metrics.json"] {
        let read = |path: &Path| fs_err::read(path.join(name)).unwrap();
        assert_eq!(read(&own), read(&folder("noise")), "{name}");
    }
}

#[test]
fn a_regime_is_the_study_with_what_it_says() {
    let text = r#"
[study]
name = "regimes"
seeds = [1, 2]
[dataset.demo]
[split.leave-last-out]
[training]
epochs = 7
batch-size = 32
[pretraining]
[evaluate]
metrics = [{ ndcg = { k = 10 } }]
[[arm]]
name = "lora"
[arm.recommender.language-model]
paradigm = { finetune-extra = { insert = [{ lora = {} }] } }
[regime.full]
[regime.few-shot]
few-shot = { share = 0.1 }
training = { epochs = 3 }
[regime.cold-users]
split = { user-holdout = { test = 0.2 } }
evaluate = { noise = 0.5 }
"#;
    let of = |overrides: &[String]| study::parse_all("a.toml", text, overrides).unwrap();
    let [full, few, cold] = &of(&[])[..] else { panic!("three regimes") };
    let names = [full, few, cold].map(|study| study.study.regime.as_deref().unwrap());
    assert_eq!(names, ["full", "few-shot", "cold-users"]);
    let written = |study: &Study| study.to_toml().unwrap();
    assert!(written(full).contains("epochs = 7") && !written(full).contains("few-shot"));
    assert!(written(few).contains("epochs = 3") && written(few).contains("share = 0.1"));
    assert!(written(few).contains("batch-size = 32"));
    assert!(written(cold).contains("test = 0.2") && !written(cold).contains("leave-last-out"));
    assert_eq!((cold.evaluate.noise, cold.evaluate.metrics.len()), (0.5, 1));
    // The command line has the last word, and can speak of one of them.
    let set = ["training.epochs=1", "regime.few-shot.training.batch-size=8"].map(str::to_owned);
    let [full, few, _] = &of(&set)[..] else { panic!("three regimes") };
    assert!(written(full).contains("epochs = 1") && written(full).contains("batch-size = 32"));
    assert!(written(few).contains("epochs = 1") && written(few).contains("batch-size = 8"));
    // Each reads back as itself.
    for study in of(&[]) {
        assert_eq!(study::parse("b.toml", &written(&study), &[]).unwrap(), study);
    }
    let error = study::parse("a.toml", text, &[]).unwrap_err().to_string();
    assert!(error.contains("has several regimes"), "{error}");
    let wrong = text.replace("share = 0.1", "shares = 0.1");
    let error = study::parse_all("a.toml", &wrong, &[]).unwrap_err().to_string();
    assert!(error.contains("a.toml:19:"), "{error}");
}

#[test]
fn those_that_learn_from_few_learn_otherwise_and_what_comes_before_does_not() {
    let text = r#"
[study]
name = "few"
seeds = [1]
[dataset.demo]
[split.leave-last-out]
[training]
epochs = 7
batch-size = 32
patience = 3
[pretraining]
[few-shot]
users = 5
[few-shot-training]
batch-size = 2
patience = 20
[evaluate]
metrics = [{ ndcg = { k = 10 } }]
[[arm]]
name = "plain"
[arm.recommender.language-model]
[[arm]]
name = "lora"
twin = true
[arm.recommender.language-model]
paradigm = { finetune-extra = { insert = [{ lora = {} }] } }
training = { patience = 9 }
"#;
    let study = study::parse("a.toml", text, &[]).unwrap();
    let training = |arm: usize| match &study.arm[arm].recommender {
        AnyRecommender::LanguageModel(model) => {
            let of =
                |training: &Training| [training.epochs, training.batch_size, training.patience];
            let before = model.pretraining.as_ref().and_then(|before| before.training.as_ref());
            (of(&model.training), before.map(of))
        }
        _ => panic!("a language model"),
    };
    assert_eq!(training(0), ([7, 32, 3], None));
    // What the arm says itself stands.
    assert_eq!(training(1), ([7, 2, 9], Some([7, 32, 9])));
    assert_eq!(training(2), training(1));
    let problem = |from: &str, to: &str| {
        study::parse("a.toml", &text.replace(from, to), &[]).unwrap_err().to_string()
    };
    let alone = problem("[few-shot]\nusers = 5\n", "");
    assert!(alone.contains("a.toml:14:1: few-shot-training.patience has no effect"), "{alone}");
    let wrong = problem("[few-shot-training]\n", "[[few-shot-training]]\n");
    assert!(wrong.contains("few-shot-training is no table"), "{wrong}");
    let set = ["training.epochs=3", "training.batch-size=4"].map(str::to_owned);
    let set = study::parse("a.toml", text, &set).unwrap();
    assert!(set.notes.is_empty(), "{:?}", set.notes);
    let wrong = problem("batch-size = 2\n", "batch-sise = 2\n");
    assert!(wrong.contains("batch-sise") && wrong.contains("a.toml:15:"), "{wrong}");
}
