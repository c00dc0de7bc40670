use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::people::{UserAttribute, UserAttributes};
use tastemaker::core::prepare::PrepareOptions;
use tastemaker::core::sources::{AnySource, SequenceLines};
use tastemaker::core::splits::{AnySplit, LeaveLastOut, Split, SplitSets};
use tastemaker::core::{
    Dataset, Interactions, ItemId, RankOptions, RankedList, RecQuery, Recommender, SeedTree,
    TieOrder, UserId, Vocabulary,
};
use tastemaker::nn::adapters::{
    AnyAdapter, Bottleneck, Lora, PersonalPrompt, Place, Prefix, Projection, SoftPrompt,
    SpecialTokens,
};
use tastemaker::nn::backbones::{AnyBackbone, Decoder, Encoder, EncoderDecoder, Hstu};
use tastemaker::nn::checkpoint::Checkpoint;
use tastemaker::nn::transformer::Transformer;
use tastemaker::objectives::{AnyObjective, Gbce, MaskedItems, Softmax};
use tastemaker::paradigms::{
    AnyParadigm, FinetuneExtra, FinetuneFull, FinetunePartial, FixedPromptTuning, ItemPrompt,
    Learns, Pretrain, Prompt, PromptAndModelTuning, PromptFree, PromptTuning,
};
use tastemaker::recommenders::{
    ADAPTERS_FILE, Auxiliary, Elsewhere, FewShot, FitContext, FitRecommender, ItemFeatures,
    LanguageModel, MODEL_FILE, Others, Pretraining,
};
use tastemaker::train::{Cost, Event, Meter, Observer, Schedule, Silent, StageCost, Training};

use crate::text::context;

/// Every paradigm, with each thing that can be put in.
fn paradigms() -> Vec<AnyParadigm> {
    let partial = |learns| AnyParadigm::FinetunePartial(FinetunePartial { learns });
    let extra =
        |insert, embeddings| AnyParadigm::FinetuneExtra(FinetuneExtra { insert, embeddings });
    let both = |prompt: AnyAdapter, staged| {
        let prompt = prompt.into();
        AnyParadigm::PromptAndModelTuning(PromptAndModelTuning { prompt, staged })
    };
    let prefix = || AnyAdapter::Prefix(Prefix { tokens: 2, inner_size: 16 });
    let soft =
        || AnyAdapter::SoftPrompt(SoftPrompt { tokens: 3, inner_size: 0, place: Place::Before });
    let head = || AnyAdapter::Projection(Projection { size: 8 });
    vec![
        AnyParadigm::Pretrain(Pretrain::default()),
        AnyParadigm::FinetuneFull(FinetuneFull::default()),
        AnyParadigm::FinetuneFull(FinetuneFull { insert: vec![head()] }),
        partial(vec![Learns::TopLayers(1)]),
        partial(vec![Learns::Norms, Learns::Biases]),
        partial(vec![Learns::Embeddings]),
        partial(vec![Learns::Named("block.*.attention.*".to_owned())]),
        extra(vec![AnyAdapter::Lora(Lora { rank: 2, ..Lora::default() })], false),
        extra(vec![AnyAdapter::Bottleneck(Bottleneck { size: 4 }), head()], false),
        extra(vec![AnyAdapter::Bottleneck(Bottleneck { size: 4 })], true),
        AnyParadigm::PromptFree(PromptFree { prompt: ItemPrompt { last: 0, repeat: 1 } }),
        AnyParadigm::PromptTuning(PromptTuning { prompt: soft().into() }),
        AnyParadigm::PromptTuning(PromptTuning { prompt: prefix().into() }),
        AnyParadigm::FixedPromptTuning(FixedPromptTuning::default()),
        both(soft(), true),
        both(prefix(), false),
        AnyParadigm::PromptTuning(PromptTuning { prompt: soft_after().into() }),
        AnyParadigm::PromptTuning(PromptTuning { prompt: hybrid() }),
        AnyParadigm::PromptTuning(PromptTuning { prompt: personal(&["age", "gender"]).into() }),
        AnyParadigm::FixedPromptTuning(FixedPromptTuning { prompt: around() }),
        AnyParadigm::PromptAndModelTuning(PromptAndModelTuning { prompt: hybrid(), staged: true }),
        both(personal(&["gender"]), false),
    ]
}

