//! What causal language models learn from, against torch.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use tastemaker_core::SeedTree;
use tastemaker_nn::adapters::{AnyAdapter, Lora};
use tastemaker_nn::fused::{Lanes, Precision};
use tastemaker_nn::gradients::Gradients;
use tastemaker_nn::text::CausalModel;
use tastemaker_nn::transformer::{OUTPUT, Pass, TABLE, Transformer};

use crate::causal::folder;
use crate::models::model;

#[derive(serde::Deserialize)]
struct Golden {
    folder: String,
    tokens: Vec<u32>,
    from: usize,
    loss: f32,
    /// Of each weight's gradient its product with sin(0.37 i), and its largest number.
    gradients: BTreeMap<String, [f64; 2]>,
}

/// The mean loss of the tokens from the one at `from` on.
fn loss(model: &Transformer, tokens: &[u32], from: usize) -> Tensor {
    let (read, asked) = (&tokens[..tokens.len() - 1], tokens[from..].to_vec());
    let lanes = Arc::new(Lanes::new(vec![read.len()]));
    let states = model.forward(read.into(), &lanes, Pass::default()).unwrap();
    let states = states.narrow(0, from - 1, asked.len()).unwrap();
    let n_tokens = model.parameters().get(TABLE).dims()[0];
    model.table(Pass::default()).softmax(&states, asked, n_tokens).unwrap()
}

/// Which of our weights one of transformers' is, of which of so many parts that stand one below the
/// other.
fn ours(name: &str) -> (String, (usize, usize)) {
    let parts: Vec<&str> = name.split('.').collect();
    let (layer, within, kind) = match parts[..] {
        ["model", "embed_tokens", _] | ["transformer", "wte", _] => {
            return (TABLE.to_owned(), (0, 1));
        }
        ["transformer", "wpe", _] => return ("embedding.position".to_owned(), (0, 1)),
        ["lm_head", _] => return (OUTPUT.to_owned(), (0, 1)),
        ["model", "norm", kind] | ["transformer", "ln_f", kind] => {
            return (format!("norm.{kind}"), (0, 1));
        }
        ["model", "layers", layer, ref within @ .., kind]
        | ["transformer", "h", layer, ref within @ .., kind] => (layer, within.join("."), kind),
        _ => panic!("{name}"),
    };
    let (own, part) = match &within[..] {
        "self_attn.q_proj" => ("attention.qkv", (0, 3)),
        "self_attn.k_proj" => ("attention.qkv", (1, 3)),
        "self_attn.v_proj" => ("attention.qkv", (2, 3)),
        "attn.c_attn" => ("attention.qkv", (0, 1)),
        "self_attn.o_proj" | "attn.c_proj" => ("attention.out", (0, 1)),
        "self_attn.q_norm" => ("attention.query-norm", (0, 1)),
        "self_attn.k_norm" => ("attention.key-norm", (0, 1)),
        "input_layernorm" | "ln_1" => ("attention-norm", (0, 1)),
        "post_attention_layernorm" => ("attention.after-norm", (0, 1)),
        "pre_feedforward_layernorm" | "ln_2" => ("feed-forward-norm", (0, 1)),
        "post_feedforward_layernorm" => ("feed-forward.after-norm", (0, 1)),
        "mlp.gate_proj" => ("feed-forward.in", (0, 2)),
        "mlp.up_proj" => ("feed-forward.in", (1, 2)),
        "mlp.c_fc" => ("feed-forward.in", (0, 1)),
        "mlp.down_proj" | "mlp.c_proj" => ("feed-forward.out", (0, 1)),
        _ => panic!("{name}"),
    };
    (format!("block.{layer}.{own}.{kind}"), part)
}

/// The gradient of one of transformers' weights.
fn gradient(model: &Transformer, gradients: &Gradients, name: &str) -> Vec<f32> {
    let (mut own, (part, of)) = ours(name);
    if own.contains("attention.after-norm") && !model.shape().style.after_norms {
        // What Gemma 3 calls otherwise.
        own = own.replace("attention.after-norm", "feed-forward-norm");
    }
    let weight = model.parameters().get(&own);
    let all = gradients.values(&own, weight.elem_count()).unwrap().unwrap();
    let n = all.len() / of;
    let all = all[part * n..][..n].to_vec();
    if of == 3 && part > 0 {
        // Two heads of queries share one of keys and values.
        let a_head = n / model.shape().heads;
        let pair = |pair: &[f32]| -> Vec<f32> {
            pair[..a_head].iter().zip(&pair[a_head..]).map(|(a, b)| a + b).collect()
        };
        return all.chunks_exact(2 * a_head).flat_map(pair).collect();
    }
    match weight.dims() {
        // GPT-2 keeps the matrices of its blocks by columns.
        &[outputs, inputs] if name.contains("transformer.h.") => {
            (0..n).map(|i| all[i % outputs * inputs + i / outputs]).collect()
        }
        _ => all,
    }
}

