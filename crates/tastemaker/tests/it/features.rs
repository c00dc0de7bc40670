use std::collections::BTreeMap;
use std::path::Path;

use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::prepare::PrepareOptions;
use tastemaker::core::sources::{AnySource, SequenceLines};
use tastemaker::core::splits::{AnySplit, LeaveLastOut, Split, SplitSets};
use tastemaker::core::{
    Dataset, Interactions, ItemId, RankOptions, RecQuery, Recommender, SeedTree, TieOrder,
    Vocabulary,
};
use tastemaker::nn::backbones::{AnyBackbone, Decoder};
use tastemaker::nn::checkpoint::Checkpoint;
use tastemaker::nn::fused::Features;
use tastemaker::nn::transformer::{FEATURES, TABLE, Transformer};
use tastemaker::paradigms::{AnyParadigm, FinetuneFull, FinetunePartial, Learns, PromptFree};
use tastemaker::recommenders::{
    Elsewhere, FitContext, FitRecommender, Given, ItemFeatures, LanguageModel, MODEL_FILE, Others,
    Pretraining,
};
use tastemaker::train::{Categories, Training};

use crate::text::context;

const KINDS: u32 = 6;
pub(crate) const COLOURS: u32 = 5;

/// Users who go round the kinds of items of their colour. Of colour 2, kinds 2 and 3 come last
/// only: nobody meets them in training.
pub(crate) fn colours() -> (Dataset, SplitSets) {
    let item = |kind: u32, colour: u32| ItemId(kind % KINDS * COLOURS + colour);
    let users = (0..4 * KINDS).flat_map(|i| (0..COLOURS).map(move |colour| (i, colour)));
    let sequences: Vec<Vec<ItemId>> = users
        .map(|(i, colour)| {
            let first = if colour == 2 { 4 } else { i };
            (first..first + 6).map(|kind| item(kind, colour)).collect()
        })
        .collect();
    let items = 0..KINDS * COLOURS;
    let of = |name: char, number: u32| vec![format!("{name}{number}")];
    let kinds = items.clone().map(|i| of('k', i / COLOURS)).collect();
    let text = items.clone().map(|i| Some(format!("A thing, C{}", i % COLOURS))).collect();
    let number = items.clone().map(|i| Some(f64::from(i))).collect();
    let alone = items.clone().map(|i| of('i', i)).collect();
    let column = |name: &str, column| Attribute { name: name.to_owned(), column };
    let catalog = vec![
        column("kind", Column::Categories(kinds)),
        column("text", Column::Text(text)),
        column("number", Column::Number(number)),
        column("alone", Column::Categories(alone)),
    ];
    let data = Dataset {
        name: "colours".to_owned(),
        hash: "colours".to_owned(),
        users: (0..sequences.len()).map(|u| u.to_string()).collect::<Vocabulary>(),
        items: items.map(|i| i.to_string()).collect::<Vocabulary>(),
        interactions: Interactions::from_sequences(sequences),
        catalog: Catalog::new(catalog, None),
        ..Dataset::default()
    };
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    (data, split)
}

fn features(attributes: &[&str], own: bool) -> ItemFeatures {
    let attributes = attributes.iter().map(|name| (*name).to_owned()).collect();
    ItemFeatures { attributes, own, ..ItemFeatures::default() }
}

pub(crate) fn model(features: impl Into<Option<ItemFeatures>>) -> LanguageModel {
    let backbone = AnyBackbone::Decoder(Decoder {
        embedding_size: Some(32),
        max_length: Some(9),
        dropout: Some(0.1),
        ..Decoder::default()
    });
    let training = Training {
        epochs: 40,
        batch_size: 16,
        learning_rate: 3e-3,
        patience: 40,
        ..Training::default()
    };
    LanguageModel { backbone, features: features.into(), training, ..LanguageModel::default() }
}

pub(crate) fn fit(
    model: &LanguageModel,
    (data, split): &(Dataset, SplitSets),
    folder: Option<&Path>,
) -> tastemaker::Result<Box<dyn Recommender>> {
    let others = Others::default();
    let context = context((data, split, &others), SeedTree::new(3), folder);
    model.fit(&FitContext { checkpoints: folder, ..context })
}

