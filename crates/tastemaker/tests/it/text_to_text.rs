use std::collections::BTreeSet;

use tastemaker::core::catalog::{Attribute, Column};
use tastemaker::core::splits::{LeaveLastOut, Split};
use tastemaker::core::{
    Dataset, Interactions, ItemId, RankOptions, RankedList, RecQuery, SeedTree, TieOrder, UserId,
};
use tastemaker::nn::backbones::{AnyBackbone, Decoder, EncoderDecoder};
use tastemaker::nn::fused::Positions;
use tastemaker::recommenders::{
    FitContext, FitRecommender, Given, ItemNames, Learnt, Others, TextTask, TextToText, Tokens,
};
use tastemaker::tokenisations::{RandomIds, Tokenisation};

use crate::text::context;
use crate::tokenisations::ask;
use crate::training::{N_ITEMS, rounds};

fn next_item() -> TextTask {
    TextTask {
        family: "sequential".to_owned(),
        question: "{% for item in history %}{{ item.id }} {% endfor %}next?".to_owned(),
        answer: "{{ item.id }}".to_owned(),
        times: 2,
    }
}

fn encoder_decoder() -> AnyBackbone {
    AnyBackbone::EncoderDecoder(EncoderDecoder {
        layers: Some(2),
        embedding_size: Some(64),
        max_length: Some(64),
        dropout: Some(0.0),
        positions: Positions::Relative,
        ..EncoderDecoder::default()
    })
}

fn model(backbone: AnyBackbone) -> TextToText {
    let ids = RandomIds { levels: 1, codes: 8, beams: 20 };
    let mut model = TextToText {
        backbone,
        tokenizer: Tokens::Bpe(Learnt { vocabulary: 300 }),
        names: ItemNames::Codes(Tokenisation::RandomIds(ids)),
        tasks: vec![next_item()],
        last_items: 4,
        beams: 40,
        ..TextToText::default()
    };
    (model.training.epochs, model.training.patience) = (60, 60);
    (model.training.batch_size, model.training.learning_rate) = (16, 1e-3);
    model.training.validate_every = 20;
    model
}

#[test]
fn a_model_from_texts_to_texts_answers_with_items_and_nothing_else() {
    let (data, split) = rounds(240, 9..16);
    let decoder = AnyBackbone::Decoder(Decoder {
        layers: Some(1),
        embedding_size: Some(32),
        max_length: Some(64),
        dropout: Some(0.0),
        ..Decoder::default()
    });
    for backbone in [encoder_decoder(), decoder] {
        let folder = tempfile::tempdir().unwrap();
        let model = model(backbone);
        assert!(model.problems().is_empty());
        let others = Others::default();
        let context = context((&data, &split, &others), SeedTree::new(3), None);
        let context = FitContext { checkpoints: Some(folder.path()), ..context };
        let recommender = model.fit(&context).unwrap();
        let mut hits = 0;
        for start in 0..N_ITEMS {
            for step in [1, 3, 7] {
                let history: Vec<u32> = (0..5).map(|i| (start + i * step) % N_ITEMS).collect();
                let list = ask(&*recommender, (&history, None), (1, true));
                hits += u32::from(list.items[0].0 == (start + 5 * step) % N_ITEMS);
            }
        }
        // Of 120; by chance it would be 3.
        assert!(hits > 100, "{hits} {}", model.backbone.name());
        let history = [4, 7, 10, 13];
        let all = ask(&*recommender, (&history, None), (40, true));
        let distinct: BTreeSet<ItemId> = all.items.iter().copied().collect();
        assert_eq!(distinct.len(), N_ITEMS as usize);
        // With a beam for every item, these are probabilities of items; the rest is what is no item.
        let mass: f32 = all.scores.iter().map(|score| score.exp()).sum();
        assert!(mass > 0.9 && mass < 1.0 + 1e-4, "{mass}");
        let some = ask(&*recommender, (&history, Some(&[16, 30, 2])), (3, true));
        let score = |list: &RankedList, item: ItemId| {
            list.scores[list.items.iter().position(|other| *other == item).unwrap()]
        };
        for &item in &some.items {
            assert!((score(&some, item) - score(&all, item)).abs() < 1e-3);
        }
        let unseen = ask(&*recommender, (&history, None), (40, false));
        assert_eq!(unseen.items.len(), N_ITEMS as usize - history.len());
        assert_eq!(ask(&*recommender, (&[], None), (5, true)).items.len(), 5);
        // Read back, it says the same.
        let again = model.restore(&context).unwrap();
        assert!(ask(&*again, (&history, None), (40, true)) == all);
        fs_err::remove_file(folder.path().join("tokenizer.json")).unwrap();
        let problem = model.restore(&context).err().unwrap().to_string();
        assert!(problem.contains("tokenizer.json"), "{problem}");
    }
}

