use candle_core::Device;
use tastemaker_nn::fused::Precision;
use tastemaker_nn::transformer::{Frozen, Input, Memory, Reading, Transformer};

use crate::adapters::adapted_on;
use crate::gradients::{model_on, models, modern};

/// What encoders read of the sequences, where there are encoders.
const QUESTIONS: [&[u32]; 3] = [&[3, 1, 4, 1, 5], &[9], &[2, 6]];

fn memory(frozen: &Frozen, of: &[usize]) -> Option<Memory> {
    let questions: Vec<Vec<u32>> = of.iter().map(|&i| QUESTIONS[i].to_vec()).collect();
    frozen.memory(&Input::of(&questions)).unwrap()
}

/// What `frozen` finds at the ends of sequences that it reads as a whole.
fn whole(frozen: &Frozen, sequences: &[Vec<u32>], of: &[usize]) -> Vec<f32> {
    Reading::new(frozen, sequences.to_vec(), memory(frozen, of)).unwrap().1
}

/// Ways to go on from sequences, several from one and none from another, three times.
fn check(what: &str, model: &Transformer, precision: Precision, tolerance: f32) {
    let frozen = model.frozen(precision).unwrap();
    let mut sequences: Vec<Vec<u32>> = vec![vec![1, 2, 3], vec![4], (0..8).collect()];
    let mut of = vec![0, 1, 2];
    let (mut reading, first) =
        Reading::new(&frozen, sequences.clone(), memory(&frozen, &of)).unwrap();
    if !frozen.has_encoder() {
        assert_eq!(first, frozen.last_hidden(&Input::of(&sequences)).unwrap(), "{what}");
    }
    let rounds: [&[(usize, u32)]; 3] = [
        &[(0, 7), (2, 5), (0, 9), (2, 6), (2, 7)],
        &[(4, 11), (0, 7), (1, 20), (1, 21)],
        &[(3, 1), (0, 2)],
    ];
    for (round, steps) in rounds.into_iter().enumerate() {
        let next = |&(from, token): &(usize, u32)| [&sequences[from][..], &[token]].concat();
        let after: Vec<Vec<u32>> = steps.iter().map(next).collect();
        of = steps.iter().map(|&(from, _)| of[from]).collect();
        sequences = after;
        let found = reading.go_on(steps).unwrap();
        let expected = whole(&frozen, &sequences, &of);
        assert_eq!(found.len(), expected.len(), "{what}");
        let norm =
            |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
        let off = norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b))
            / norm(&mut expected.iter().copied());
        assert!(off < tolerance, "{what}, {precision:?}, after {round}: off by {off}");
    }
    assert!(reading.go_on(&[]).unwrap().is_empty());
}

#[test]
fn a_model_that_goes_on_finds_what_it_finds_in_whole_sequences() {
    for (what, model) in models() {
        check(what, &model, Precision::F32, 1e-5);
        check(what, &model, Precision::Bf16, 0.03);
    }
    for (what, backbone) in modern() {
        check(&what, &model_on(&Device::Cpu, &backbone), Precision::F32, 1e-5);
    }
    for (what, model) in adapted_on(&Device::Cpu, 0.0) {
        check(&what, &model, Precision::F32, 1e-5);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let all = models();
    let (_, decoder) = all.iter().find(|(what, _)| *what == "decoder").unwrap();
    let frozen = decoder.frozen(Precision::F32).unwrap();
    let (mut reading, _) = Reading::new(&frozen, vec![(0..12).collect()], None).unwrap();
    assert!(reading.go_on(&[(0, 1)]).is_err(), "a place beyond the last");
    assert!(Reading::new(&frozen, vec![vec![1000]], None).is_err(), "no such token");
    let (_, both) = all.iter().find(|(_, model)| model.shape().has_encoder()).unwrap();
    let frozen = both.frozen(Precision::F32).unwrap();
    assert!(Reading::new(&frozen, vec![vec![1]], None).is_err(), "nothing was read");
    let two = memory(&frozen, &[0, 1]);
    assert!(Reading::new(&frozen, vec![vec![1]], two).is_err(), "one sequence, two memories");
}
