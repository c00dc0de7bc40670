//! Causal language models against transformers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensors;
use tastemaker_core::SeedTree;
use tastemaker_nn::adapters::{AnyAdapter, Bottleneck, Lora, Place, SOFT, SoftPrompt};
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::fused::{Lanes, Past, Precision};
use tastemaker_nn::parameters::Group;
use tastemaker_nn::text::{CausalModel, ChatFormat, TextModel, TextTokenizer, ends_of_model};
use tastemaker_nn::transformer::{Pass, Transformer};

use crate::features::numbers;
use crate::gradients::enlarge;
use crate::models::model;

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Golden {
    tiny: Vec<Tiny>,
    texts: Vec<Text>,
    prompts: Vec<Prompt>,
}

#[derive(serde::Deserialize)]
struct Tiny {
    folder: String,
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

#[derive(serde::Deserialize)]
struct Text {
    text: String,
    tokens: Vec<u32>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Prompt {
    text: String,
    tokens: Vec<u32>,
    top: Vec<u32>,
    logits: Vec<f32>,
    written: Vec<u32>,
    continuations: Vec<Vec<u32>>,
    log_probabilities: Vec<Vec<f32>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/causal.json")).unwrap()
}

pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn furthest<'a>(
    found: impl IntoIterator<Item = &'a f32>,
    expected: impl IntoIterator<Item = &'a f32>,
) -> f32 {
    found.into_iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn logits_are_those_of_transformers() {
    for Tiny { folder: name, tokens, logits } in golden().tiny {
        let model = CausalModel::read(&folder(&name), Precision::F32).unwrap();
        let states = model.states(&[&tokens], &mut Past::default(), false).unwrap();
        let found = model.logits(&states);
        assert_eq!(found.len(), tokens.len() * model.n_tokens());
        let furthest = furthest(&found, logits.iter().flatten());
        assert!(furthest < 2e-4, "{name}: a logit is {furthest} away");
    }
}

/// As models of some billions of numbers come.
#[test]
fn weights_may_be_in_several_files_that_an_index_names() {
    let (whole, parts) = (folder("llama-tiny"), tempfile::tempdir().unwrap());
    fs_err::copy(whole.join("config.json"), parts.path().join("config.json")).unwrap();
    let bytes = fs_err::read(whole.join("model.safetensors")).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let mut index = serde_json::Map::new();
    for part in 0..2 {
        let name = format!("model-0000{part}-of-00002.safetensors");
        let own = all.tensors().into_iter().enumerate().filter(|(i, _)| i % 2 == part);
        let own: Vec<_> = own.map(|(_, tensor)| tensor).collect();
        for (tensor, _) in &own {
            index.insert(tensor.clone(), name.clone().into());
        }
        fs_err::write(parts.path().join(name), safetensors::serialize(own, None).unwrap()).unwrap();
    }
    let write = |index: &serde_json::Map<String, serde_json::Value>| {
        let text = serde_json::json!({ "weight_map": index }).to_string();
        fs_err::write(parts.path().join("model.safetensors.index.json"), text).unwrap();
    };
    write(&index);
    TextModel::look_at(parts.path()).unwrap();
    let read = |path: &Path| CausalModel::read(path, Precision::F32).unwrap();
    let (one, several) = (read(&whole), read(parts.path()));
    let logits = |model: &CausalModel| {
        model.logits(&model.states(&[&[1, 2, 3]], &mut Past::default(), false).unwrap())
    };
    assert_eq!(logits(&one), logits(&several));
    assert_ne!(one.hash(), several.hash());
    // A file that is not there, and one that is elsewhere.
    for (name, expected) in [
        ("other.safetensors", "cannot read"),
        ("../x.safetensors", "a tensor is in \"../x.safetensors\", expected a file of the folder"),
    ] {
        index.insert("lm_head.weight".to_owned(), name.into());
        write(&index);
        let problem = TextModel::look_at(parts.path()).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_folder_says_with_which_tokens_its_model_ends() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": { "a": 0, "</s>": 1, "b": 5, "c": 7 }, "unk_token": "a" },
    });
    write("tokenizer.json", &tokenizer.to_string());
    let tokenizer = TextTokenizer::of_model(folder.path(), usize::MAX).unwrap();
    let ends = || ends_of_model(folder.path(), &tokenizer).unwrap();
    assert!(ends().is_empty());
    write("config.json", "{\"eos_token_id\": 7}");
    write("generation_config.json", "{\"eos_token_id\": [5, 7, 8]}");
    assert_eq!(ends(), [5, 7]);
    // What the tokenizer says comes first.
    write("tokenizer_config.json", "{\"eos_token\": {\"content\": \"</s>\"}}");
    assert_eq!(ends(), [1, 5, 7]);
}

/// In one piece, in pieces that go on from each other, or after a beginning that several share.
#[test]
fn what_was_read_before_need_not_be_read_again() {
    for Tiny { folder: name, tokens, .. } in golden().tiny {
        let model = CausalModel::read(&folder(&name), Precision::F32).unwrap();
        let width = |all: &[f32]| all.len() / tokens.len();
        let whole = model.states(&[&tokens], &mut Past::default(), false).unwrap();
        let mut past = Past::default();
        let mut pieces = vec![];
        for piece in [&tokens[..5], &tokens[5..6], &tokens[6..]] {
            pieces.extend(model.states(&[piece], &mut past, true).unwrap());
        }
        assert_eq!(past.len(), tokens.len());
        assert!(furthest(&pieces, &whole) < 1e-4, "{name}");
        let mut past = Past::default();
        model.states(&[&tokens[..5]], &mut past, true).unwrap();
        let others = [7, 7, 7];
        let together =
            model.states(&[&others, &tokens[5..], &others[..1]], &mut past, false).unwrap();
        assert_eq!(past.len(), 5);
        let width = width(&whole);
        let own = &together[others.len() * width..(others.len() + tokens.len() - 5) * width];
        assert!(furthest(own, &whole[5 * width..]) < 1e-4, "{name}");
    }
}

#[test]
fn log_probabilities_are_those_of_whole_sequences() {
    for Tiny { folder: name, tokens, logits } in golden().tiny {
        let model = CausalModel::read(&folder(&name), Precision::F32).unwrap();
        let (prompt, rest) = tokens.split_at(4);
        let found = model.log_probabilities(prompt, &[&rest[..3], &[], rest]).unwrap();
        assert_eq!(found[0], found[2][..3]);
        assert!(found[1].is_empty());
        for (i, (found, token)) in found[2].iter().zip(rest).enumerate() {
            let logits: Vec<f64> = logits[3 + i].iter().map(|&logit| f64::from(logit)).collect();
            let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
            let expected = logits[*token as usize] - total.ln();
            assert!((f64::from(*found) - expected).abs() < 2e-4, "{name}: {found}, {expected}");
        }
    }
}

/// Longer than what a task takes, so that the pieces have to fit together.
#[test]
fn answers_to_several_prompts_are_those_to_each_of_them() {
    let path = folder("llama-tiny");
    let one = CausalModel::read(&path, Precision::F32).unwrap();
    let all = TextModel::read(&path, Precision::F32).unwrap();
    // With tokens in common, and without; one of which is a token alone.
    for prompts in [
        [&[3, 17, 0, 39, 8][..], &[3, 17, 8, 21], &[3, 17, 0, 39, 2, 2, 1]],
        [&[3, 17], &[5, 17], &[3, 5, 5]],
        [&[3], &[3, 17], &[5]],
    ] {
        answers_are_those_to_each_prompt((&one, &all), &prompts.map(<[u32]>::to_vec));
    }
    let error = all.log_probabilities(&[vec![3], vec![]], &[(0, &[1])]).unwrap_err().to_string();
    assert!(error.contains("a prompt is empty"), "{error}");
}

fn answers_are_those_to_each_prompt(
    (one, all): (&CausalModel, &TextModel),
    prompts: &[Vec<u32>; 3],
) {
    let words: [&[u32]; 5] = [&[5], &[6], &[5, 30, 1], &[5, 30, 2], &[]];
    let answers: Vec<(usize, &[u32])> =
        [2, 0, 1].into_iter().flat_map(|prompt| words.map(|word| (prompt, word))).collect();
    let found = all.log_probabilities(prompts, &answers).unwrap();
    for (found, (prompt, answer)) in found.iter().zip(&answers) {
        let expected = one.log_probabilities(&prompts[*prompt], &[answer]).unwrap().remove(0);
        assert_eq!(found.len(), answer.len());
        assert!(furthest(found, &expected) < 1e-4, "{prompt}, {answer:?}");
    }
    for unknown in [&[40][..], &[SOFT]] {
        let error = all.log_probabilities(prompts, &[(0, unknown)]).unwrap_err().to_string();
        assert!(error.contains("expected one below 40, which the model knows"), "{error}");
    }
}

#[test]
fn long_prompts_are_read_as_short_ones_are() {
    let model = CausalModel::read(&folder("llama-tiny"), Precision::F32).unwrap();
    let tokens: Vec<u32> = (0..64).map(|i| i * 7 % 40).collect();
    let width = model.states(&[&tokens[..1]], &mut Past::default(), false).unwrap().len();
    let whole = model.states(&[&tokens], &mut Past::default(), false).unwrap();
    for first in [1, 30, 50] {
        let mut past = Past::default();
        model.states(&[&tokens[..first]], &mut past, true).unwrap();
        let rest = &tokens[first..];
        // Three times the same, together more than what a task takes.
        let states = model.states(&[rest, rest, rest], &mut past, false).unwrap();
        for states in states.chunks_exact(rest.len() * width) {
            let away = furthest(states, &whole[first * width..]);
            assert!(away < 1e-4, "after {first}: {away}");
        }
    }
    // The logits of one state at a time and of many together.
    let logits = model.logits(&whole);
    for (state, logits) in whole.chunks_exact(width).zip(logits.chunks_exact(40)) {
        assert!(furthest(&model.logits(state), logits) < 1e-5);
    }
}

#[test]
fn the_tokenizer_in_a_gguf_file_is_that_of_transformers() {
    let Some(folder) = model("smollm2-135m-instruct") else { return };
    let tokenizer = TextTokenizer::read_gguf(&folder.join(FILE)).unwrap();
    let texts = golden().texts;
    let prompts = golden().prompts.into_iter();
    let prompts = prompts.map(|Prompt { text, tokens, .. }| Text { text, tokens });
    for Text { text, tokens } in texts.into_iter().chain(prompts) {
        assert_eq!(tokenizer.encode(&[&text]).unwrap().remove(0), tokens, "{text:?}");
        let special = ["<|im_start|>", "<|im_end|>"];
        let plain = special.iter().fold(text, |text, special| text.replace(special, ""));
        assert_eq!(tokenizer.decode(&tokens).unwrap(), plain);
    }
}

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

#[test]
fn smollm2_answers_as_in_transformers() {
    let Some(folder) = model("smollm2-135m-instruct") else { return };
    let model = CausalModel::read(&folder.join(FILE), Precision::F32).unwrap();
    for prompt in golden().prompts {
        let states = model.states(&[&prompt.tokens], &mut Past::default(), false).unwrap();
        let logits = model.logits(&states[states.len() - states.len() / prompt.tokens.len()..]);
        let top = prompt.top.iter().map(|&token| &logits[token as usize]);
        let away = furthest(top, &prompt.logits);
        assert!(away < 5e-3, "{:?}: a logit is {away} away", prompt.text);
        let continuations: Vec<&[u32]> = prompt.continuations.iter().map(Vec::as_slice).collect();
        let found = model.log_probabilities(&prompt.tokens, &continuations).unwrap();
        let away = furthest(found.iter().flatten(), prompt.log_probabilities.iter().flatten());
        assert!(away < 5e-3, "{:?}: a log probability is {away} away", prompt.text);
        let written = model.generate(&prompt.tokens, prompt.written.len(), &[2]).unwrap();
        assert_eq!(written, prompt.written, "{:?}", prompt.text);
    }
}

#[test]
fn a_file_that_is_no_such_model_is_refused_with_its_name() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("model.gguf");
    fs_err::write(&path, b"GGUF and no more").unwrap();
    let problem = CausalModel::read(&path, Precision::F32).unwrap_err().to_string();
    assert!(problem.contains("model.gguf: this is no whole GGUF file"), "{problem}");
    let model = CausalModel::read(&folder("llama-tiny"), Precision::F32).unwrap();
    let too_long = vec![1; model.longest() + 1];
    let problem = model.states(&[&too_long], &mut Past::default(), false).unwrap_err().to_string();
    assert_eq!(problem, "the number of tokens is 65, expected 64 at most, which the model reads");
    let problem = model.states(&[&[40]], &mut Past::default(), false).unwrap_err().to_string();
    assert_eq!(problem, "a token is 40, expected one below 40, which the model knows");
}