#[test]
fn answers_that_do_not_end_are_judged_too() {
    let (data, split) = rounds(20, 9..16);
    let AnyBackbone::EncoderDecoder(backbone) = encoder_decoder() else { panic!("as it says") };
    // Places have embeddings, and answers may take them all.
    let backbone =
        EncoderDecoder { positions: Positions::Learned, max_length: Some(24), ..backbone };
    let mut model = model(AnyBackbone::EncoderDecoder(backbone));
    // Nothing is learnt, not even to end.
    (model.training.epochs, model.training.learning_rate) = (1, 1e-9);
    let (folder, others) = (tempfile::tempdir().unwrap(), Others::default());
    let context = context((&data, &split, &others), SeedTree::new(3), None);
    model.fit(&FitContext { checkpoints: Some(folder.path()), ..context }).unwrap();
    assert!(folder.path().join("tasks.json").exists());
}

/// Twenty users with ratings and reviews of seven items.
fn reviewed() -> Dataset {
    let sequences: Vec<Vec<ItemId>> =
        (0..20_u32).map(|user| (0..6).map(|i| ItemId((user + i) % 7)).collect()).collect();
    let n = 120;
    let plain = Interactions::from_sequences(&sequences);
    let (offsets, items) = (plain.offsets().to_vec(), plain.all_items().to_vec());
    let values = items.iter().map(|item| if item.0 < 3 { 5.0 } else { 2.0 }).collect();
    let texts = [
        (
            "review",
            (0..n).map(|i| (i % 4 > 0).then(|| format!("Good card {i}. And more."))).collect(),
        ),
        ("summary", (0..n).map(|i| Some(format!("Card {i}"))).collect()),
    ];
    let texts = texts.map(|(name, rows): (&str, Vec<Option<String>>)| Attribute {
        name: name.to_owned(),
        column: Column::Text(rows),
    });
    let interactions = Interactions::from_columns(offsets, items, None, Some(values));
    Dataset {
        users: (0..20).map(|user| user.to_string()).collect(),
        items: (0..7).map(|item| item.to_string()).collect(),
        interactions: interactions.with_texts(texts.into()),
        ..Dataset::default()
    }
}

#[test]
fn families_are_asked_that_the_data_has_everything_for() {
    let (data, seeds) = (reviewed(), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let mut all = TextToText { backbone: encoder_decoder(), ..TextToText::default() };
    all.tokenizer = Tokens::WordPiece(Learnt { vocabulary: 400 });
    all.training.epochs = 1;
    assert!(all.problems().is_empty());
    let others = Others::default();
    let folder = tempfile::tempdir().unwrap();
    let context = context((&data, &split, &others), seeds, None);
    let context = FitContext { checkpoints: Some(folder.path()), ..context };
    let recommender = all.fit(&context).unwrap();
    let tokenizer = fs_err::read_to_string(folder.path().join("tokenizer.json")).unwrap();
    // Words of a question, of an answer, of a review and of its summary.
    for word in ["stars", "yes", "good", "card"] {
        assert!(tokenizer.contains(&format!("\"{word}\"")), "{word}");
    }
    let judged = fs_err::read_to_string(folder.path().join("tasks.json")).unwrap();
    let judged: serde_json::Value = serde_json::from_str(&judged).unwrap();
    let of = |family: &str| -> Vec<&serde_json::Value> {
        judged.as_array().unwrap().iter().filter(|task| task["family"] == family).collect()
    };
    assert_eq!(judged.as_array().unwrap().len(), 11);
    assert_eq!(of("direct")[0]["n"], 20);
    // Three of four users have written something.
    assert!(of("explanation")[0]["n"].as_u64().unwrap() < 20);
    assert!(of("explanation")[0]["text"]["bleu"].is_number());
    assert!(of("direct")[0].get("text").is_none());
    // Answers that are names are looked at for names that there are not, and no others.
    assert!((0.0..=1.0).contains(&of("sequential")[0]["invalid"].as_f64().unwrap()));
    assert!(
        of("rating").iter().chain(&of("direct")[..1]).all(|task| task.get("invalid").is_none())
    );
    let ties = TieOrder::new(7, &seeds);
    let history = [ItemId(0), ItemId(1)];
    let query = RecQuery { user: Some(UserId(0)), history: &history, candidates: None };
    let options = RankOptions { n: 7, allow_seen: false, ties: &ties };
    assert_eq!(recommender.recommend(&[query], &options).unwrap()[0].items.len(), 5);
    let shown = all.prompt(&context, &query).unwrap().unwrap();
    assert!(shown.text.starts_with("item_") && shown.text.ends_with("What is chosen next?"));
    assert_eq!((shown.items, shown.left_out), (2, 0));
    // Where there is nothing written, reviews cannot be wanted.
    let nothing = Dataset::default();
    let given = |data| Given { data, split: &split, others: &others };
    let wants = TextToText { families: vec!["review".to_owned()], ..all.clone() };
    assert!(wants.unsuitable(&given(&nothing))[0].to_string().contains("no review"));
    // Nor can anything be learnt from nobody, or be chosen by nobody.
    let nobody = Given { split: &split.few(|_| 0), ..given(&data) };
    let problems: Vec<String> = all.unsuitable(&nobody).iter().map(ToString::to_string).collect();
    assert!(problems[0].contains("no user has two interactions"), "{problems:?}");
    assert!(problems[1].contains("no user has a validation target"), "{problems:?}");
    let titles = TextToText { names: ItemNames::Titles, ..all };
    assert!(titles.unsuitable(&given(&data))[0].to_string().contains("no titles"));
}
