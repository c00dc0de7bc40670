use std::sync::Arc;

use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::backbones::{AnyBackbone, Decoder, Encoder, EncoderDecoder, Hstu};
use tastemaker_nn::fused::{Lanes, Precision};
use tastemaker_nn::transformer::{Input, Pass, Transformer};

use crate::gradients::with_encoded;

fn backbones() -> [AnyBackbone; 4] {
    let (layers, embedding_size, max_length) = (Some(2), Some(32), Some(12));
    [
        AnyBackbone::Decoder(Decoder { layers, embedding_size, max_length, ..Decoder::default() }),
        AnyBackbone::Encoder(Encoder { layers, embedding_size, max_length, ..Encoder::default() }),
        AnyBackbone::EncoderDecoder(EncoderDecoder {
            layers,
            embedding_size,
            max_length,
            ..EncoderDecoder::default()
        }),
        AnyBackbone::Hstu(Hstu {
            layers,
            embedding_size,
            max_length,
            intervals: true,
            ..Hstu::default()
        }),
    ]
}

/// The losses of `steps` steps on eight sequences, and the model after them.
fn train(backbone: &AnyBackbone, steps: u64, precision: Precision) -> (Vec<f32>, Transformer) {
    let model = Transformer::new(backbone, 30, &SeedTree::new(5)).unwrap();
    let mut optimiser = AdamW::new(model.parameters(), 0.0);
    let lanes = Arc::new(Lanes::new(vec![12; 8]));
    let tokens: Arc<[u32]> = (0..96).map(|i| i * i % 29).collect();
    let targets: Vec<u32> = (0..96).map(|i| (i + 1) * (i + 1) % 29).collect();
    let input = with_encoded(&model, Input::new(tokens, lanes));
    let mut losses = Vec::new();
    for step in 0..steps {
        let pass = Pass { seed: step, precision, ..Pass::default() };
        let hidden = model.states(&input, pass).unwrap();
        let loss = model.table(pass).softmax(&hidden, targets.clone(), 30).unwrap();
        losses.push(loss.to_scalar().unwrap());
        let gradients = model.gradients(&loss).unwrap();
        optimiser.step(model.parameters(), &gradients, 3e-3, 5.0).unwrap();
    }
    (losses, model)
}

#[test]
fn every_parameter_of_every_backbone_moves() {
    for backbone in backbones() {
        let (_, before) = train(&backbone, 0, Precision::F32);
        let (_, after) = train(&backbone, 1, Precision::F32);
        for (name, _) in before.parameters().iter() {
            let (old, new) = (before.parameters().values(name), after.parameters().values(name));
            assert_ne!(
                old.unwrap(),
                new.unwrap(),
                "{name} of the {} did not move",
                backbone.name()
            );
        }
    }
}

#[test]
fn eight_sequences_are_learnt_by_heart() {
    for backbone in backbones() {
        for precision in [Precision::F32, Precision::Bf16] {
            let (losses, _) = train(&backbone, 300, precision);
            let (first, last) = (losses[0], losses[losses.len() - 1]);
            let name = backbone.name();
            assert!(first > 3.0 && last < 0.35, "{name}, {precision:?}: from {first} to {last}");
        }
    }
}

#[test]
fn a_frozen_decoder_scores_as_the_learning_one() {
    let (_, model) = train(&backbones()[0], 20, Precision::F32);
    let mut scores = vec![0.0; 2 * 30];
    let sequences = [vec![1, 4, 9], vec![16, 25, 7, 20, 6]];
    let frozen = model.frozen(Precision::F32).unwrap();
    frozen.score(&frozen.last_hidden(&Input::of(&sequences)).unwrap(), 30, &mut scores);
    let lanes = Arc::new(Lanes::new(vec![3, 5]));
    let frozen = Transformer::new(
        &AnyBackbone::Decoder(Decoder {
            layers: Some(2),
            embedding_size: Some(32),
            max_length: Some(12),
            dropout: Some(0.0),
            ..Decoder::default()
        }),
        30,
        &SeedTree::new(5),
    )
    .unwrap();
    let values: Vec<(String, Vec<f32>)> = model
        .parameters()
        .iter()
        .map(|(name, _)| (name.to_owned(), model.parameters().values(name).unwrap()))
        .collect();
    let find =
        |name: &str, _: &[usize]| Ok(values.iter().find(|v| v.0 == name).unwrap().1.as_slice());
    frozen.parameters().set(find).unwrap();
    let hidden = frozen.forward(sequences.concat().into(), &lanes, Pass::default()).unwrap();
    let table = frozen.table(Pass::default());
    let expected: Vec<Vec<f32>> =
        hidden.matmul(&table.tensor().unwrap().t().unwrap()).unwrap().to_vec2().unwrap();
    for (a, b) in scores.iter().zip(expected[2].iter().chain(&expected[7])) {
        assert!((a - b).abs() < 1e-4, "{a} against {b}");
    }
}

/// Only what the encoder reads says which of two tokens is right.
#[test]
fn a_decoder_learns_from_what_its_encoder_reads() {
    let (_, model) = train(&backbones()[2], 0, Precision::F32);
    let mut optimiser = AdamW::new(model.parameters(), 0.0);
    let sequences: Vec<Vec<u32>> = (0..24).map(|i| vec![i % 5, 5 + i % 2, i % 3]).collect();
    let right: Vec<u32> = (0..24).map(|i| 20 + i % 2).collect();
    let input = || {
        let read = Arc::new(Lanes::new(vec![3; 24]));
        let lanes = Arc::new(Lanes::reading(vec![1; 24], &read));
        let encoded = Some(Arc::new(Input::new(sequences.concat().into(), read)));
        Input { encoded, ..Input::new(vec![29; 24].into(), lanes) }
    };
    for step in 0..80 {
        let pass = Pass { seed: step, ..Pass::default() };
        let hidden = model.states(&input(), pass).unwrap();
        let loss = model.table(pass).softmax(&hidden, right.clone(), 29).unwrap();
        let gradients = model.gradients(&loss).unwrap();
        optimiser.step(model.parameters(), &gradients, 3e-3, 5.0).unwrap();
    }
    let frozen = model.frozen(Precision::F32).unwrap();
    let mut scores = vec![0.0; 24 * 29];
    frozen.score(&frozen.last_hidden(&input()).unwrap(), 29, &mut scores);
    for (scores, right) in scores.chunks(29).zip(&right) {
        let best = (0..29).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        assert_eq!(best as u32, *right);
    }
    assert!(frozen.last_hidden(&Input::of(&sequences)).is_err(), "nothing was read");
}
