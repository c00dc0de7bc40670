use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tastemaker::core::catalog::Catalog;
use tastemaker::core::{Dataset, ItemId, RankOptions, RecQuery, Recommender, SeedTree, TieOrder};
use tastemaker::nn::fused::Precision;
use tastemaker::nn::transformer::{FEATURES, TABLE, TEXTS};
use tastemaker::objectives::{AnyObjective, SequenceItemContrast};
use tastemaker::paradigms::{AnyParadigm, FinetuneFull, FinetunePartial, Learns, PromptFree};
use tastemaker::recommenders::{
    Auxiliary, FitContext, FitRecommender, Given, ItemFeatures, ItemTexts, LanguageModel,
    MODEL_FILE, Others, Pretraining, TextAdaptor, TextCodes, TextInitialise,
};
use tastemaker::text::TextEmbeddings;
use tastemaker::train::{Event, Observer, Privacy, Schedule, Training};

use crate::features::{COLOURS, colours, fit, other_shop, tensors};
use crate::models::model as encoder;
use crate::paradigms::Dies;

fn adaptor(model: &Path, own: bool) -> ItemTexts {
    ItemTexts::Adaptor(TextAdaptor { model: model.to_owned(), experts: 3, own })
}

fn codes(model: &Path, own: bool) -> ItemTexts {
    ItemTexts::Codes(TextCodes {
        model: model.to_owned(),
        groups: 32,
        codes: 8,
        rotation: own,
        permutation_epochs: 0,
        own,
    })
}

fn model(texts: impl Into<Option<ItemTexts>>) -> LanguageModel {
    LanguageModel { texts: texts.into(), ..crate::features::model(None) }
}

fn problems(model: &LanguageModel, data: &Dataset) -> Vec<String> {
    let (_, split) = colours();
    let given = Given { data, split: &split, others: &Others::default() };
    let all = model.problems().into_iter().chain(model.unsuitable(&given));
    all.map(|problem| problem.to_string()).collect()
}

#[test]
fn items_that_nobody_met_in_training_are_ranked_by_their_texts() {
    let Some(encoder) = encoder("all-minilm-l6-v2") else { return };
    let data = colours();
    let ties = TieOrder::new(data.0.n_items(), &SeedTree::new(1));
    let options = RankOptions { n: 30, allow_seen: false, ties: &ties };
    let places = |texts: Option<ItemTexts>| {
        let model = model(texts);
        assert_eq!(problems(&model, &data.0), Vec::<String>::new());
        let recommender = fit(&model, &data, None).unwrap();
        [[5, 0, 1, 2], [0, 1, 2, 3]].map(|kinds: [u32; 4]| {
            let [history @ .., next] = kinds.map(|kind| ItemId(kind * COLOURS + 2));
            let query = RecQuery { user: None, history: &history, candidates: None };
            let list = recommender.recommend(&[query], &options).unwrap().remove(0);
            list.items.iter().position(|other| *other == next).unwrap()
        })
    };
    let by_themselves = places(None);
    // Of 30 items; codes say less than what they stand for.
    for (texts, most) in [(adaptor(&encoder, false), 3), (codes(&encoder, false), 6)] {
        let by_texts = places(Some(texts.clone()));
        assert!(by_texts.iter().all(|&place| place < most), "{texts:?}: places {by_texts:?}");
        assert!(by_texts.iter().sum::<usize>() < by_themselves.iter().sum(), "{by_themselves:?}");
    }
    assert!(by_themselves.iter().all(|&place| place > 2), "{by_themselves:?} without texts");
}

