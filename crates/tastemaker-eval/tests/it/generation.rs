use std::collections::BTreeSet;

use proptest::prelude::*;
use tastemaker_eval::generation::{
    Pair, bits_per_byte, bleu, chrf, distinct, feature_coverage, feature_diversity,
    feature_matching, meteor, perplexity, rouge_l, rouge_n, unique_sentence_ratio,
};

#[derive(serde::Deserialize)]
struct Golden {
    sets: Vec<Set>,
    likelihood: Likelihood,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Set {
    pairs: Vec<(String, String)>,
    bleu: f64,
    chrf: f64,
    #[serde(rename = "rouge-1")]
    rouge_1: f64,
    #[serde(rename = "rouge-2")]
    rouge_2: f64,
    rouge_l: f64,
    meteor: f64,
    features: Features,
}

#[derive(serde::Deserialize)]
struct Features {
    known: Vec<String>,
    wanted: Vec<String>,
    coverage: f64,
    matching: f64,
    diversity: f64,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Likelihood {
    losses: Vec<f64>,
    bytes: usize,
    perplexity: f64,
    bits_per_byte: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/generation.json")).expect("the golden values")
}

fn near(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{what}: {found} and not {expected}");
}

#[test]
fn generated_texts_are_judged_as_by_sacrebleu_rouge_score_and_nltk() {
    for case in golden().sets {
        let pairs: Vec<Pair<'_>> = case.pairs.iter().map(|(a, b)| (&a[..], &b[..])).collect();
        near("BLEU", bleu(&pairs), case.bleu);
        near("chrF", chrf(&pairs), case.chrf);
        near("ROUGE-1", rouge_n(&pairs, 1), case.rouge_1);
        near("ROUGE-2", rouge_n(&pairs, 2), case.rouge_2);
        near("ROUGE-L", rouge_l(&pairs), case.rouge_l);
        near("METEOR", meteor(&pairs), case.meteor);
    }
}

#[test]
fn features_are_counted_as_by_their_definitions() {
    for case in golden().sets {
        let texts: Vec<&str> = case.pairs.iter().map(|(text, _)| &text[..]).collect();
        let features: BTreeSet<&str> = case.features.known.iter().map(String::as_str).collect();
        let wanted = case.features.wanted.iter().map(String::as_str);
        let pairs: Vec<Pair<'_>> = texts.iter().copied().zip(wanted).collect();
        near("FCR", feature_coverage(&texts, &features), case.features.coverage);
        near("FMR", feature_matching(&pairs), case.features.matching);
        near("DIV", feature_diversity(&texts, &features), case.features.diversity);
    }
}

#[test]
fn perplexity_is_that_of_torchmetrics() {
    let case = golden().likelihood;
    // Theirs is in 32 bits.
    let found = perplexity(&case.losses).unwrap();
    assert!((found / case.perplexity - 1.0).abs() < 1e-6, "{found}");
    near("bits per byte", bits_per_byte(&case.losses, case.bytes).unwrap(), case.bits_per_byte);
    // Each of four tokens as likely as any other of 16: four bits a token, two a byte.
    let losses = [16.0_f64.ln(); 4];
    near("perplexity", perplexity(&losses).unwrap(), 16.0);
    near("bits per byte", bits_per_byte(&losses, 8).unwrap(), 2.0);
    assert_eq!((perplexity(&[]), bits_per_byte(&losses, 0)), (None, None));
}

#[test]
fn of_no_texts_every_value_is_zero() {
    let none = BTreeSet::new();
    for value in [
        meteor(&[]),
        meteor(&[("", "")]),
        feature_coverage(&["a"], &none),
        feature_matching(&[]),
        feature_diversity(&["a"], &BTreeSet::from(["a"])),
    ] {
        near("of nothing", value, 0.0);
    }
}

#[test]
fn variety_is_what_is_different_of_all() {
    let texts = ["a b a b", "a b a b", "c"];
    // ab, ba, ab twice over: two of six.
    assert!((distinct(&texts, 2) - 2.0 / 6.0).abs() < 1e-12);
    assert!((unique_sentence_ratio(&texts) - 2.0 / 3.0).abs() < 1e-12);
    assert!((distinct(&[], 1) - 0.0).abs() < 1e-12);
}

/// A text of a few words.
fn text() -> impl Strategy<Value = String> {
    let word =
        prop::sample::select(vec!["gift", "gifts", "card", "loved", "loves", "a", "it", "."]);
    prop::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

type Texts = Vec<(String, String)>;

/// Generated and right texts, and the same in another order.
fn texts() -> impl Strategy<Value = (Texts, Texts)> {
    let pairs = prop::collection::vec((text(), text()), 1..8);
    pairs.prop_flat_map(|pairs| (Just(pairs.clone()), Just(pairs).prop_shuffle()))
}

fn values(pairs: &[(String, String)]) -> [f64; 4] {
    let features = BTreeSet::from(["gift", "card", "a"]);
    let pairs: Vec<Pair<'_>> = pairs.iter().map(|(a, b)| (&a[..], &b[..])).collect();
    let own: Vec<&str> = pairs.iter().map(|(text, _)| *text).collect();
    let about: Vec<Pair<'_>> = own.iter().map(|text| (*text, "card")).collect();
    [
        meteor(&pairs),
        feature_coverage(&own, &features),
        feature_matching(&about),
        feature_diversity(&own, &features) / 3.0,
    ]
}

proptest! {
    #[test]
    fn values_stay_in_their_range((pairs, _) in texts()) {
        let found = values(&pairs);
        prop_assert!(found.iter().all(|value| (0.0..=1.0).contains(value)), "{found:?}");
    }

    #[test]
    fn the_order_of_texts_changes_nothing((pairs, other) in texts()) {
        for (found, other) in values(&pairs).iter().zip(values(&other)) {
            prop_assert!((found - other).abs() < 1e-12, "{found} {other}");
        }
    }

    #[test]
    fn of_m_words_that_are_right_meteor_lacks_one_run(text in text()) {
        let m = text.split_whitespace().count();
        let expected = if m == 0 { 0.0 } else { 1.0 - 0.5 / (m as f64).powi(3) };
        prop_assert!((meteor(&[(&text, &text)]) - expected).abs() < 1e-12);
    }
}