/// The states of a model that learns, and those that it is read with once it has learnt.
fn same_states(what: &str, model: Transformer, tokens: &[u32]) -> Vec<f32> {
    let lanes = Arc::new(Lanes::new(vec![tokens.len()]));
    let learning = model.forward(tokens.into(), &lanes, Pass::default()).unwrap();
    let learning: Vec<f32> = learning.flatten_all().unwrap().to_vec1().unwrap();
    let read = CausalModel::of(model, Precision::F32, "it").unwrap();
    let mut past = Past::default();
    let (first, rest) = tokens.split_at(3);
    let mut states = read.states(&[first], &mut past, true).unwrap();
    states.extend(read.states(&[rest], &mut past, false).unwrap());
    assert!(furthest(&states, &learning) < 1e-4, "{what}: {}", furthest(&states, &learning));
    states
}

/// A small model with biases and shared heads of keys, of numbers without a pattern.
fn write_qwen2(folder: &Path) {
    let (width, inner, keys, n_tokens) = (32, 40, 16, 20);
    let config = serde_json::json!({
        "model_type": "qwen2", "hidden_size": width, "num_hidden_layers": 2, "hidden_act": "silu",
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": inner,
        "rms_norm_eps": 1e-6, "vocab_size": n_tokens, "max_position_embeddings": 64,
        "rope_theta": 500.0, "tie_word_embeddings": true,
    });
    fs_err::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), vec![n_tokens, width]),
        ("model.norm.weight".to_owned(), vec![width]),
    ];
    for layer in 0..2 {
        for (part, dimensions) in [
            ("self_attn.q_proj.weight", vec![width, width]),
            ("self_attn.k_proj.weight", vec![keys, width]),
            ("self_attn.v_proj.weight", vec![keys, width]),
            ("self_attn.q_proj.bias", vec![width]),
            ("self_attn.k_proj.bias", vec![keys]),
            ("self_attn.v_proj.bias", vec![keys]),
            ("self_attn.o_proj.weight", vec![width, width]),
            ("input_layernorm.weight", vec![width]),
            ("mlp.gate_proj.weight", vec![inner, width]),
            ("mlp.up_proj.weight", vec![inner, width]),
            ("mlp.down_proj.weight", vec![width, inner]),
            ("post_attention_layernorm.weight", vec![width]),
        ] {
            all.push((format!("model.layers.{layer}.{part}"), dimensions));
        }
    }
    write_tensors(folder, all);
}

