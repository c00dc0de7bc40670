//! Items known by what a pre-trained language model reads of their texts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tastemaker_core::{Dataset, SeedTree};
use tastemaker_nn::fused::{Features, Mixture, Precision};
use tastemaker_nn::transformer::Transformer;

use super::FitContext;
use crate::error::setting;
use crate::recommenders::{check, has_texts};
use crate::text::{TextEmbeddings, encoder};
use crate::tokenisations::ProductQuantiser;
use crate::{Error, Result};

/// What a pre-trained language model makes of items' texts, and what becomes of it. The encoder
/// does not learn; its embeddings of a catalog are kept with the study's pre-trained models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemTexts {
    /// Items' embeddings are made of them by an adaptor, which learns and can go over to other
    /// catalogs.
    Adaptor(TextAdaptor),
    /// Items' embeddings are sums of those of codes, which stand for parts of them; the codes'
    /// embeddings learn and can go over to other catalogs.
    Codes(TextCodes),
    /// Items' embeddings begin with them, and learn from there.
    Initialise(TextInitialise),
}

/// A mixture of linear maps from an encoder's embeddings to those of items.
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
    /// The encoder: the folder of a sentence encoder, or a causal language model's GGUF file or folder, whose mean
    /// states are read.
    pub model: PathBuf,
    /// Linear maps that are mixed.
    pub experts: usize,
    /// Whether an item has an embedding of its own as well.
    pub own: bool,
}

/// Codes of an encoder's embeddings, whose own embeddings an item's is made of.
///
/// # Formula
/// The row of item i in the embedding table is `Eᵢ = Iᵢ + (1/√G) Σ_g F_{g, c_g(i)}` over G groups:
/// the encoder's embedding is cut into G parts, and `c_g` is the nearest of `codes` centroids that
/// k-means has found of part g (product quantisation). After pre-training elsewhere they are those of
/// the other catalog; an un-pretrained twin's are its own, and so they are with `permutation-epochs`.
///
/// # When not to use it
/// Where two items are alike in every part: they have the same codes, and with `own = false` the same
/// embedding.
///
/// # References
/// `VQ-Rec` (Hou et al. 2023, *Learning vector-quantized item representations*), with `rotation` as it
/// finds codes, pre-trained by [`crate::objectives::SequenceItemContrast`] with codes exchanged, with
/// `permutation-epochs` (5 there, without an end before) as it goes over to another catalog, after which
/// it lets codes' embeddings and the first norm learn. It takes the mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TextCodes {
    /// The encoder: the folder of a sentence encoder, or a causal language model's GGUF file or folder, whose mean
    /// states are read.
    pub model: PathBuf,
    /// Parts into which an embedding is cut.
    pub groups: usize,
    /// Codes a part.
    pub codes: usize,
    /// Whether embeddings are rotated before they are cut, so that centroids are nearer (OPQ).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub rotation: bool,
    /// Epochs after pre-training elsewhere, at most, in which nothing learns but which of the embeddings of
    /// a group's codes stands for which code ([`tastemaker_nn::fused::Permutation`]), since these are the
    /// catalog's own then; where it is 0, they are the other's.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub permutation_epochs: usize,
    /// Whether an item has an embedding of its own as well.
    pub own: bool,
}

/// First embeddings of items: the principal components of an encoder's.
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
    /// The encoder: the folder of a sentence encoder, or a causal language model's GGUF file or folder, whose mean
    /// states are read.
    pub model: PathBuf,
}

/// Scores of orders of codes at most, eight times those of the usual codes: half a GiB with what learning
/// them takes.
const MOST_SCORES: usize = 1 << 24;

/// Where the encoder is, if nothing else is said.
const ENCODER: &str = "models/all-minilm-l6-v2";

impl Default for TextAdaptor {
    fn default() -> Self {
        Self { model: ENCODER.into(), experts: 8, own: true }
    }
}

impl Default for TextCodes {
    fn default() -> Self {
        Self {
            model: ENCODER.into(),
            groups: 32,
            codes: 256,
            rotation: false,
            permutation_epochs: 0,
            own: false,
        }
    }
}

impl Default for TextInitialise {
    fn default() -> Self {
        Self { model: ENCODER.into() }
    }
}

impl ItemTexts {
    pub(super) fn model(&self) -> &Path {
        match self {
            Self::Adaptor(TextAdaptor { model, .. })
            | Self::Codes(TextCodes { model, .. })
            | Self::Initialise(TextInitialise { model }) => model,
        }
    }

