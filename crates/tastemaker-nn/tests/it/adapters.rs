use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::adapters::{
    AnyAdapter, Bottleneck, Lora, Prefix, Projection, SoftPrompt, SpecialTokens,
};
use tastemaker_nn::backbones::{AnyBackbone, Decoder};
use tastemaker_nn::fused::{FeedForward, Lanes, Norm, Positions, Precision};
use tastemaker_nn::parameters::Group;
use tastemaker_nn::transformer::{Pass, Transformer};

use crate::gradients::{check_gradients, enlarge, loss, models, models_with};

/// Every adapter, those with settings that change what they do in each form.
fn adapters() -> Vec<AnyAdapter> {
    let tokens = vec!["next-item".to_owned(), "of-a-shop".to_owned()];
    vec![
        AnyAdapter::Bottleneck(Bottleneck { size: 5 }),
        AnyAdapter::Lora(Lora { rank: 3, ..Lora::default() }),
        AnyAdapter::Prefix(Prefix { tokens: 2, inner_size: 0 }),
        AnyAdapter::Prefix(Prefix { tokens: 3, inner_size: 7 }),
        AnyAdapter::Projection(Projection { size: 6 }),
        AnyAdapter::SoftPrompt(SoftPrompt { tokens: 3, inner_size: 0 }),
        AnyAdapter::SoftPrompt(SoftPrompt { tokens: 2, inner_size: 7 }),
        AnyAdapter::SpecialTokens(SpecialTokens { tokens }),
    ]
}

/// The backbones, and one with other choices, to which adapters must fit too.
fn backbones(dropout: f32) -> Vec<(&'static str, Transformer)> {
    let decoder = Decoder {
        embedding_size: Some(16),
        max_length: Some(12),
        dropout: Some(dropout),
        norm: Norm::Rms,
        feed_forward: FeedForward::Swiglu,
        positions: Positions::Rotary,
        ..Decoder::default()
    };
    let backbone = AnyBackbone::Decoder(decoder);
    let model = Transformer::new(&backbone, 30, &SeedTree::new(5)).unwrap();
    enlarge(&model, |_| true);
    models_with(dropout).into_iter().chain([("modern decoder", model)]).collect()
}

/// Every backbone with every adapter, large enough to matter.
fn adapted(dropout: f32) -> Vec<(String, Transformer)> {
    let mut all = Vec::new();
    for adapter in adapters() {
        for (backbone, mut model) in backbones(dropout) {
            model.insert(&adapter, &SeedTree::new(6)).unwrap();
            enlarge(&model, |name| !Group::of(name).is_backbone());
            all.push((format!("{backbone} with {adapter:?}"), model));
        }
    }
    all
}

fn histories() -> Vec<Vec<u32>> {
    vec![vec![1, 2, 3], vec![4], (0..12).collect()]
}

fn close(what: &str, a: &[f32], b: &[f32]) {
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{what}: {a} against {b}");
    }
}

fn answers(model: &Transformer) -> Vec<f32> {
    model.frozen(Precision::F32).unwrap().last_hidden(&histories(), &[]).unwrap()
}

#[test]
fn every_adapter_on_every_backbone_has_the_gradients_of_its_difference_quotients() {
    for (what, mut model) in adapted(0.1) {
        // Alone, as in parameter-efficient tuning, and together with the backbone.
        model.choose(|name| !Group::of(name).is_backbone());
        check_gradients(&what, &model);
        model.choose(|_| true);
        check_gradients(&what, &model);
    }
}

#[test]
fn what_learns_through_an_adapter_answers_as_it_learnt() {
    for (what, model) in adapted(0.0) {
        let tokens = histories().concat().into();
        let lanes = Arc::new(Lanes::new(histories().iter().map(Vec::len).collect()));
        let hidden = model.forward(tokens, &lanes, Pass::default()).unwrap();
        let rows: Vec<u32> = lanes.last_tokens().map(|row| row as u32).collect();
        let rows = Tensor::new(rows, &Device::Cpu).unwrap();
        let last = hidden.index_select(&rows, 0).unwrap().flatten_all().unwrap();
        close(&what, &last.to_vec1::<f32>().unwrap(), &answers(&model));
    }
}

#[test]
fn a_fresh_adapter_is_as_if_it_were_not_there() {
    for adapter in adapters() {
        if adapter.as_dyn().prompt_length() > 0 {
            continue;
        }
        for (backbone, mut model) in models() {
            let before = answers(&model);
            model.insert(&adapter, &SeedTree::new(6)).unwrap();
            assert!(before == answers(&model), "{backbone} with {adapter:?}");
        }
    }
}

#[test]
fn merged_finds_the_same_and_removed_is_the_backbone_again() {
    for (what, mut model) in adapted(0.1) {
        let with = answers(&model);
        model.merge().unwrap();
        close(&what, &with, &answers(&model));
        let mergeable = model.adapters().is_empty();
        assert_eq!(mergeable, what.contains("Lora"), "{what}");
        if mergeable {
            continue;
        }
        model.remove_adapters();
        assert!(model.parameters().iter().all(|(name, _)| Group::of(name).is_backbone()));
        assert!(with != answers(&model), "{what} does nothing");
    }
}

#[test]
fn only_what_is_chosen_moves() {
    for (what, mut model) in adapted(0.1) {
        model.choose(|name| !Group::of(name).is_backbone());
        let all = |model: &Transformer| -> BTreeMap<String, Vec<f32>> {
            let names = model.parameters().iter().map(|(name, _)| name.to_owned());
            names.map(|name| (name.clone(), model.parameters().values(&name).unwrap())).collect()
        };
        let before = all(&model);
        let mut optimiser = AdamW::new(model.parameters(), 0.1);
        let gradients = model.gradients(&loss(&model)).unwrap();
        optimiser.step(model.parameters(), &gradients, 1e-2, 0.0).unwrap();
        for (name, after) in all(&model) {
            let stays = Group::of(&name).is_backbone();
            assert_eq!(after == before[&name], stays, "{what}: {name}");
        }
    }
}

#[test]
fn an_adapter_that_does_not_fit_is_refused() {
    let (_, mut model) = models().remove(0);
    let lora = AnyAdapter::Lora(Lora { rank: 17, ..Lora::default() });
    let error = model.insert(&lora, &SeedTree::new(6)).unwrap_err().to_string();
    assert_eq!(error, "rank is 17, expected a number from 1 to 16");
    let soft = AnyAdapter::SoftPrompt(SoftPrompt::default());
    model.insert(&soft, &SeedTree::new(6)).unwrap();
    let error = model.insert(&soft, &SeedTree::new(6)).unwrap_err().to_string();
    assert_eq!(error, "an adapter is soft-prompt, expected one of each kind");
}