#[test]
fn items_that_nobody_met_in_training_are_ranked_by_their_features() {
    let data = colours();
    let ties = TieOrder::new(data.0.n_items(), &SeedTree::new(1));
    let options = RankOptions { n: 30, allow_seen: false, ties: &ties };
    let item = |kind: u32| ItemId(kind * COLOURS + 2);
    // How far behind the two unseen items come where each is the next; before the second of them
    // stands the first.
    let places = |features: Option<ItemFeatures>| {
        let recommender = fit(&model(features), &data, None).unwrap();
        [[5, 0, 1, 2], [0, 1, 2, 3]].map(|kinds| {
            let [history @ .., next] = kinds.map(item);
            let query = RecQuery { user: None, history: &history, candidates: None };
            let list = recommender.recommend(&[query], &options).unwrap().remove(0);
            list.items.iter().position(|other| *other == next).unwrap()
        })
    };
    let (by_features, by_themselves) =
        (places(Some(features(&["kind", "text"], false))), places(None));
    assert!(by_features.iter().all(|&place| place < 2), "places {by_features:?}");
    assert!(by_themselves.iter().all(|&place| place > 2), "{by_themselves:?} without features");
}

fn unsuitable(features: ItemFeatures, (data, split): (Dataset, SplitSets)) -> Vec<String> {
    let given = Given { data: &data, split: &split, others: &Others::default() };
    model(features).unsuitable(&given).iter().map(ToString::to_string).collect()
}

#[test]
fn features_that_the_items_do_not_have_are_refused() {
    let none: Vec<String> = vec![];
    assert_eq!(unsuitable(features(&["kind", "text"], true), colours()), none);
    assert_eq!(unsuitable(features(&[], true), colours()), none);
    for (attributes, expected) in [
        (
            ["knid"],
            "no attribute \"knid\" of items holds categories or text, only kind, text, alone; did you mean \"kind\"?",
        ),
        (["number"], "no attribute \"number\" of items holds"),
        (["alone"], "no value is that of 2 items, as min-items says"),
    ] {
        let found = unsuitable(features(&attributes, true), colours());
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }
    let (data, split) = colours();
    let bare = Dataset { catalog: Catalog::default(), ..data };
    let found = unsuitable(features(&[], true), (bare, split));
    assert!(found[0].contains("no attributes with categories"), "{found:?}");
    let none_at_all = ItemFeatures { min_items: 0, ..ItemFeatures::default() };
    let found = model(none_at_all).problems();
    assert!(found[0].to_string().contains("min-items is 0, expected 1 or more"), "{found:?}");
    // A parameter that is only there with features.
    let named = |features: Option<ItemFeatures>| {
        let learns = vec![Learns::Named(FEATURES.to_owned())];
        let paradigm = AnyParadigm::FinetunePartial(FinetunePartial { learns });
        let pretraining = Some(Pretraining::default());
        LanguageModel { paradigm, pretraining, ..model(features) }.problems().len()
    };
    assert_eq!((named(None), named(Some(features(&[], true)))), (1, 0));
}

/// Another shop: its items' texts have the words c1 and c3 in common with [`colours`], and "thing".
pub(crate) fn other_shop(folder: &Path, texts: &str) -> Elsewhere {
    let line = |user: u32| {
        let items: Vec<String> = (0..7).map(|i| format!("i{}", (user + i) % 10)).collect();
        format!("u{user} {}\n", items.join(" "))
    };
    let path = folder.join("other.txt");
    fs_err::write(&path, (0..20).map(line).collect::<String>()).unwrap();
    let file = folder.join("texts.txt");
    let words: Vec<&str> = texts.split(' ').collect();
    let text =
        |i: usize| format!("i{i} {} {}\n", words[i % words.len()], words[i * 3 % words.len()]);
    fs_err::write(&file, (0..10).map(text).collect::<String>()).unwrap();
    let lines = SequenceLines { texts: Some(file), ..SequenceLines::at(path) };
    let (prepare, split) = (PrepareOptions::default(), LeaveLastOut::default());
    let (dataset, split) = (AnySource::SequenceLines(lines), AnySplit::LeaveLastOut(split));
    Elsewhere { dataset, prepare, split }
}

pub(crate) fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    Checkpoint::<serde_json::Value>::read(path).unwrap().tensors
}

fn after_other_shop(own: bool, folder: &Path) -> LanguageModel {
    let mut model = model(features(&["text"], own));
    model.training.epochs = 2;
    let training = Some(model.training.clone());
    let elsewhere = Some(other_shop(folder, "C1 thing C3 soap"));
    model.pretraining = Some(Pretraining { elsewhere, training, ..Pretraining::default() });
    model
}

