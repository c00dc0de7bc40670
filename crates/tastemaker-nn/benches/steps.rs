//! Whole training steps: forward, loss, backward and the optimiser.
//!
//! `cargo bench -p tastemaker-nn --bench steps`
//!
//! `… -- --times A1 7 f32` prints the milliseconds of 7 steps and the peak memory as JSON instead,
//! for bench/peers; `bf16` in the place of `f32` rounds factors, and `cuda` is f32 on a GPU.
//!
//! A1, A2, B, C32 and C128 are the shapes of docs/benchmarks.md, with every sequence at its full
//! length; B goes through its sequences in four parts, whose gradients are added;
//! `packed` is A1 with the lengths of Amazon 5-core users, a mean of 9 and at most 50.

use std::sync::Arc;
use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tastemaker_core::SeedTree;
use tastemaker_nn::Device;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::backbones::{AnyBackbone, Decoder, Encoder};
use tastemaker_nn::fused::{Lanes, Precision};
use tastemaker_nn::gradients::Gradients;
use tastemaker_nn::transformer::{Frozen, Input, Pass, Transformer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--times", shape, n, how] => {
            let precision = if how == "bf16" { Precision::Bf16 } else { Precision::F32 };
            let device = if how == "cuda" { Device::Cuda } else { Device::Cpu };
            times(shape, n.parse().expect("a number of steps"), (precision, device));
        }
        _ => divan::main(),
    }
}

/// Prints what `n` steps of a shape cost.
#[expect(clippy::print_stdout, reason = "this is what the program is asked for")]
fn times(shape: &str, n: usize, (precision, device): (Precision, Device)) {
    let mut run: Box<dyn FnMut()> = if shape.starts_with('C') {
        let encoding = encoding(shape, precision);
        Box::new(move || encoding.run())
    } else {
        let mut step = training(shape, (precision, device));
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
    parts: Vec<(Arc<[u32]>, Arc<Lanes>)>,
    classes: usize,
    precision: Precision,
}

impl Step {
    fn new(
        decoder: Decoder,
        classes: usize,
        (lengths, a_part): (&[usize], usize),
        device: Device,
    ) -> Self {
        let backbone = AnyBackbone::Decoder(decoder);
        let device = device.open().expect("a device");
        let model = Transformer::on(device, &backbone, classes, &SeedTree::new(1));
        let model = model.expect("a good shape");
        let part = |lengths: &[usize]| {
            let tokens = (0_u32..).take(lengths.iter().sum()).map(|i| spread(i, classes)).collect();
            (tokens, Arc::new(Lanes::new(lengths.to_vec())))
        };
        Self {
            optimiser: AdamW::new(model.parameters(), 0.0),
            model,
            parts: lengths.chunks(a_part).map(part).collect(),
            classes,
            precision: Precision::F32,
        }
    }

    fn run(&mut self) {
        let pass = Pass { seed: 7, precision: self.precision, ..Pass::default() };
        let mut gradients = Gradients::default();
        for (tokens, lanes) in &self.parts {
            let hidden = self.model.forward(tokens.clone(), lanes, pass).expect("states");
            let loss = self.model.table(pass).softmax(&hidden, tokens.to_vec(), self.classes);
            let share = 1.0 / self.parts.len() as f64;
            let loss = loss.and_then(|loss| Ok((loss * share)?)).expect("the loss");
            let part = self.model.gradients(&loss).expect("the backward pass");
            gradients.add(part).expect("gradients of one model");
        }
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

fn training(shape: &str, (precision, device): (Precision, Device)) -> Step {
    let small = |longest| decoder(2, 2, 64, longest, 0.2);
    let step = match shape {
        "A1" => Step::new(small(50), 3417, (&[50; 128], 128), device),
        "A2" => Step::new(small(200), 3417, (&[200; 128], 128), device),
        "B" => Step::new(decoder(4, 4, 256, 128, 0.1), 8000, (&[128; 16], 4), device),
        "packed" => Step::new(small(50), 3417, (&fallen(), 128), device),
        _ => panic!("no training step {shape}; there are A1, A2, B and packed"),
    };
    Step { precision, ..step }
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
        black_box(self.model.last_hidden(&Input::of(&self.sequences)).expect("hidden states"));
    }
}

fn encoding(shape: &str, precision: Precision) -> Encoding {
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
    let model = model.frozen(precision).expect("weights");
    Encoding { model, sequences: (0..32).map(sequence).collect() }
}

#[divan::bench(sample_count = 15, sample_size = 1, args = ["A1", "A2", "B", "packed"])]
fn step(bencher: Bencher<'_, '_>, shape: &str) {
    let mut step = training(shape, (Precision::F32, Device::Cpu));
    step.run();
    let tokens: usize = step.parts.iter().map(|(tokens, _)| tokens.len()).sum();
    bencher.counter(ItemsCount::new(tokens)).bench_local(|| step.run());
}

#[divan::bench(sample_count = 15, sample_size = 1, args = ["C32", "C128"])]
fn forward(bencher: Bencher<'_, '_>, shape: &str) {
    let encoding = encoding(shape, Precision::F32);
    encoding.run();
    bencher.bench_local(|| encoding.run());
}