/// A small GPT-2, of numbers without a pattern.
fn write_gpt2(folder: &Path) {
    let (width, inner, n_tokens) = (32, 40, 20);
    let config = serde_json::json!({
        "model_type": "gpt2", "n_embd": width, "n_layer": 2, "n_head": 4, "n_inner": inner,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "vocab_size": n_tokens,
        "n_positions": 64, "tie_word_embeddings": true,
    });
    fs_err::write(folder.join("config.json"), config.to_string()).unwrap();
    let with_bias = |name: &str, weight: Vec<usize>| {
        let bias = (format!("transformer.{name}.bias"), weight[weight.len() - 1..].to_vec());
        [(format!("transformer.{name}.weight"), weight), bias]
    };
    let mut all = vec![
        ("transformer.wte.weight".to_owned(), vec![n_tokens, width]),
        ("transformer.wpe.weight".to_owned(), vec![64, width]),
    ];
    all.extend(with_bias("ln_f", vec![width]));
    for layer in 0..2 {
        for (part, dimensions) in [
            ("ln_1", vec![width]),
            ("attn.c_attn", vec![width, 3 * width]),
            ("attn.c_proj", vec![width, width]),
            ("ln_2", vec![width]),
            ("mlp.c_fc", vec![width, inner]),
            ("mlp.c_proj", vec![inner, width]),
        ] {
            all.extend(with_bias(&format!("h.{layer}.{part}"), dimensions));
        }
    }
    write_tensors(folder, all);
}