    /// Whether items have embeddings of their own.
    pub(super) fn own(&self) -> bool {
        match self {
            Self::Adaptor(adaptor) => adaptor.own,
            Self::Codes(codes) => codes.own,
            Self::Initialise(_) => true,
        }
    }

    /// The same of items that have nothing of their own, before they go over to another catalog.
    pub(super) fn alone(&self) -> Self {
        match self {
            Self::Adaptor(adaptor) => Self::Adaptor(TextAdaptor { own: false, ..adaptor.clone() }),
            Self::Codes(codes) => {
                Self::Codes(TextCodes { own: false, permutation_epochs: 0, ..codes.clone() })
            }
            Self::Initialise(_) => self.clone(),
        }
    }

    pub(super) fn problem(&self) -> Option<Error> {
        match self {
            Self::Adaptor(adaptor) => check("experts", adaptor.experts, 1..=256),
            Self::Codes(TextCodes { groups, codes, .. }) => {
                let problem = check("groups", *groups, 1..=4096);
                let problem = problem.or_else(|| check("codes", *codes, 2..=1 << 16));
                let scores = groups.saturating_mul(*codes).saturating_mul(*codes);
                let many = self.permutation().is_some() && scores > MOST_SCORES;
                let expected = format!(
                    "groups · codes² of at most {MOST_SCORES}, so many scores as the order of codes has"
                );
                problem.or_else(|| many.then(|| setting("permuted codes", scores, expected)))
            }
            Self::Initialise(_) => None,
        }
    }

    /// Why a model of this width cannot know the items of `data` by their texts.
    pub(super) fn unsuitable(&self, data: &Dataset, width: usize) -> Option<Error> {
        if !has_texts(data) {
            let reason = "texts: the items have none".to_owned();
            return Some(super::unsuitable("texts", reason));
        }
        let encoder = match encoder(self.model(), Precision::F32) {
            Ok(encoder) => encoder,
            Err(error) => return Some(error.at("texts.model")),
        };
        if let Self::Codes(TextCodes { groups, .. }) = self
            && !encoder.width().is_multiple_of(*groups)
        {
            let expected = format!("a divisor of {}, the width of the encoder's", encoder.width());
            return Some(setting("groups", groups, expected).at("texts.groups"));
        }
        let narrow = matches!(self, Self::Initialise(_)) && encoder.width() < width;
        let expected = || format!("at most {}, the width of the encoder's", encoder.width());
        narrow.then(|| setting("embedding-size", width, expected()).at("backbone.embedding-size"))
    }

    /// What the encoder makes of the items' texts.
    pub(super) fn read(
        &self,
        context: &FitContext<'_>,
        precision: Precision,
    ) -> Result<TextEmbeddings> {
        let (catalog, n_items) = (&context.data.catalog, context.data.n_items());
        TextEmbeddings::of_items(catalog, n_items, (self.model(), precision), context.pretrained)
    }

    /// How many codes there are in all groups together.
    pub(super) fn n_codes(&self) -> Option<usize> {
        match self {
            Self::Codes(TextCodes { groups, codes, .. }) => Some(groups * codes),
            _ => None,
        }
    }

    /// In how many groups codes find other embeddings after pre-training elsewhere, and in how many epochs.
    pub(super) fn permutation(&self) -> Option<(usize, usize)> {
        match self {
            &Self::Codes(TextCodes { groups, permutation_epochs: epochs, .. }) if epochs > 0 => {
                Some((groups, epochs))
            }
            _ => None,
        }
    }

    /// Gives `model` them; codes are found of the `reference`'s, or of their own if there is none.
    pub(super) fn put(
        &self,
        (embeddings, reference): (TextEmbeddings, Option<TextEmbeddings>),
        model: &mut Transformer,
        seeds: &SeedTree,
    ) -> Result<()> {
        match self {
            &Self::Codes(TextCodes { groups, codes, rotation, own, .. }) => {
                let (width, of) = (embeddings.width, reference.as_ref().unwrap_or(&embeddings));
                let seeds_of_codes = seeds.child("codes");
                let (values, counts) = (&of.values, (groups, codes));
                let quantiser = if rotation {
                    ProductQuantiser::fit_rotated(values, width, counts, &seeds_of_codes)?
                } else {
                    ProductQuantiser::fit(values, width, counts, &seeds_of_codes)
                };
                let mut rows = quantiser.codes(&embeddings.values);
                let first = |group: usize| u32::try_from(group * codes).expect("codes are few");
                for row in &mut rows {
                    (0..).zip(row).for_each(|(group, code)| *code += first(group));
                }
                Ok(model.add_features(Features::new(&rows, groups * codes), own, seeds)?)
            }
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
