//! Whole training steps: forward, loss, backward and the optimiser.
//!
//! `cargo bench -p tastemaker-nn --bench steps`
//!
//! `… -- --times A1 7` prints the milliseconds of 7 steps and the peak memory as JSON instead, for
//! bench/peers.
//!
//! A1, A2, B, C32 and C128 are the shapes of docs/benchmarks.md, with every sequence at its full
//! length;
//! `packed` is A1 with the lengths of Amazon 5-core users, a mean of 9 and at most 50.

use std::sync::Arc;
use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::backbones::{AnyBackbone, Decoder, Encoder};
use tastemaker_nn::fused::Lanes;
use tastemaker_nn::transformer::{Frozen, Pass, Transformer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--times", shape, n] => times(shape, n.parse().expect("a number of steps")),
        _ => divan::main(),
    }
}

/// Prints what `n` steps of a shape cost.
#[expect(clippy::print_stdout, reason = "this is what the program is asked for")]
fn times(shape: &str, n: usize) {
    let mut run: Box<dyn FnMut()> = if shape.starts_with('C') {
        let encoding = encoding(shape);
        Box::new(move || encoding.run())
    } else {
        let mut step = training(shape);
        Box::new(move || step.run())
    };
    let mut milliseconds = Vec::new();
    for i in 0..n + 3 {
        let begin = Instant::now();
        run();
        if i >= 3 {
            milliseconds.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: usize =
        peak.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0);
    println!("{{\"milliseconds\": {milliseconds:?}, \"peak-memory\": {}}}", peak * 1024);
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

    fn run(&mut self) {
        let pass = Pass { seed: 7, ..Pass::default() };
        let hidden = self.model.forward(self.tokens.clone(), &self.lanes, pass).expect("states");
        let loss = self.model.table().softmax(&hidden, self.tokens.to_vec(), self.classes);
        let gradients = self.model.gradients(&loss.expect("the loss")).expect("the backward pass");
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

fn training(shape: &str) -> Step {
    match shape {
        "A1" => Step::new(decoder(2, 2, 64, 50, 0.2), 3417, vec![50; 128]),
        "A2" => Step::new(decoder(2, 2, 64, 200, 0.2), 3417, vec![200; 128]),
        "B" => Step::new(decoder(4, 4, 256, 128, 0.1), 8000, vec![128; 16]),
        "packed" => Step::new(decoder(2, 2, 64, 50, 0.2), 3417, fallen()),
        _ => panic!("no training step {shape}; there are A1, A2, B and packed"),
    }
}

/// Lengths that fall off as those of Amazon 5-core users do.
fn fallen() -> Vec<usize> {
    (0..128).map(|i| (4 + 700 / (14 + 2 * i + i * i / 16)).min(50)).collect()
}

/// A trained encoder and sequences to read.
struct Encoding {
    model: Frozen,
    sequences: Vec<Vec<u32>>,
}

impl Encoding {
    fn run(&self) {
        black_box(self.model.last_hidden(&self.sequences).expect("hidden states"));
    }
}

fn encoding(shape: &str) -> Encoding {
    let (classes, length) = (30_522, if shape == "C32" { 32 } else { 128 });
    let encoder = Encoder {
        layers: Some(6),
        heads: Some(12),
        embedding_size: Some(384),
        inner_size: Some(1536),
        max_length: Some(length),
        dropout: Some(0.0),
        ..Encoder::default()
    };
    let backbone = AnyBackbone::Encoder(encoder);
    let model = Transformer::new(&backbone, classes, &SeedTree::new(1)).expect("a good shape");
    let sequence = |i: u32| (0_u32..).take(length).map(|j| spread(i * 1000 + j, classes)).collect();
    Encoding { model: model.frozen().expect("weights"), sequences: (0..32).map(sequence).collect() }
}

#[divan::bench(sample_count = 15, sample_size = 1, args = ["A1", "A2", "B", "packed"])]
fn step(bencher: Bencher<'_, '_>, shape: &str) {
    let mut step = training(shape);
    step.run();
    bencher.counter(ItemsCount::new(step.tokens.len())).bench_local(|| step.run());
}

#[divan::bench(sample_count = 15, sample_size = 1, args = ["C32", "C128"])]
fn forward(bencher: Bencher<'_, '_>, shape: &str) {
    let encoding = encoding(shape);
    encoding.run();
    bencher.bench_local(|| encoding.run());
}