fn write_tensors(folder: &Path, all: Vec<(String, Vec<usize>)>) {
    let with_values = |(seed, (name, dimensions)): (usize, (String, Vec<usize>))| {
        let values = numbers(dimensions.iter().product(), seed);
        (name, (dimensions, values.into_iter().map(|x| 0.3 * x).collect()))
    };
    let tensors = all.into_iter().enumerate().map(with_values).collect();
    Checkpoint { about: (), tensors }.write(&folder.join("model.safetensors")).unwrap();
}

/// What learns begins as the model that was read, and is read as what it has become.
fn goes_on_learning(path: &Path, tokens: &[u32]) {
    let model = CausalModel::read(path, Precision::F32).unwrap();
    let expected = model.states(&[tokens], &mut Past::default(), false).unwrap();
    let found = same_states("as it was", CausalModel::trainable(path).unwrap(), tokens);
    assert!(furthest(&found, &expected) < 1e-4);
    let soft = |inner_size| SoftPrompt { tokens: 2, inner_size, place: Place::Before };
    soft_tokens_stand_where_they_are_said(path, tokens, &expected);
    for (what, adapter) in [
        ("lora", AnyAdapter::Lora(Lora { rank: 2, ..Lora::default() })),
        ("soft prompt", AnyAdapter::SoftPrompt(soft(0))),
        ("soft prompt by a network", AnyAdapter::SoftPrompt(soft(4))),
    ] {
        let mut model = CausalModel::trainable(path).unwrap();
        model.insert(&adapter, &SeedTree::new(2)).unwrap();
        enlarge(&model, |name| !Group::of(name).is_backbone());
        let found = same_states(what, model, tokens);
        assert!(furthest(&found, &expected) > 1e-3, "{what} does nothing");
    }
}