pub(super) fn soft_after() -> AnyAdapter {
    AnyAdapter::SoftPrompt(SoftPrompt { tokens: 2, inner_size: 0, place: Place::After })
}

pub(super) fn personal(attributes: &[&str]) -> AnyAdapter {
    let attributes = attributes.iter().map(|name| (*name).to_owned()).collect();
    AnyAdapter::PersonalPrompt(PersonalPrompt { attributes, tokens: 2, inner_size: 8 })
}

/// Named tokens before and after the history.
pub(super) fn around() -> Prompt {
    let tokens =
        |place| AnyAdapter::SpecialTokens(SpecialTokens { place, ..SpecialTokens::default() });
    Prompt { pieces: vec![tokens(Place::Before), tokens(Place::After)] }
}

/// Hard and soft prompts, before and after the history.
pub(super) fn hybrid() -> Prompt {
    let soft = SoftPrompt { tokens: 3, inner_size: 0, place: Place::Before };
    let mut pieces = around().pieces;
    pieces.splice(1..1, [AnyAdapter::SoftPrompt(soft), soft_after()]);
    Prompt { pieces }
}

pub(super) fn data() -> (Dataset, SplitSets) {
    let item = |user: u32, i: u32| ItemId((user * 5 + i * (1 + user % 3)) % 30);
    let (mut offsets, mut items, mut times) = (vec![0], vec![], vec![]);
    for user in 0..48 {
        for i in 0..9 + user % 4 {
            items.push(item(user, i));
            times.push(f64::from(i * i) * 1000.0);
        }
        offsets.push(items.len());
    }
    let column = |name: &str, column| UserAttribute {
        attribute: Attribute { name: name.to_owned(), column },
        sensitive: true,
    };
    // Of every seventh user no gender is known.
    let gender = |u: u32| if u.is_multiple_of(7) { vec![] } else { vec![format!("g{}", u % 2)] };
    let people = UserAttributes::new(vec![
        column("age", Column::Number((0..48).map(|u| Some(f64::from(20 + u % 20))).collect())),
        column("gender", Column::Categories((0..48).map(gender).collect())),
        column("motto", Column::Text(vec![Some("more".to_owned()); 48])),
    ]);
    let data = Dataset {
        name: "rounds".to_owned(),
        people,
        hash: "rounds".to_owned(),
        users: (0..48).map(|u| u.to_string()).collect::<Vocabulary>(),
        items: (0..30).map(|i| i.to_string()).collect::<Vocabulary>(),
        interactions: Interactions::from_columns(offsets, items, Some(times), None),
        catalog: Catalog::new(vec![Attribute { name: "kinds".to_owned(), column: kinds() }], None),
        ..Dataset::default()
    };
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    (data, split)
}

fn kinds() -> Column {
    Column::Categories((0..30).map(|item| vec![format!("kind {}", item % 7)]).collect())
}

/// On an encoder if it sees both sides, else on a decoder.
pub(super) fn model(paradigm: AnyParadigm, both_sides: bool) -> LanguageModel {
    model_on(if both_sides { "encoder" } else { "decoder" }, paradigm)
}

const BACKBONES: [&str; 4] = ["decoder", "encoder", "encoder-decoder", "hstu"];