#[test]
fn features_go_over_by_their_values_and_nothing_else_of_the_tables_does() {
    let data = colours();
    for own in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut model = after_other_shop(own, folder.path());
        if own {
            // Learns too slowly to move: what goes over is seen as it is.
            model.training.learning_rate = 1e-30;
            model.paradigm = AnyParadigm::FinetuneFull(FinetuneFull::default());
        } else {
            model.paradigm = AnyParadigm::PromptFree(PromptFree::default());
        }
        fit(&model, &data, Some(folder.path())).unwrap();
        let after = tensors(&folder.path().join(MODEL_FILE));
        let folders = fs_err::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let before =
            folders.filter(|path| path.is_dir()).map(|path| tensors(&path.join(MODEL_FILE)));
        let before = before.last().unwrap();
        let mut fresh = Transformer::new(&model.backbone, 32, &weights()).unwrap();
        let here = Categories::of(&data.0, &["text".to_owned()], 2);
        let rows = Features::new(here.of_items(), here.named().len());
        fresh.add_features(rows, own, &weights()).unwrap();
        let row = |values: &[f32], row: usize| values[row * 32..][..32].to_vec();
        let fresh = |name: &str, at: usize| row(&fresh.parameters().values(name).unwrap(), at);
        // Those of the other shop, in the order in which its items have them.
        let words = ["c1", "thing", "soap", "c3"];
        let there = |word: &str| words.iter().position(|other| *other == word);
        let mut known = 0;
        for (number, (attribute, word)) in here.named().enumerate() {
            assert_eq!(attribute, "text");
            let expected = match there(word).filter(|_| word != "soap") {
                Some(there) => {
                    known += 1;
                    row(&before[FEATURES].1, there)
                }
                None => fresh(FEATURES, number),
            };
            assert!(row(&after[FEATURES].1, number) == expected, "own {own}, {word}");
        }
        assert_eq!((known, here.named().len()), (3, 7));
        let (own_rows, theirs) = (after[TABLE].0[0], before[TABLE].0[0]);
        assert_eq!((own_rows, theirs), if own { (32, 12) } else { (2, 2) });
        for number in 0..own_rows {
            let left = own_rows - number;
            let expected =
                if left <= 2 { row(&before[TABLE].1, theirs - left) } else { fresh(TABLE, number) };
            assert!(row(&after[TABLE].1, number) == expected, "own {own}, row {number}");
        }
        for (name, (_, values)) in before.iter().filter(|(name, _)| !name.contains("embedding")) {
            assert!(after[name].1 == *values, "own {own}, {name}");
        }
    }
}

fn weights() -> SeedTree {
    SeedTree::new(3).child("weights")
}

#[test]
fn a_transfer_of_which_nothing_remains_is_refused() {
    let (data, folder) = (colours(), tempfile::tempdir().unwrap());
    let mut model = after_other_shop(true, folder.path());
    // Embeddings of their own begin anew, so they must learn; without them they need not.
    model.paradigm = AnyParadigm::PromptFree(PromptFree::default());
    let problems: Vec<String> = model.problems().iter().map(ToString::to_string).collect();
    assert!(problems.len() == 1 && problems[0].contains("begin anew"), "{problems:?}");
    let mut model = after_other_shop(false, folder.path());
    model.paradigm = AnyParadigm::PromptFree(PromptFree::default());
    assert!(model.problems().is_empty());
    let refused = |model: &LanguageModel| match fit(model, &data, None) {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.to_string(),
    };
    let other = other_shop(folder.path(), "soap brush");
    model.pretraining.as_mut().unwrap().elsewhere = Some(other);
    let error = refused(&model);
    assert!(error.contains("no value of other is one of this data's"), "{error}");
    model.features = Some(features(&["kind"], false));
    let error = refused(&model);
    assert!(
        error.contains("no attribute \"kind\" of items holds categories or text, only text"),
        "{error}"
    );
}

#[test]
fn pre_training_is_shared_by_models_with_the_same_features_only() {
    let (data, folder) = (colours(), tempfile::tempdir().unwrap());
    let pretrained = |attributes: &[&str], own| {
        let mut model = model(features(attributes, own));
        model.training.epochs = 1;
        model.paradigm = AnyParadigm::FinetuneFull(FinetuneFull::default());
        model.pretraining = Some(Pretraining::default());
        fit(&model, &data, Some(folder.path())).unwrap();
        fs_err::remove_file(folder.path().join(MODEL_FILE)).unwrap();
        let inside = fs_err::read_dir(folder.path()).unwrap();
        inside.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    };
    let with = [(&["kind"][..], true), (&["kind"], true), (&["kind"], false), (&["text"], true)];
    assert_eq!(with.map(|(attributes, own)| pretrained(attributes, own)), [1, 1, 2, 3]);
}