/// Vectors within, which are those of some tokens, are read as these tokens are.
fn soft_tokens_stand_where_they_are_said(path: &Path, tokens: &[u32], expected: &[f32]) {
    let mut model = CausalModel::trainable(path).unwrap();
    let soft = SoftPrompt { tokens: 2, inner_size: 0, place: Place::Within };
    model.insert(&AnyAdapter::SoftPrompt(soft), &SeedTree::new(2)).unwrap();
    let table = model.parameters().values("embedding.token").unwrap();
    let width = model.shape().embedding_size;
    let scale = if model.shape().style.after_norms { (width as f32).sqrt() } else { 1.0 };
    let of = |token: u32| table[token as usize * width..][..width].iter().map(|x| x * scale);
    let vectors: Vec<f32> = of(tokens[4]).chain(of(tokens[7])).collect();
    let names = model.parameters().iter().map(|(name, _)| name.to_owned());
    let name = names.into_iter().find(|name| name.starts_with("prompt.soft-prompt-within"));
    model.parameters().replace(&name.unwrap(), &vectors).unwrap();
    let mut with_soft = tokens.to_vec();
    (with_soft[4], with_soft[7]) = (SOFT, SOFT + 1);
    let found = same_states("soft tokens", model, &with_soft);
    assert!(furthest(&found, expected) < 1e-4, "{}", furthest(&found, expected));
    let read = CausalModel::read(path, Precision::F32).unwrap();
    let error = read.states(&[&with_soft], &mut Past::default(), false).unwrap_err().to_string();
    assert!(error.contains("a soft token is 0, expected one of the 0 it has"), "{error}");
}