fn model_on(backbone: &str, paradigm: AnyParadigm) -> LanguageModel {
    if backbone == "hstu" {
        return hstu(paradigm);
    }
    let both_sides = backbone == "encoder";
    let (embedding_size, max_length, dropout) = (Some(16), Some(9), Some(0.1));
    let (backbone, objective) = if both_sides {
        let encoder = Encoder { embedding_size, max_length, dropout, ..Encoder::default() };
        (AnyBackbone::Encoder(encoder), AnyObjective::MaskedItems(MaskedItems::default()))
    } else if backbone == "encoder-decoder" {
        let both =
            EncoderDecoder { embedding_size, max_length, dropout, ..EncoderDecoder::default() };
        (AnyBackbone::EncoderDecoder(both), AnyObjective::Softmax(Softmax::default()))
    } else {
        let decoder = Decoder { embedding_size, max_length, dropout, ..Decoder::default() };
        (AnyBackbone::Decoder(decoder), AnyObjective::Softmax(Softmax::default()))
    };
    let training = Training { epochs: 2, batch_size: 16, patience: 9, ..Training::default() };
    let first = if both_sides {
        AnyObjective::MaskedItems(MaskedItems { probability: 0.5, last_only: 0.0 })
    } else {
        AnyObjective::Gbce(Gbce { negatives: 4, calibration: 0.75 })
    };
    let pretraining = match &paradigm {
        AnyParadigm::Pretrain(_) => None,
        _ => Some(Pretraining { objective: Some(first), ..Pretraining::default() }),
    };
    LanguageModel { backbone, objective, training, paradigm, pretraining, ..Default::default() }
}

/// The paradigm on an HSTU that looks at intervals.
pub(super) fn hstu(paradigm: AnyParadigm) -> LanguageModel {
    let (embedding_size, max_length, dropout) = (Some(16), Some(9), Some(0.1));
    let intervals = true;
    let hstu = Hstu { embedding_size, max_length, dropout, intervals, ..Hstu::default() };
    LanguageModel { backbone: AnyBackbone::Hstu(hstu), ..model(paradigm, false) }
}

