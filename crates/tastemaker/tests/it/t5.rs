//! A T5 of random numbers that is told of a user.

use std::path::Path;

use serde_json::json;
use tastemaker::core::splits::{LeaveLastOut, Split};
use tastemaker::core::{ItemId, SeedTree};
use tastemaker::nn::fused::Precision;
use tastemaker::nn::text::{T5, TextTokenizer};
use tastemaker::recommenders::{FitRecommender, Given, Others, TextLanguageModel, Tuning};
use tastemaker::verbalizers::{
    AnswerWords, AnyVerbalizer, ConstrainedTitles, Likelihood, WrittenTitles,
};

use crate::text::{asked, data, told};

const TITLES: [&str; 5] =
    ["Star Trek: The Motion Picture", "Star Wars", "Pride and Prejudice", "Sense and", "Alien"];

/// The small model of the crate below, with a tokenizer that knows some words and ends texts as T5's.
fn write_model(folder: &Path) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tastemaker-nn/tests/golden/t5-tiny");
    for file in ["config.json", "model.safetensors"] {
        fs_err::copy(own.join(file), folder.join(file)).unwrap();
    }
    let text = TITLES.join(" ");
    let mut words = vec!["<pad>", "</s>", "<unk>", "Sensibility", "Yes", "No", "yes", "no"];
    words.extend(text.split(' '));
    words.dedup();
    // The model knows forty.
    let others: Vec<String> = (words.len()..40).map(|i| format!("word-{i}")).collect();
    words.extend(others.iter().map(String::as_str));
    let vocabulary: serde_json::Map<_, _> =
        words.iter().enumerate().map(|(i, word)| ((*word).to_owned(), json!(i))).collect();
    let special = |id: usize| {
        json!({
            "id": id, "content": words[id], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        })
    };
    let end = json!({ "SpecialToken": { "id": "</s>", "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0), special(1)], "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "decoder": null,
        "post_processor": {
            "type": "TemplateProcessing", "single": [text, end], "pair": [text, end],
            "special_tokens": { "</s>": { "id": "</s>", "ids": [1], "tokens": ["</s>"] } },
        },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" },
    });
    fs_err::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

#[test]
fn each_verbalizer_reads_what_the_model_says() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let model = T5::read(folder.path(), Precision::F32).unwrap();
    let tokenizer = TextTokenizer::of_model(folder.path(), usize::MAX).unwrap();
    let tokens = |text: &str| tokenizer.encode_as_it_is(&[text]).unwrap().remove(0);
    let data = data();
    let title = |item: ItemId| data.catalog.title(item).unwrap().to_owned();
    let sum = |prompt: &[u32], answer: &[u32]| {
        let found = model.log_probabilities(&[prompt.to_vec()], &[(0, answer)]).unwrap();
        found[0].iter().sum::<f32>()
    };
    let ask = |template, verbalizer, candidates: Option<&[u32]>| {
        asked(&told(template, verbalizer, folder.path()), (&[0, 3], candidates), false)
    };

    let settings = Likelihood { calibrated: false, ..Likelihood::default() };
    let likelihood = AnyVerbalizer::Likelihood(settings);
    let (list, shown) = ask("chosen-in-order", likelihood, Some(&[5, 1, 4]));
    assert_eq!(shown.tokens.last(), Some(&1), "the prompt ends as T5's do");
    assert_eq!(list.items.len(), 3);
    for (item, score) in list.items.iter().zip(&list.scores) {
        let title = tokens(&title(*item));
        let expected = sum(&shown.tokens, &title) / title.len() as f32;
        assert!((score - expected).abs() < 1e-4, "{score} and not {expected}");
    }

    // With a beam for every title it is exact; titles end by the model's own token.
    let constrained = AnyVerbalizer::ConstrainedTitles(ConstrainedTitles::default());
    let (list, shown) = ask("chosen-in-order", constrained, None);
    assert_eq!(list.items.len(), 3, "all that have a title and were not met");
    for (item, score) in list.items.iter().zip(&list.scores) {
        let expected = sum(&shown.tokens, &[&tokens(&title(*item))[..], &[1]].concat());
        assert!((score - expected).abs() < 1e-3, "{score} and not {expected}");
    }

    let words = AnyVerbalizer::AnswerWords(AnswerWords {
        good: vec!["Yes".to_owned(), "yes".to_owned()],
        bad: vec!["No".to_owned()],
    });
    let (list, shown) = ask("tallrec", words, Some(&[5, 4]));
    let first = shown.text.contains("\"Alien\"").then_some("Alien").unwrap();
    for (item, score) in list.items.iter().zip(&list.scores) {
        let text = shown.text.replace(first, &title(*item));
        let prompt = tokenizer.encode(&[&text]).unwrap().remove(0);
        let [yes, small, no] = ["Yes", "yes", "No"].map(|word| sum(&prompt, &tokens(word)).exp());
        let expected = (yes + small).ln() - no.ln();
        assert!((score - expected).abs() < 1e-3, "{score} and not {expected}");
    }

    let written = AnyVerbalizer::WrittenTitles(WrittenTitles::default());
    let (list, _) = ask("chosen-in-order", written, Some(&[5, 1, 4]));
    assert!(list.named > 0, "something was written");
}

#[test]
fn it_does_not_learn_here() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let data = data();
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    let given = Given { data: &data, split: &split, others: &Others::default() };
    let likelihood = AnyVerbalizer::Likelihood(Likelihood::default());
    let settings = told("chosen-in-order", likelihood, folder.path());
    assert!(settings.unsuitable(&given).is_empty());
    let settings = TextLanguageModel { tuning: Some(Tuning::default()), ..settings };
    let problems: Vec<String> =
        settings.unsuitable(&given).iter().map(ToString::to_string).collect();
    assert!(problems.len() == 1 && problems[0].contains("T5"), "{problems:?}");
}