#[test]
fn a_model_that_goes_on_learning_is_the_one_that_was_read() {
    let tokens: Vec<u32> = (0..15).map(|i| i * i % 20).collect();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path();
    write_gpt2(path);
    goes_on_learning(path, &tokens);
    write_qwen2(path);
    goes_on_learning(path, &tokens);
    // A head of its own, places that turn more slowly, heads wider together than states and their
    // norms, norms of what is added, and a window.
    for name in ["llama-tiny", "llama3-tiny", "qwen2-tiny", "qwen3-tiny", "gemma3-tiny"] {
        goes_on_learning(&folder(name), &tokens);
    }
    let mut model = CausalModel::trainable(path).unwrap();
    model.insert(&AnyAdapter::Bottleneck(Bottleneck::default()), &SeedTree::new(2)).unwrap();
    let error = model.frozen(Precision::F32).unwrap_err().to_string();
    assert!(error.contains("a language model over text"), "{error}");
    let error = CausalModel::of(model, Precision::F32, "it").unwrap_err().to_string();
    assert!(error.contains("bottleneck") && error.contains("what is merged"), "{error}");
}

#[derive(serde::Deserialize)]
struct OfGemma {
    texts: Vec<Text>,
    prompts: Vec<OfGemmaPrompt>,
}

#[derive(serde::Deserialize)]
struct OfGemmaPrompt {
    text: String,
    tokens: Vec<u32>,
    top: Vec<u32>,
    logits: Vec<f32>,
    written: Vec<u32>,
}

#[test]
fn gemma_reads_as_llama_cpp_and_says_what_transformers_says() {
    let Some(folder) = model("gemma3-270m") else { return };
    let path = folder.join("gemma-3-270m-q4_k_m.gguf");
    let golden: OfGemma = serde_json::from_str(include_str!("../golden/gemma.json")).unwrap();
    let tokenizer = TextTokenizer::of_model(&path, usize::MAX).unwrap();
    for Text { text, tokens } in golden.texts {
        let found = tokenizer.encode_as_it_is(&[&text]).unwrap().concat();
        assert_eq!(found, tokens, "{text:?}");
        assert_eq!(tokenizer.decode(&tokens).unwrap(), text);
    }
    // It has learnt no conversations, and ends its texts all the same.
    assert!(ChatFormat::of_model(&path).unwrap().is_none());
    let ends = ends_of_model(&path, &tokenizer).unwrap();
    assert_eq!(ends.first().copied(), tokenizer.token("<eos>"));
    let model = CausalModel::read(&path, Precision::F32).unwrap();
    let after = |tokens: &[u32]| {
        let states = model.states(&[tokens], &mut Past::default(), false).unwrap();
        model.logits(&states[states.len() - 640..])
    };
    for OfGemmaPrompt { text, tokens, top, logits, written } in golden.prompts {
        assert_eq!(tokenizer.encode(&[&text]).unwrap().concat(), tokens);
        let found = after(&tokens);
        for (token, expected) in top.iter().zip(&logits) {
            let found = found[*token as usize];
            assert!((found - expected).abs() < 5e-3, "{text:.40}: {found}, {expected}");
        }
        let own = model.generate(&tokens, written.len(), &[]).unwrap();
        if let Some(at) = own.iter().zip(&written).position(|(a, b)| a != b) {
            // Where they part, both tokens are equally likely.
            let found = after(&[&tokens[..], &written[..at]].concat());
            let gap = found[own[at] as usize] - found[written[at] as usize];
            assert!(gap < 1e-2, "{text:.40}: {gap} after {at} tokens");
        }
    }
}