fn fit(model: &LanguageModel, folder: &Path, observer: &dyn Observer) -> Box<dyn Recommender> {
    let (data, split) = data();
    let (run, pretrained) = (folder.join("run"), folder.join("pretrained"));
    let others = Others::default();
    let context = context((&data, &split, &others), SeedTree::new(3), Some(&pretrained));
    let context = FitContext { checkpoints: Some(&run), observer, ..context };
    fs_err::create_dir_all(folder.join("run")).unwrap();
    model.fit(&context).unwrap()
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn tensors(path: &Path) -> Tensors {
    Checkpoint::<serde_json::Value>::read(path).unwrap().tensors
}

fn pretrained(folder: &Path) -> Tensors {
    let inside: Vec<_> = fs_err::read_dir(folder.join("pretrained")).unwrap().collect();
    assert_eq!(inside.len(), 1);
    tensors(&inside[0].as_ref().unwrap().path().join(MODEL_FILE))
}

#[test]
fn what_a_paradigm_freezes_keeps_its_bytes_and_what_it_trains_moves() {
    // Items may be known by features as well, or by nothing else.
    let features = |own| Some(ItemFeatures { own, ..ItemFeatures::default() });
    let plain = BACKBONES.map(|backbone| (backbone, None));
    let with = [("decoder", features(true)), ("encoder", features(false))];
    for (backbone, features) in plain.into_iter().chain(with) {
        for paradigm in paradigms() {
            let what = format!("{paradigm:?}, {backbone}, {features:?}");
            let mut model = model_on(backbone, paradigm);
            model.features.clone_from(&features);
            let (plan, shape) = (model.plan().unwrap(), model.backbone.as_dyn().shape().unwrap());
            if !plan.is_pretrained() {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            fit(&model, folder.path(), &Silent);
            let (before, run) = (pretrained(folder.path()), folder.path().join("run"));
            let after = tensors(&run.join(MODEL_FILE));
            assert!(before.keys().eq(after.keys()), "{what}");
            let last = &plan.stages[1..];
            for (name, before) in &before {
                let learns = last.iter().any(|stage| stage.lets_learn(shape, name));
                assert_eq!(before != &after[name], learns, "{what}: {name}");
            }
            let inserted = plan.inserted().count() > 0;
            assert_eq!(run.join(ADAPTERS_FILE).exists(), inserted, "{what}");
        }
    }
}

#[test]
fn every_plan_is_the_one_that_was_agreed() {
    let plans: Vec<String> = paradigms()
        .into_iter()
        .map(|paradigm| {
            let model = model(paradigm, false);
            let plan = serde_json::to_string_pretty(&model.plan().unwrap()).unwrap();
            format!("{}\n{plan}", serde_json::to_string(&model.paradigm).unwrap())
        })
        .collect();
    insta::assert_snapshot!(plans.join("\n\n"));
}

/// Dies when this many steps have been taken, over all stages.
pub(crate) struct Dies(pub(crate) std::sync::atomic::AtomicUsize);

impl Observer for Dies {
    fn observe(&self, event: &Event) {
        if let Event::Step { .. } = event {
            let left = self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            assert!(left > 0, "killed on purpose");
        }
    }
}

#[test]
fn stages_that_were_interrupted_end_in_the_same_bytes() {
    let staged = PromptAndModelTuning { prompt: hybrid(), staged: true };
    let model = model(AnyParadigm::PromptAndModelTuning(staged), false);
    let whole = tempfile::tempdir().unwrap();
    fit(&model, whole.path(), &Silent);
    // Six steps a stage: in pre-training, in the prompt's stage, in the one after it.
    for steps in [4, 10, 16] {
        let broken = tempfile::tempdir().unwrap();
        let dies = Dies(steps.into());
        let killed = AssertUnwindSafe(|| fit(&model, broken.path(), &dies));
        assert!(catch_unwind(killed).is_err());
        fit(&model, broken.path(), &Silent);
        for file in [MODEL_FILE, ADAPTERS_FILE] {
            let bytes = |folder: &Path| fs_err::read(folder.join("run").join(file)).unwrap();
            assert!(bytes(whole.path()) == bytes(broken.path()), "{file} after {steps} steps");
        }
        let files = fs_err::read_dir(broken.path().join("run")).unwrap().count();
        assert_eq!(files, 2, "checkpoints are left");
        // A run that has ended is read, adapters and all.
        fit(&model, broken.path(), &Dies(0.into()));
    }
}

/// A clock that goes on by a second a step, and dies like [`Dies`].
struct Clock {
    dies: Dies,
    seconds: std::sync::atomic::AtomicU32,
}

impl Clock {
    fn new(steps: usize) -> Self {
        Self { dies: Dies(steps.into()), seconds: 0.into() }
    }
}

impl Observer for Clock {
    fn observe(&self, event: &Event) {
        self.dies.observe(event);
        if let Event::Step { .. } = event {
            self.seconds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn meter(&self) -> Option<&dyn Meter> {
        Some(self)
    }
}

impl Meter for Clock {
    fn reset(&self) {
        self.seconds.store(0, std::sync::atomic::Ordering::Relaxed);
    }

    fn read(&self) -> Cost {
        let told = self.seconds.load(std::sync::atomic::Ordering::Relaxed);
        let (seconds, operations) = (told.into(), 7 * u64::from(told));
        Cost { seconds, cpu_seconds: 2.0 * seconds, peak_memory: 5, start_memory: 3, operations }
    }
}

#[test]
fn the_costs_of_stages_that_were_interrupted_add_up() {
    let soft = AnyAdapter::SoftPrompt(SoftPrompt::default());
    let staged = PromptAndModelTuning { prompt: soft.into(), staged: true };
    let model = model(AnyParadigm::PromptAndModelTuning(staged), false);
    let costs = |folder: &Path| -> Vec<StageCost> {
        let text = fs_err::read_to_string(folder.join("run/costs.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    // Three steps an epoch, two epochs a stage.
    let (seconds, operations) = (6.0, 42);
    let cost = Cost { seconds, cpu_seconds: 12.0, peak_memory: 5, start_memory: 3, operations };
    for steps in [usize::MAX, 4, 10, 16] {
        let folder = tempfile::tempdir().unwrap();
        let killed = AssertUnwindSafe(|| fit(&model, folder.path(), &Clock::new(steps)));
        assert_eq!(catch_unwind(killed).is_err(), steps < 18);
        if steps < 18 {
            fit(&model, folder.path(), &Clock::new(usize::MAX));
        }
        let costs = costs(folder.path());
        assert_eq!(costs.len(), 3);
        for stage in costs {
            assert_eq!((stage.epochs, stage.cost), (Some(2), cost), "{} of {steps}", stage.stage);
        }
        let files = fs_err::read_dir(folder.path().join("run")).unwrap().count();
        assert_eq!(files, 3, "checkpoints are left");
    }
}

/// Counts steps and names stages.
#[derive(Default)]
struct Counts(std::sync::Mutex<(Vec<String>, usize)>);

impl Observer for Counts {
    fn observe(&self, event: &Event) {
        let mut counts = self.0.lock().unwrap();
        match event {
            Event::Stage { stage } => counts.0.push(stage.clone()),
            Event::Step { .. } => counts.1 += 1,
            _ => {}
        }
    }
}

#[test]
fn runs_with_the_same_pre_training_share_it_and_a_twin_leaves_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let of = |paradigm, skip| {
        let mut model = model(paradigm, false);
        model.pretraining.as_mut().unwrap().skip = skip;
        let counts = Counts::default();
        let _ = fs_err::remove_dir_all(folder.path().join("run"));
        fit(&model, folder.path(), &counts);
        counts.0.into_inner().unwrap()
    };
    let full = || AnyParadigm::FinetuneFull(FinetuneFull::default());
    let both = vec!["pretraining".to_owned(), "train".to_owned()];
    assert_eq!(of(full(), false), (both.clone(), 12));
    assert_eq!(of(AnyParadigm::PromptTuning(PromptTuning::default()), false), (both, 6));
    assert_eq!(of(full(), true), (vec!["train".to_owned()], 6));
}

#[test]
fn few_shots_learn_from_few() {
    let steps = |few_shot| {
        let mut model = model(AnyParadigm::FinetuneFull(FinetuneFull::default()), false);
        model.pretraining.as_mut().unwrap().skip = true;
        model.training.batch_size = 1;
        model.training.epochs = 1;
        model.few_shot = Some(few_shot);
        let (folder, counts) = (tempfile::tempdir().unwrap(), Counts::default());
        fit(&model, folder.path(), &counts);
        counts.0.into_inner().unwrap().1
    };
    // A window a user and step: every training part is shorter than the longest window.
    assert_eq!(steps(FewShot::Users(5)), 5);
    assert_eq!(steps(FewShot::Share(0.5)), 24);
    assert_eq!(steps(FewShot::Share(1.0)), 48);
    assert!((2..=3).contains(&steps(FewShot::Interactions(20))));
}

#[test]
fn named_tokens_keep_their_vectors_beside_soft_prompts_that_learn() {
    let seeds = SeedTree::new(3).child("weights");
    let full = FinetuneFull { insert: hybrid().pieces };
    for paradigm in [
        AnyParadigm::PromptTuning(PromptTuning { prompt: hybrid() }),
        AnyParadigm::PromptAndModelTuning(PromptAndModelTuning { prompt: hybrid(), staged: true }),
        AnyParadigm::FinetuneFull(full),
    ] {
        let model = model(paradigm, false);
        let mut fresh = Transformer::new(&model.backbone, 32, &seeds).unwrap();
        hybrid().pieces.iter().for_each(|piece| fresh.insert(piece, &seeds).unwrap());
        let folder = tempfile::tempdir().unwrap();
        fit(&model, folder.path(), &Silent);
        let after = tensors(&folder.path().join("run").join(ADAPTERS_FILE));
        assert_eq!(after.len(), 4);
        for (name, (_, after)) in &after {
            let stays = name.contains("special-tokens");
            assert_eq!(after == &fresh.parameters().values(name).unwrap(), stays, "{name}");
        }
    }
}

fn lists(recommender: &dyn Recommender, queries: &[RecQuery<'_>]) -> Vec<RankedList> {
    let ties = TieOrder::new(30, &SeedTree::new(1));
    let options = RankOptions { n: 10, allow_seen: true, ties: &ties };
    recommender.recommend(queries, &options).unwrap()
}

#[test]
fn a_personal_prompt_recommends_by_what_is_known_of_the_user_and_nothing_else() {
    let (data, _) = data();
    let history = data.interactions.sequence(UserId(4));
    let query = |user: Option<u32>| RecQuery { user: user.map(UserId), history, candidates: None };
    // Users 2 and 4 have the gender that 1 has not; of 7 and 14 none is known.
    let queries = [Some(1), Some(2), Some(4), Some(7), Some(14), None, Some(99)].map(query);
    // Our HSTU is told times of known users as well.
    for backbone in BACKBONES.into_iter().filter(|backbone| *backbone != "hstu") {
        let prompt = personal(&["gender"]).into();
        let paradigm = AnyParadigm::PromptTuning(PromptTuning { prompt });
        let mut model = model_on(backbone, paradigm);
        model.training.learning_rate = 0.05;
        let folder = tempfile::tempdir().unwrap();
        let trained = lists(&*fit(&model, folder.path(), &Silent), &queries);
        assert!(trained[0] != trained[1] && trained[1] == trained[2]);
        let unknown = &trained[3];
        assert!(unknown != &trained[0] && unknown != &trained[1]);
        assert!(trained[4..].iter().all(|list| list == unknown));
        // Saved and read back it answers the same; nothing is learnt again.
        assert!(lists(&*fit(&model, folder.path(), &Dies(0.into())), &queries) == trained);
    }
}

#[test]
fn who_is_learnt_with_the_other_gender_too_is_recommended_the_same_with_either() {
    let (data, _) = data();
    // How far the scores with either gender are from each other, on average.
    let gap = |counterfactual: &[String]| {
        let prompt = personal(&["gender"]).into();
        let mut model = model(AnyParadigm::PromptTuning(PromptTuning { prompt }), false);
        model.training.learning_rate = 0.05;
        model.training.counterfactual = counterfactual.to_vec();
        let folder = tempfile::tempdir().unwrap();
        let trained = fit(&model, folder.path(), &Silent);
        let of = |user| {
            let query = |history| RecQuery { user: Some(UserId(user)), history, candidates: None };
            let all = data.interactions.users().map(|user| query(data.interactions.sequence(user)));
            lists(&*trained, &all.collect::<Vec<_>>())
        };
        let apart = |(one, other): (&RankedList, &RankedList)| -> f64 {
            let scores = |list: &RankedList| -> BTreeMap<ItemId, f64> {
                list.items.iter().copied().zip(list.scores.iter().map(|s| f64::from(*s))).collect()
            };
            let (one, other) = (scores(one), scores(other));
            let both =
                one.iter().filter_map(|(item, score)| Some((score - other.get(item)?).abs()));
            let all: Vec<f64> = both.collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        let (one, other) = (of(1), of(2));
        one.iter().zip(&other).map(apart).sum::<f64>() / one.len() as f64
    };
    let (without, with) = (gap(&[]), gap(&["gender".to_owned()]));
    assert!(with < 0.2 * without, "{without} to {with}");
}

#[test]
fn what_was_saved_answers_as_what_was_trained() {
    let (data, _) = data();
    let query = |user| RecQuery {
        user: Some(user),
        history: data.interactions.sequence(user),
        candidates: None,
    };
    let queries: Vec<RecQuery<'_>> = data.interactions.users().map(query).collect();
    for backbone in BACKBONES {
        for prompt in [soft_after().into(), hybrid()] {
            let paradigm = AnyParadigm::PromptTuning(PromptTuning { prompt });
            let (model, folder) = (model_on(backbone, paradigm), tempfile::tempdir().unwrap());
            let trained = lists(&*fit(&model, folder.path(), &Silent), &queries);
            assert!(lists(&*fit(&model, folder.path(), &Dies(0.into())), &queries) == trained);
        }
    }
}

#[test]
fn from_other_data_goes_over_what_is_not_about_its_items() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.txt");
    let line = |user: u32| {
        let items = (0..8 + user % 3).map(|i| (user * 3 + i * 2) % 25 + 1);
        let items: Vec<String> = items.map(|item| item.to_string()).collect();
        format!("{} {}\n", user + 1, items.join(" "))
    };
    fs_err::write(&file, (0..30).map(line).collect::<String>()).unwrap();
    let dataset = AnySource::SequenceLines(SequenceLines::at(file));
    let split = AnySplit::LeaveLastOut(LeaveLastOut::default());
    let elsewhere = Elsewhere { dataset, prepare: PrepareOptions::default(), split };
    let adapter = AnyAdapter::Bottleneck(Bottleneck { size: 4 });
    let extra = |embeddings| {
        AnyParadigm::FinetuneExtra(FinetuneExtra { insert: vec![adapter.clone()], embeddings })
    };
    // The other data has no times, at which our HSTU looks.
    for backbone in BACKBONES.into_iter().filter(|backbone| *backbone != "hstu") {
        let with = |paradigm| {
            let mut model = model_on(backbone, paradigm);
            model.pretraining.as_mut().unwrap().elsewhere = Some(elsewhere.clone());
            model
        };
        let own = folder.path().join(backbone);
        fs_err::create_dir(&own).unwrap();
        fit(&with(extra(true)), &own, &Silent);
        let (before, after) = (pretrained(&own), tensors(&own.join("run").join(MODEL_FILE)));
        for (name, (_, before)) in &before {
            let learns = name.starts_with("embedding.");
            assert_eq!(before != &after[name].1, learns, "{name}");
        }
        assert_eq!(before["embedding.token"].0, [25 + 2, 16]);
        assert_eq!(after["embedding.token"].0, [30 + 2, 16]);
        let problems: Vec<String> =
            with(extra(false)).problems().iter().map(ToString::to_string).collect();
        assert!(problems[0].contains("the items' embeddings begin anew"), "{problems:?}");
    }
}

#[test]
fn on_an_encoder_decoder_top_layers_are_the_decoders_and_names_are_of_both() {
    let shape = model_on("encoder-decoder", AnyParadigm::Pretrain(Pretrain::default()));
    let shape = shape.backbone.as_dyn().shape().unwrap();
    let named = |pattern: &str| Learns::Named(pattern.to_owned());
    for (learns, name, expected) in [
        (Learns::TopLayers(1), "block.1.cross-attention.kv.weight", true),
        (Learns::TopLayers(1), "block.0.cross-attention.kv.weight", false),
        (Learns::TopLayers(2), "norm.weight", true),
        (Learns::TopLayers(2), "encoder.block.1.attention.qkv.weight", false),
        (Learns::TopLayers(2), "encoder.norm.weight", false),
        (Learns::Body, "encoder.norm.weight", true),
        (Learns::Norms, "encoder.block.0.attention-norm.bias", true),
        (Learns::Norms, "block.0.cross-attention-norm.weight", true),
        (Learns::Biases, "encoder.block.0.attention.out.bias", true),
        (Learns::Embeddings, "embedding.encoder-position", true),
        (named("encoder.*"), "encoder.block.0.attention.out.bias", true),
        (named("encoder.*"), "block.0.attention.out.bias", false),
        (named("block.*"), "encoder.block.0.attention.out.bias", false),
    ] {
        assert_eq!(learns.includes(shape, name), expected, "{learns:?} {name}");
    }
    let partial = FinetunePartial { learns: vec![named("decoder.*")] };
    let unknown = model_on("encoder-decoder", AnyParadigm::FinetunePartial(partial));
    let problem = unknown.problems().remove(0).to_string();
    let kinds = "block.*.attention-norm.bias,";
    assert!(problem.contains(&format!("encoder.{kinds}")), "{problem}");
    assert_eq!(problem.matches(kinds).count(), 2, "{problem}");
}

#[test]
fn objectives_that_an_encoder_decoder_cannot_be_asked_are_refused_everywhere() {
    let pretrain = || AnyParadigm::Pretrain(Pretrain::default());
    let full = || AnyParadigm::FinetuneFull(FinetuneFull::default());
    let hidden = || AnyObjective::MaskedItems(MaskedItems::default());
    let mut first = model_on("encoder-decoder", pretrain());
    first.objective = hidden();
    let mut beside = model_on("encoder-decoder", pretrain());
    beside.auxiliary = vec![Auxiliary { objective: hidden(), schedule: Schedule::default() }];
    let mut before = model_on("encoder-decoder", full());
    let objective = Some(hidden());
    before.pretraining = Some(Pretraining { objective, ..Pretraining::default() });
    for model in [first, beside, before] {
        let problems: Vec<String> = model.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "an objective of an encoder-decoder is masked-items, expected one that asks its decoder to go on: \
                 bce, bpr, gbce, group-gap, popularity-correlation, return-conditioned, sampled-softmax, softmax"
            ]
        );
    }
}
