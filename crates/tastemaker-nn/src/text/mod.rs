//! Language models over text that were trained by others, read from the files as they come.

mod sentence_encoder;
mod tokenizer;

pub use sentence_encoder::SentenceEncoder;
pub use tokenizer::TextTokenizer;
