use tastemaker_eval::generation::{
    Pair, bleu, chrf, distinct, rouge_l, rouge_n, unique_sentence_ratio,
};

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Golden {
    pairs: Vec<(String, String)>,
    bleu: f64,
    chrf: f64,
    #[serde(rename = "rouge-1")]
    rouge_1: f64,
    #[serde(rename = "rouge-2")]
    rouge_2: f64,
    rouge_l: f64,
}

#[test]
fn generated_texts_are_judged_as_by_sacrebleu_and_rouge_score() {
    let golden: Vec<Golden> =
        serde_json::from_str(include_str!("../golden/generation.json")).unwrap();
    for case in golden {
        let pairs: Vec<Pair<'_>> = case.pairs.iter().map(|(a, b)| (&a[..], &b[..])).collect();
        for (what, found, expected) in [
            ("BLEU", bleu(&pairs), case.bleu),
            ("chrF", chrf(&pairs), case.chrf),
            ("ROUGE-1", rouge_n(&pairs, 1), case.rouge_1),
            ("ROUGE-2", rouge_n(&pairs, 2), case.rouge_2),
            ("ROUGE-L", rouge_l(&pairs), case.rouge_l),
        ] {
            assert!(
                (found - expected).abs() < 1e-9,
                "{what}: {found} and not {expected}, {pairs:?}"
            );
        }
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