#[test]
fn an_adaptor_and_codes_go_over_to_another_catalog() {
    let Some(encoder) = encoder("all-minilm-l6-v2") else { return };
    let data = colours();
    for (texts, own, parts) in [
        (adaptor(&encoder, true), true, &TEXTS[..]),
        (adaptor(&encoder, false), false, &TEXTS[..]),
        (codes(&encoder, true), true, &[FEATURES]),
        (codes(&encoder, false), false, &[FEATURES]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut model = model(texts);
        model.training.epochs = 2;
        let training = Some(model.training.clone());
        let elsewhere = Some(other_shop(folder.path(), "C1 thing C3 soap"));
        model.pretraining = Some(Pretraining { elsewhere, training, ..Pretraining::default() });
        model.paradigm = if own {
            // Learns too slowly to move: what goes over is seen as it is.
            model.training.learning_rate = 1e-30;
            AnyParadigm::FinetuneFull(FinetuneFull::default())
        } else {
            AnyParadigm::PromptFree(PromptFree::default())
        };
        assert_eq!(problems(&model, &data.0), Vec::<String>::new());
        fit(&model, &data, Some(folder.path())).unwrap();
        let after = tensors(&folder.path().join(MODEL_FILE));
        let folders = fs_err::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let before = folders.filter(|path| path.is_dir()).last().unwrap();
        let before = tensors(&before.join(MODEL_FILE));
        for (name, (_, values)) in before.iter().filter(|(name, _)| *name != TABLE) {
            assert!(after[name].1 == *values, "own {own}, {name}");
        }
        assert!(parts.iter().all(|name| before.contains_key(*name)));
        // Nothing of their own is learnt of items elsewhere.
        assert_eq!((before[TABLE].0[0], after[TABLE].0[0]), (2, if own { 32 } else { 2 }));
        // The encoder's embeddings of both catalogs are kept.
        let kept = fs_err::read_dir(folder.path()).unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("embeddings-")
        });
        assert_eq!(kept.count(), 2);
    }
}

/// Codes that are a catalog's own take the embeddings that others have learnt, each once, and first their
/// order is all that learns.
#[test]
fn codes_of_a_catalog_are_given_what_those_of_another_have_learnt() {
    let Some(encoder) = encoder("all-minilm-l6-v2") else { return };
    let data = colours();
    let folder = tempfile::tempdir().unwrap();
    let ItemTexts::Codes(codes) = codes(&encoder, false) else { unreachable!() };
    let with =
        |permutation_epochs| ItemTexts::Codes(TextCodes { permutation_epochs, ..codes.clone() });
    let mut model = model(with(2));
    model.training.epochs = 2;
    let training = Some(model.training.clone());
    let elsewhere = Some(other_shop(folder.path(), "C1 thing C3 soap"));
    model.pretraining = Some(Pretraining { elsewhere, training, ..Pretraining::default() });
    // Learns too slowly to move: what goes over is seen where it was put.
    let learns = vec![Learns::Named(FEATURES.to_owned())];
    model.paradigm = AnyParadigm::FinetunePartial(FinetunePartial { learns });
    model.training.learning_rate = 1e-30;
    assert_eq!(problems(&model, &data.0), Vec::<String>::new());
    let stages: Vec<String> =
        model.plan().unwrap().stages.into_iter().map(|stage| stage.name).collect();
    assert_eq!(stages, ["pretraining", "permutation", "train"]);
    let recommender = fit(&model, &data, Some(folder.path())).unwrap();
    let after = tensors(&folder.path().join(MODEL_FILE));
    let pretrained = || {
        let folders = fs_err::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        folders.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let before = tensors(&pretrained()[0].join(MODEL_FILE));
    for (name, (_, values)) in
        before.iter().filter(|(name, _)| **name != *TABLE && **name != *FEATURES)
    {
        assert!(after[name].1 == *values, "{name}");
    }
    let group = |values: &[f32], group: usize| {
        let mut rows: Vec<Vec<u32>> = values[group * 8 * 32..(group + 1) * 8 * 32]
            .chunks(32)
            .map(|row| row.iter().map(|x| x.to_bits()).collect())
            .collect();
        rows.sort_unstable();
        rows
    };
    let [before, after] = [before, after].map(|mut tensors| tensors.remove(FEATURES).unwrap().1);
    assert!((0..32).all(|of| group(&before, of) == group(&after, of)) && before != after);
    // It answers as it did when it is read again.
    let list = |recommender: &dyn Recommender| {
        let ties = TieOrder::new(data.0.n_items(), &SeedTree::new(1));
        let options = RankOptions { n: 30, allow_seen: false, ties: &ties };
        let query = RecQuery { user: None, history: &[ItemId(2), ItemId(7)], candidates: None };
        recommender.recommend(&[query], &options).unwrap().remove(0)
    };
    assert_eq!(list(&*recommender), list(&*fit(&model, &data, Some(folder.path())).unwrap()));
    // What was learnt elsewhere is the same as without, and made once.
    let runs = tempfile::tempdir().unwrap();
    let without = LanguageModel { texts: Some(with(0)), ..model.clone() };
    let others = Others::default();
    let context =
        crate::text::context((&data.0, &data.1, &others), SeedTree::new(3), Some(folder.path()));
    let context = FitContext { checkpoints: Some(runs.path()), ..context };
    without.fit(&context).unwrap();
    assert_eq!(pretrained().len(), 1);
    // Where nothing goes over, or nothing learns from it.
    let here = LanguageModel { pretraining: Some(Pretraining::default()), ..model.clone() };
    let paradigm = AnyParadigm::PromptFree(PromptFree::default());
    for model in [here, LanguageModel { paradigm, ..model.clone() }] {
        let found = problems(&model, &data.0);
        assert!(found.len() == 1 && found[0].contains("permutation-epochs is 2"), "{found:?}");
    }
    // Too many scores, and negatives whose codes' embeddings are not known yet.
    let ItemTexts::Codes(few) = with(2) else { unreachable!() };
    let many = LanguageModel {
        texts: Some(ItemTexts::Codes(TextCodes { codes: 1024, ..few })),
        ..model.clone()
    };
    let found = problems(&many, &data.0);
    assert!(found.len() == 1 && found[0].contains("permuted codes is 33554432"), "{found:?}");
    let exchanged = SequenceItemContrast { exchanged: 0.75, ..SequenceItemContrast::default() };
    let objective = AnyObjective::SequenceItemContrast(exchanged);
    let beside = vec![Auxiliary { objective: objective.clone(), schedule: Schedule::default() }];
    let found = problems(&LanguageModel { auxiliary: beside, ..model.clone() }, &data.0);
    assert!(found.len() == 1 && found[0].contains("0 with permutation-epochs"), "{found:?}");
    // Such are for pre-training.
    let before = model.pretraining.clone().unwrap();
    let pretraining = Some(Pretraining { objective: Some(objective), ..before });
    let found = problems(&LanguageModel { pretraining, ..model.clone() }, &data.0);
    assert_eq!(found, Vec::<String>::new());
    let privacy = Some(Privacy::default());
    let training = Training { privacy, ..model.training.clone() };
    let found = problems(&LanguageModel { training, ..model.clone() }, &data.0);
    assert!(found.iter().any(|problem| problem.contains("permutation-epochs = 0")), "{found:?}");
    // Its twin has nothing to put in order.
    let skip = Pretraining { skip: true, ..model.pretraining.clone().unwrap() };
    let twin = LanguageModel { pretraining: Some(skip), ..model };
    assert_eq!(problems(&twin, &data.0), Vec::<String>::new());
    assert_eq!(twin.plan().unwrap().stages.len(), 2);
}

/// Hears the mean losses of the epochs of each stage, and dies when it has heard enough.
struct Hears(Mutex<Vec<(String, Vec<f64>)>>, Dies);

impl Hears {
    fn until(steps: usize) -> Self {
        Self(Mutex::default(), Dies(steps.into()))
    }
}

impl Observer for Hears {
    fn observe(&self, event: &Event) {
        self.1.observe(event);
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Stage { stage } => stages.push((stage.clone(), vec![])),
            Event::Epoch { loss, .. } => stages.last_mut().unwrap().1.push(*loss),
            _ => {}
        }
    }
}

