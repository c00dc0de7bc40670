//! How fast a language model goes on with a text, for bench/peers/decoding.py.
//!
//! `cargo bench -p tastemaker-nn --bench decoding -- --times MODEL PROMPTS N` goes on for N tokens
//! after each line of the file PROMPTS with the GGUF file MODEL, the most likely token each time,
//! and prints the seconds of reading each prompt and of each token written, the tokens, by how much
//! each was ahead of the next likely one, and 1,000 logits after each prompt, as JSON.

use std::path::Path;
use std::time::Instant;

use tastemaker_nn::fused::{Past, Precision};
use tastemaker_nn::text::{CausalModel, TextTokenizer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stdout, reason = "this is what the program is asked for")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ["--times", model, prompts, n] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        println!("decoding: nothing to do without --times MODEL PROMPTS N");
        return;
    };
    let path = Path::new(model);
    let model = CausalModel::read(path, Precision::F32).expect("a model");
    let tokenizer = TextTokenizer::read_gguf(path).expect("a tokenizer");
    let prompts = fs_err::read_to_string(prompts).expect("a file of prompts");
    let prompts: Vec<&str> = prompts.lines().collect();
    let n: usize = n.parse().expect("a number of tokens");
    let (mut read, mut written, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let (mut margins, mut first_logits) = (Vec::new(), Vec::new());
    for prompt in tokenizer.encode_as_it_is(&prompts).expect("tokens") {
        let (mut past, mut begin) = (Past::default(), Instant::now());
        let mut lap = || std::mem::replace(&mut begin, Instant::now()).elapsed().as_secs_f64();
        let states = model.states(&[&prompt], &mut past, true).expect("states");
        let mut logits = model.logits(&states[states.len() - states.len() / prompt.len()..]);
        read.push(lap());
        first_logits.push(logits[..1000].to_vec());
        let (mut tokens, mut ahead) = (Vec::new(), Vec::new());
        while tokens.len() < n {
            let (next, best) = (0..).zip(&logits).fold((0, f32::MIN), |best, (i, &logit)| {
                if logit > best.1 { (i, logit) } else { best }
            });
            let others = (0..).zip(&logits).filter(|(i, _)| *i != next);
            ahead.push(best - others.fold(f32::MIN, |most, (_, &logit)| most.max(logit)));
            tokens.push(next);
            lap();
            logits = model.logits(&model.states(&[&[next]], &mut past, true).expect("a state"));
            written.push(lap());
        }
        all.push(tokens);
        margins.push(ahead);
    }
    let times = format!("\"read\": {read:?}, \"written\": {written:?}");
    let found = format!("\"tokens\": {all:?}, \"margins\": {margins:?}");
    println!("{{{times}, {found}, \"logits\": {first_logits:?}}}");
}
