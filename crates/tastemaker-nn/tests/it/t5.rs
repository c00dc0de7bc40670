//! T5 against transformers.

use std::path::PathBuf;

use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::T5;

#[derive(serde::Deserialize)]
struct Tiny {
    folder: String,
    greedy: usize,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Case {
    prompt: Vec<u32>,
    answer: Vec<u32>,
    log_probabilities: Vec<f32>,
    written: Vec<u32>,
}

fn golden() -> Vec<Tiny> {
    serde_json::from_str(include_str!("../golden/t5.json")).unwrap()
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn probabilities_and_answers_are_those_of_transformers() {
    for Tiny { folder: name, greedy, cases } in golden() {
        let model = T5::read(&folder(&name), Precision::F32).unwrap();
        let prompts: Vec<Vec<u32>> = cases.iter().map(|case| case.prompt.clone()).collect();
        // Several answers to a prompt, one of them the beginning of another, and none.
        let mut answers: Vec<(usize, &[u32])> =
            cases.iter().enumerate().map(|(i, case)| (i, &case.answer[..])).collect();
        answers.extend([(0, &cases[0].answer[..2]), (1, &[][..])]);
        let found = model.log_probabilities(&prompts, &answers).unwrap();
        for (found, case) in found.iter().zip(&cases) {
            assert_eq!(found.len(), case.answer.len());
            for (found, expected) in found.iter().zip(&case.log_probabilities) {
                assert!((found - expected).abs() < 1e-4, "{name}: {found}, {expected}");
            }
        }
        assert_eq!(found[3], found[0][..2]);
        assert!(found[4].is_empty());
        for case in &cases {
            assert_eq!(model.generate(&case.prompt, greedy, &[1]).unwrap(), case.written, "{name}");
        }
        assert_eq!(model.generate(&prompts[0], 0, &[]).unwrap(), [0; 0]);
    }
}

#[test]
fn what_older_files_say_of_tables_is_what_newer_ones_say_of_scales() {
    let [_, of_1_1] = &golden()[..] else { panic!("two models") };
    let there = tempfile::tempdir().unwrap();
    let config = fs_err::read_to_string(folder(&of_1_1.folder).join("config.json")).unwrap();
    let (new, old) = ("\"scale_decoder_outputs\": false", "\"tie_word_embeddings\": false");
    let config = config.replace("\"tie_word_embeddings\": true,", "").replace(new, old);
    assert!(config.contains(old) && !config.contains("true,\n  \"scale"));
    fs_err::write(there.path().join("config.json"), config).unwrap();
    let weights = "model.safetensors";
    fs_err::copy(folder(&of_1_1.folder).join(weights), there.path().join(weights)).unwrap();
    let model = T5::read(there.path(), Precision::F32).unwrap();
    for case in &of_1_1.cases {
        assert_eq!(model.generate(&case.prompt, of_1_1.greedy, &[1]).unwrap(), case.written);
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let name = &golden()[0].folder;
    let model = T5::read(&folder(name), Precision::F32).unwrap();
    assert!(model.generate(&[], 3, &[]).is_err(), "an empty prompt");
    assert!(model.generate(&vec![2; 513], 3, &[]).is_err(), "a long prompt");
    assert!(model.generate(&[40], 3, &[]).is_err(), "an unknown token");
    assert!(model.log_probabilities(&[vec![2]], &[(0, &[40])]).is_err(), "an unknown answer");
    assert!(T5::is_at(&folder(name)) && !T5::is_at(&folder("gpt2-tiny")));

    let there = tempfile::tempdir().unwrap();
    let config = fs_err::read_to_string(folder(name).join("config.json")).unwrap();
    for (old, new, expected) in [
        ("\"relu\"", "\"gated-silu\"", "gated-silu"),
        ("\"d_kv\": 8", "\"d_kv\": 16", "3 heads of 16 numbers in states of 24"),
        ("_num_buckets\": 32", "_num_buckets\": 16", "(16, 128)"),
        ("\"d_ff\": 40", "\"d_ff\": 48", "DenseReluDense.wi"),
        ("\"t5\"", "\"mt5\"", "mt5"),
    ] {
        assert!(config.contains(old));
        fs_err::write(there.path().join("config.json"), config.replace(old, new)).unwrap();
        let weights = "model.safetensors";
        fs_err::copy(folder(name).join(weights), there.path().join(weights)).unwrap();
        let error = T5::read(there.path(), Precision::F32).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
