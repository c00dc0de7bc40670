//! Items as pre-trained language models read their texts.

use std::path::Path;

use tastemaker_core::{Dataset, ItemId, artifact};
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::SentenceEncoder;

use crate::Result;

/// Embeddings of the items of a catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEmbeddings {
    /// Width of an embedding.
    pub width: usize,
    /// [items, width]; zeros for an item of which nothing is written.
    pub values: Vec<f32>,
}

/// The name of the tensor in the files that are kept.
const TENSOR: &str = "embeddings";

impl TextEmbeddings {
    /// What the sentence encoder in the folder `model` makes of everything that is written about the
    /// items of `data` ([`tastemaker_core::catalog::Catalog::text`]).
    ///
    /// They are kept in the folder `kept`, if there is one, under a name that follows from the model
    /// and the texts, and read from there the next time.
    pub fn of_items(data: &Dataset, model: &Path, kept: Option<&Path>) -> Result<Self> {
        let encoder = SentenceEncoder::read(model, Precision::F32)?;
        let items = (0..).map(ItemId).take(data.n_items());
        let texts: Vec<String> = items.map(|item| data.catalog.text(item)).collect();
        let identity = identity(&encoder, &texts);
        let path =
            kept.map(|folder| folder.join(format!("embeddings-{}.safetensors", &identity[..16])));
        let (width, dimensions) = (encoder.width(), vec![texts.len(), encoder.width()]);
        if let Some(path) = path.as_ref().filter(|path| path.exists()) {
            let file = Checkpoint::<String>::read(path)?;
            if file.about == identity {
                let values = file.tensor(path, TENSOR, &dimensions)?.to_vec();
                return Ok(Self { width, values });
            }
        }
        let mut values = encoder.encode(&texts)?;
        for (row, text) in values.chunks_exact_mut(width).zip(&texts) {
            if text.is_empty() {
                row.fill(0.0);
            }
        }
        if let Some(path) = path {
            let tensors = [(TENSOR.to_owned(), (dimensions, values.clone()))].into();
            Checkpoint { about: identity, tensors }.write(&path)?;
        }
        Ok(Self { width, values })
    }

    /// The embedding of `item`.
    pub fn of(&self, item: ItemId) -> &[f32] {
        &self.values[item.index() * self.width..][..self.width]
    }
}

/// SHA-256 of everything that embeddings follow from.
fn identity(encoder: &SentenceEncoder, texts: &[String]) -> String {
    // With their lengths, so that texts cannot run into each other.
    let texts = texts.iter().map(|text| format!("{} {text}", text.len()));
    let all: Vec<String> = std::iter::once(encoder.hash().to_owned()).chain(texts).collect();
    artifact::sha256(all.join("\n").as_bytes())
}
