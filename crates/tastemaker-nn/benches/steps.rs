//! Whole training steps: forward, loss, backward and the optimiser.
//!
//! `cargo bench -p tastemaker-nn --bench steps`
//!
//! A1, A2 and B are the shapes of docs/benchmarks.md, with every sequence at its full length;
//! `packed` is A1 with the lengths of Amazon 5-core users, a mean of 9 and at most 50.

use std::sync::Arc;

use candle_core::Tensor;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::backbones::{AnyBackbone, Decoder};
use tastemaker_nn::fused::{CatalogSoftmax, Lanes};
use tastemaker_nn::transformer::Transformer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// A model, a batch and its targets.
struct Step {
    model: Transformer,
    optimiser: AdamW,
    tokens: Arc<[u32]>,
    lanes: Arc<Lanes>,
    classes: usize,
}

impl Step {
    fn new(decoder: Decoder, classes: usize, lengths: Vec<usize>) -> Self {
        let backbone = AnyBackbone::Decoder(decoder);
        let model = Transformer::new(&backbone, classes, &SeedTree::new(1)).expect("a good shape");
        let n = lengths.iter().sum::<usize>();
        Self {
            optimiser: AdamW::new(model.parameters(), 0.0),
            model,
            tokens: (0_u32..).take(n).map(|i| spread(i, classes)).collect(),
            lanes: Arc::new(Lanes::new(lengths)),
            classes,
        }
    }

    fn forward(&self) -> Tensor {
        self.model.forward(self.tokens.clone(), &self.lanes, 7).expect("the forward pass")
    }

    fn run(&mut self) {
        let loss = CatalogSoftmax::new(self.tokens.to_vec(), self.classes);
        let loss = self.forward().apply_op2(self.model.table(), loss).expect("the loss");
        let gradients = loss.backward().expect("the backward pass");
        let norm = self.optimiser.step(self.model.parameters(), &gradients, 1e-3, 5.0);
        black_box(norm.expect("a finite gradient"));
    }
}

/// Some token, another for every `i`.
fn spread(i: u32, classes: usize) -> u32 {
    i.wrapping_mul(2_654_435_761) % u32::try_from(classes).expect("a small vocabulary")
}

fn decoder(layers: usize, heads: usize, width: usize, max_length: usize, dropout: f32) -> Decoder {
    Decoder {
        layers: Some(layers),
        heads: Some(heads),
        embedding_size: Some(width),
        inner_size: Some(4 * width),
        max_length: Some(max_length),
        dropout: Some(dropout),
        ..Decoder::default()
    }
}

fn a1() -> Step {
    Step::new(decoder(2, 2, 64, 50, 0.2), 3417, vec![50; 128])
}

fn a2() -> Step {
    Step::new(decoder(2, 2, 64, 200, 0.2), 3417, vec![200; 128])
}

fn b() -> Step {
    Step::new(decoder(4, 4, 256, 128, 0.1), 8000, vec![128; 16])
}

/// Lengths that fall off as those of Amazon 5-core users do.
fn packed() -> Step {
    let lengths = (0..128).map(|i| (4 + 700 / (14 + 2 * i + i * i / 16)).min(50)).collect();
    Step::new(decoder(2, 2, 64, 50, 0.2), 3417, lengths)
}

#[divan::bench(sample_count = 15, sample_size = 1, args = ["A1", "A2", "B", "packed"])]
fn step(bencher: Bencher<'_, '_>, shape: &str) {
    let mut step = match shape {
        "A1" => a1(),
        "A2" => a2(),
        "B" => b(),
        _ => packed(),
    };
    step.run();
    bencher.counter(ItemsCount::new(step.tokens.len())).bench_local(|| step.run());
}

#[divan::bench(sample_count = 15, sample_size = 1, args = ["A1", "A2", "B"])]
fn forward(bencher: Bencher<'_, '_>, shape: &str) {
    let step = match shape {
        "A1" => a1(),
        "A2" => a2(),
        _ => b(),
    };
    bencher.counter(ItemsCount::new(step.tokens.len())).bench_local(|| step.forward());
}
