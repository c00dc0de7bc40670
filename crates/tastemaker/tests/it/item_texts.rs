use std::path::Path;

use tastemaker::core::catalog::Catalog;
use tastemaker::core::{Dataset, ItemId, RankOptions, RecQuery, SeedTree, TieOrder};
use tastemaker::nn::fused::Precision;
use tastemaker::nn::transformer::{FEATURES, TABLE, TEXTS};
use tastemaker::paradigms::{AnyParadigm, FinetuneFull, PromptFree};
use tastemaker::recommenders::{
    FitRecommender, Given, ItemFeatures, ItemTexts, LanguageModel, MODEL_FILE, Others, Pretraining,
    TextAdaptor, TextCodes, TextInitialise,
};
use tastemaker::text::TextEmbeddings;

use crate::features::{COLOURS, colours, fit, other_shop, tensors};
use crate::models::model as encoder;

fn adaptor(model: &Path, own: bool) -> ItemTexts {
    ItemTexts::Adaptor(TextAdaptor { model: model.to_owned(), experts: 3, own })
}

fn codes(model: &Path, own: bool) -> ItemTexts {
    ItemTexts::Codes(TextCodes {
        model: model.to_owned(),
        groups: 32,
        codes: 8,
        rotation: own,
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