#[test]
fn gradients_are_those_of_torch() {
    let all: Vec<Golden> =
        serde_json::from_str(include_str!("../golden/causal_gradients.json")).unwrap();
    for Golden { folder: name, tokens, from, loss: expected, gradients } in all {
        let model = CausalModel::trainable(&folder(&name)).unwrap();
        let loss = loss(&model, &tokens, from);
        let found = loss.to_scalar::<f32>().unwrap();
        assert!((found - expected).abs() < 1e-4, "{name}: {found}, expected {expected}");
        let own = model.gradients(&loss).unwrap();
        for (weight, [product, largest]) in gradients {
            let found: Vec<f64> =
                gradient(&model, &own, &weight).into_iter().map(f64::from).collect();
            let near = |a: f64, b: f64| (a - b).abs() < 1e-3 * largest;
            let of_found: f64 =
                found.iter().enumerate().map(|(i, g)| g * (0.37 * i as f64).sin()).sum();
            let largest_found = found.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
            assert!(near(of_found, product), "{name}, {weight}: {of_found}, expected {product}");
            assert!(near(largest_found, largest), "{name}, {weight}: {largest_found} of {largest}");
        }
    }
}

/// The mean loss of the tokens from the one at `from` on, of a model that is read.
fn loss_of_read(model: &CausalModel, tokens: &[u32], from: usize) -> f64 {
    let (prompt, asked) = tokens.split_at(from);
    let logs = model.log_probabilities(prompt, &[asked]).unwrap().concat();
    -logs.iter().map(|&log| f64::from(log)).sum::<f64>() / logs.len() as f64
}

/// The real ones, of quantised numbers that are f32 where they learn.
#[test]
fn a_gguf_file_learns_by_lora() {
    for (name, file) in [
        ("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("gemma3-270m", "gemma-3-270m-q4_k_m.gguf"),
    ] {
        let Some(folder) = model(name) else { continue };
        let (path, from) = (folder.join(file), 4);
        let tokens: Vec<u32> = (0..24).map(|i| 500 + i * i * 7).collect();
        let mut learns = CausalModel::trainable(&path).unwrap();
        let lora = AnyAdapter::Lora(Lora { rank: 4, ..Lora::default() });
        learns.insert(&lora, &SeedTree::new(1)).unwrap();
        learns.choose(|name| name.starts_with("adapter."));
        let before = loss(&learns, &tokens, from);
        let gradients = learns.gradients(&before).unwrap();
        let all: Vec<(String, Vec<f32>)> = learns
            .parameters()
            .learning()
            .map(|(name, weight)| {
                let gradient = gradients.values(name, weight.elem_count()).unwrap().unwrap();
                (name.to_owned(), gradient)
            })
            .collect();
        let squares: f64 =
            all.iter().flat_map(|(_, gradient)| gradient).map(|g| f64::from(*g).powi(2)).sum();
        // A short step against the gradient lessens the loss by about its length times the gradient's.
        let step = 1e-3 / squares.sqrt();
        for (name, gradient) in &all {
            let mut values = learns.parameters().values(name).unwrap();
            values.iter_mut().zip(gradient).for_each(|(value, g)| *value -= step as f32 * g);
            learns.parameters().replace(name, &values).unwrap();
        }
        let after = loss(&learns, &tokens, from);
        let [before, after] =
            [before, after].map(|loss| f64::from(loss.to_scalar::<f32>().unwrap()));
        let (found, expected) = (before - after, step * squares);
        assert!((found - expected).abs() < 0.1 * expected, "{name}: {found}, expected {expected}");
        // What is read in the file's codes, and what is read of what has learnt.
        let read = CausalModel::read(&path, Precision::F32).unwrap();
        let was = loss_of_read(&read, &tokens, from);
        assert!((was - before).abs() < 0.1 * expected, "{name}: {was}, expected {before}");
        let learnt = CausalModel::of(learns, Precision::F32, "it").unwrap();
        let is = loss_of_read(&learnt, &tokens, from);
        assert!((is - after).abs() < 0.1 * expected, "{name}: {is}, expected {after}");
    }
}
