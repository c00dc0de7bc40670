//! Items known by what a pre-trained language model reads of their texts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tastemaker_core::{Dataset, SeedTree};
use tastemaker_nn::fused::{Mixture, Precision};
use tastemaker_nn::text::SentenceEncoder;
use tastemaker_nn::transformer::Transformer;

use super::FitContext;
use crate::error::setting;
use crate::recommenders::{check, has_texts};
use crate::text::TextEmbeddings;
use crate::{Error, Result};

/// What a pre-trained sentence encoder makes of items' texts, and what becomes of it. The encoder
/// does not learn; its embeddings of a catalog are kept with the study's pre-trained models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemTexts {
    /// Items' embeddings are made of them by an adaptor, which learns and can go over to other
    /// catalogs.
    Adaptor(TextAdaptor),
    /// Items' embeddings begin with them, and learn from there.
    Initialise(TextInitialise),
}

/// A mixture of linear maps from a sentence encoder's embeddings to those of items.
///
/// # Formula
/// The row of item i in the embedding table is `Eᵢ = Iᵢ + Σₖ gᵢₖ (xᵢ Wₖ + cₖ)` with
/// `gᵢ = softmax(xᵢ Γ)`, where x is what the encoder makes of everything that is written about the
/// item, and I what it has of its own.
///
/// # When not to use it
/// Where texts say little, or items are met often: then their own embeddings learn more.
///
/// # References
/// `UniSRec` (Hou et al. 2022): with `own = false` its inductive setting, with `own = true` its
/// transductive one. Its experts are parametric whitenings (x − b) W, which is the same with
/// c = −b W; the noise on its gate is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TextAdaptor {
    /// The folder of the encoder.
    pub model: PathBuf,
    /// Linear maps that are mixed.
    pub experts: usize,
    /// Whether an item has an embedding of its own as well.
    pub own: bool,
}

/// First embeddings of items: the principal components of a sentence encoder's.
///
/// # Formula
/// Of the items that have a text, x − x̄ on the first axes of their covariance, as many as an
/// embedding is wide, all scaled by one number to the deviation with which embeddings begin. Items
/// without a text begin at 0.
///
/// # References
/// Harte et al. 2023, *Leveraging Large Language Models for Sequential Recommendation*
/// (`LLM2BERT4Rec`), which reduces embeddings by principal components too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TextInitialise {
    /// The folder of the encoder.
    pub model: PathBuf,
}

/// Where the encoder is, if nothing else is said.
const ENCODER: &str = "models/all-minilm-l6-v2";

impl Default for TextAdaptor {
    fn default() -> Self {
        Self { model: ENCODER.into(), experts: 8, own: true }
    }
}

impl Default for TextInitialise {
    fn default() -> Self {
        Self { model: ENCODER.into() }
    }
}

impl ItemTexts {
    fn model(&self) -> &Path {
        match self {
            Self::Adaptor(TextAdaptor { model, .. })
            | Self::Initialise(TextInitialise { model }) => model,
        }
    }

    /// Whether items have embeddings of their own.
    pub(super) fn own(&self) -> bool {
        match self {
            Self::Adaptor(adaptor) => adaptor.own,
            Self::Initialise(_) => true,
        }
    }

    pub(super) fn problem(&self) -> Option<Error> {
        match self {
            Self::Adaptor(adaptor) => check("experts", adaptor.experts, 1..=256),
            Self::Initialise(_) => None,
        }
    }

    /// Why a model of this width cannot know the items of `data` by their texts.
    pub(super) fn unsuitable(&self, data: &Dataset, width: usize) -> Option<Error> {
        if !has_texts(data) {
            let reason = "texts: the items have none".to_owned();
            return Some(super::unsuitable("texts", reason));
        }
        let encoder = match SentenceEncoder::read(self.model(), Precision::F32) {
            Ok(encoder) => encoder,
            Err(error) => return Some(Error::from(error).at("texts.model")),
        };
        let narrow = matches!(self, Self::Initialise(_)) && encoder.width() < width;
        let expected = || format!("at most {}, the width of the encoder's", encoder.width());
        narrow.then(|| setting("embedding-size", width, expected()).at("backbone.embedding-size"))
    }

    /// What the encoder makes of the items' texts.
    pub(super) fn read(&self, context: &FitContext<'_>) -> Result<TextEmbeddings> {
        TextEmbeddings::of_items(context.data, self.model(), context.pretrained)
    }

    /// Gives `model` them.
    pub(super) fn put(
        &self,
        embeddings: TextEmbeddings,
        model: &mut Transformer,
        seeds: &SeedTree,
    ) -> Result<()> {
        match self {
            Self::Adaptor(TextAdaptor { experts, own, .. }) => {
                let TextEmbeddings { width, values, .. } = embeddings;
                let mixture = Mixture::new(values.into(), width, *experts);
                Ok(model.add_vectors(mixture, *own, seeds)?)
            }
            Self::Initialise(_) => {
                let width = model.shape().embedding_size;
                Ok(model.begin_with(&embeddings.principal_components(width)?)?)
            }
        }
    }
}