#[test]
fn an_order_is_learnt_and_a_run_that_was_interrupted_ends_in_the_same_bytes() {
    let Some(encoder) = encoder("all-minilm-l6-v2") else { return };
    let (data, split) = colours();
    let shared = tempfile::tempdir().unwrap();
    let ItemTexts::Codes(codes) = codes(&encoder, false) else { unreachable!() };
    let mut model = model(ItemTexts::Codes(TextCodes { permutation_epochs: 12, ..codes }));
    model.training.epochs = 2;
    let training = Some(Training { epochs: 20, ..model.training.clone() });
    let elsewhere = Some(other_shop(shared.path(), "C1 thing C3 soap"));
    model.pretraining = Some(Pretraining { elsewhere, training, ..Pretraining::default() });
    model.paradigm = AnyParadigm::FinetuneFull(FinetuneFull::default());
    let others = Others::default();
    let fit = |folder: &Path, observer: &Hears| {
        let of = (&data, &split, &others);
        let context = crate::text::context(of, SeedTree::new(3), Some(shared.path()));
        model.fit(&FitContext { checkpoints: Some(folder), observer, ..context }).unwrap();
    };
    let (whole, hears) = (tempfile::tempdir().unwrap(), Hears::until(usize::MAX));
    fit(whole.path(), &hears);
    let stages = hears.0.into_inner().unwrap();
    let (name, losses) = &stages[1];
    assert!(name == "permutation" && losses.len() == 12, "{stages:?}");
    assert!(losses[11] < 0.97 * losses[0], "{losses:?}");
    let steps = |folder: &Path| fs_err::read(folder.join(MODEL_FILE)).unwrap();
    // Eight steps an epoch: while the order learns, and after it.
    for n in [4, 50, 8 * 12 + 4] {
        let (broken, dies) = (tempfile::tempdir().unwrap(), Hears::until(n));
        assert!(catch_unwind(AssertUnwindSafe(|| fit(broken.path(), &dies))).is_err(), "{n}");
        fit(broken.path(), &Hears::until(usize::MAX));
        assert!(steps(whole.path()) == steps(broken.path()), "after {n} steps");
        assert_eq!(fs_err::read_dir(broken.path()).unwrap().count(), 1, "checkpoints are left");
    }
}

