//! How fast a sentence encoder embeds real texts, for bench/peers/embeddings.py.
//!
//! `cargo bench -p tastemaker-nn --bench embeddings -- --times MODEL TEXTS N f32` embeds the lines of
//! the file TEXTS with the model in the folder MODEL, N times after a first that does not count, and
//! prints the seconds of each time as JSON; `bf16` in the place of `f32` rounds factors.

use std::path::Path;
use std::time::Instant;

use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::SentenceEncoder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stdout, reason = "this is what the program is asked for")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ["--times", model, texts, n, how] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        println!("embeddings: nothing to do without --times MODEL TEXTS N f32");
        return;
    };
    let precision = if how == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let encoder = SentenceEncoder::read(Path::new(model), precision).expect("a model");
    let texts = fs_err::read_to_string(texts).expect("a file of texts");
    let texts: Vec<&str> = texts.lines().collect();
    let mut seconds = Vec::new();
    for i in 0..=n.parse().expect("a number of times") {
        let begin = Instant::now();
        let embeddings = encoder.encode(&texts).expect("embeddings");
        assert_eq!(embeddings.len(), texts.len() * encoder.width());
        if i > 0 {
            seconds.push(begin.elapsed().as_secs_f64());
        }
    }
    println!("{{\"texts\": {}, \"seconds\": {seconds:?}}}", texts.len());
}
