//! Language models without task parts.

use tastemaker_core::registry;

use crate::Result;

mod decoder;
mod encoder;
mod encoder_decoder;
mod hstu;
mod shape;
mod views;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use encoder_decoder::EncoderDecoder;
pub use hstu::Hstu;
pub use shape::{Shape, Size};
pub use views::{View, Views};

/// A language model's architecture.
pub trait Backbone {
    /// The architecture with every number filled in.
    fn shape(&self) -> Result<Shape>;

    /// The same architecture with every number written out.
    fn resolved(&self) -> Result<AnyBackbone>;

    /// Whether a position may look at later ones.
    fn is_bidirectional(&self) -> bool;
}

registry! {
    /// Every backbone a study can name.
    pub enum AnyBackbone: Backbone {
        /// Causal transformer: each position sees itself and what came before (SASRec, GPT).
        "decoder" => Decoder(Decoder),
        /// Bidirectional transformer: each position sees the whole sequence (BERT4Rec, BERT).
        "encoder" => Encoder(Encoder),
        /// An encoder reads what was, a decoder looks at it and goes on (T5).
        "encoder-decoder" => EncoderDecoder(EncoderDecoder),
        /// Causal gated attention without softmax, no feed-forward half (HSTU).
        "hstu" => Hstu(Hstu),
    }
}