#[test]
fn embeddings_begin_with_the_principal_components() {
    let Some(encoder) = encoder("all-minilm-l6-v2") else { return };
    let data = colours();
    let embeddings = TextEmbeddings::of_items(
        &data.0.catalog,
        data.0.n_items(),
        (&encoder, Precision::F32),
        None,
    )
    .unwrap();
    let n = 29; // 30 centred vectors have no more axes.
    let components = embeddings.principal_components(n).unwrap();
    let column = |axis: usize| components.iter().skip(axis).step_by(n).map(|x| f64::from(*x));
    let product = |a: usize, b: usize| column(a).zip(column(b)).map(|(a, b)| a * b).sum::<f64>();
    for axis in 1..n {
        assert!(product(axis, axis) <= product(axis - 1, axis - 1) + 1e-6, "axis {axis}");
        assert!((0..axis).all(|other| product(axis, other).abs() < 1e-5), "axis {axis}");
    }
    // All axes together hold the whole variance.
    let (rows, width) = (data.0.n_items(), embeddings.width);
    let of = |column: usize| embeddings.values.iter().skip(column).step_by(width);
    let variance: f64 = (0..width)
        .map(|column| {
            let mean = of(column).map(|x| f64::from(*x)).sum::<f64>() / rows as f64;
            of(column).map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>()
        })
        .sum();
    let held: f64 = (0..n).map(|axis| product(axis, axis)).sum();
    assert!((held - variance).abs() < 1e-4 * variance, "{held} of {variance}");

    let mut model = model(ItemTexts::Initialise(TextInitialise { model: encoder }));
    (model.training.epochs, model.training.learning_rate) = (1, 1e-30);
    let folder = tempfile::tempdir().unwrap();
    fit(&model, &data, Some(folder.path())).unwrap();
    let (dimensions, table) = &tensors(&folder.path().join(MODEL_FILE))[TABLE];
    assert_eq!(dimensions, &[32, 32]);
    let components = embeddings.principal_components(32).unwrap();
    let squares: f64 = components.iter().map(|x| f64::from(*x).powi(2)).sum();
    let factor = 0.02 / (squares / components.len() as f64).sqrt();
    for (at, component) in components.iter().enumerate() {
        let expected = f64::from(*component) * factor;
        assert!((f64::from(table[at]) - expected).abs() < 1e-6, "number {at}");
    }
}

#[test]
fn texts_that_cannot_be_used_are_refused() {
    let nowhere = Path::new("nowhere");
    let (data, _) = colours();
    let found = problems(&model(adaptor(nowhere, true)), &data);
    assert!(found.len() == 1 && found[0].contains("model is \"nowhere\", expected"), "{found:?}");
    let bare = Dataset { catalog: Catalog::default(), ..colours().0 };
    let found = problems(&model(adaptor(nowhere, true)), &bare);
    assert!(found.len() == 1 && found[0].contains("texts: the items have none"), "{found:?}");
    let none = ItemTexts::Adaptor(TextAdaptor { experts: 0, ..TextAdaptor::default() });
    let found = model(none).problems();
    assert!(found[0].to_string().contains("experts is 0"), "{found:?}");
    let none = ItemTexts::Codes(TextCodes { groups: 0, ..TextCodes::default() });
    let found = model(none).problems();
    assert!(found[0].to_string().contains("groups is 0"), "{found:?}");
    let mut both = model(adaptor(nowhere, true));
    both.features = Some(ItemFeatures::default());
    let found = both.problems();
    assert!(found[0].to_string().contains("texts is set beside features"), "{found:?}");
    let mut elsewhere = model(adaptor(nowhere, true));
    elsewhere.paradigm = AnyParadigm::PromptFree(PromptFree::default());
    let other = other_shop(tempfile::tempdir().unwrap().path(), "a b");
    elsewhere.pretraining = Some(Pretraining { elsewhere: Some(other), ..Pretraining::default() });
    let found = elsewhere.problems();
    assert!(found[0].to_string().contains("embeddings begin anew"), "{found:?}");
}
