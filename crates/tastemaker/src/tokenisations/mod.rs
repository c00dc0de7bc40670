//! What items are called by a model that writes them token by token.

mod codes;
mod collaborative;
mod product_codes;
mod rq_kmeans;
mod rq_vae;

use std::path::{Path, PathBuf};

use rand::Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, SeedTree};
use tastemaker_nn::fused::Precision;
use tastemaker_nn::text::TextEncoder;

use crate::error::setting;
use crate::recommenders::{check, has_texts};
use crate::text::TextEmbeddings;
use crate::{Error, Result};

pub use codes::Codes;
pub use collaborative::spectral_embedding;
pub use product_codes::ProductQuantiser;
pub use rq_kmeans::residual_codes;
pub use rq_vae::RqVae;

/// What an item is to a language model over item sequences, instead of a token of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tokenisation {
    /// Codes from what a sentence encoder makes of the item's texts: similar items begin alike.
    SemanticIds(SemanticIds),
    /// Codes drawn at random: what the number of tokens does without their meaning.
    RandomIds(RandomIds),
    /// Codes from who has met the items: those that the same people have met begin alike.
    CollaborativeIds(CollaborativeIds),
}

/// Semantic ids by residual quantisation.
///
/// # Formula
/// At level l the residual r of every item is put to the nearest of `codes` centroids c, and r − c goes
/// to the next level. By residual k-means, r is at first the encoder's embedding, and k-means finds the
/// centroids of a level over all its residuals; by an RQ-VAE ([`RqVae`]), r is at first what an
/// autoencoder makes of it, which learns the centroids with it. Items with the same codes at all `levels` are told apart by one more token, which counts
/// them in a random order. So an item is levels + 1 tokens, each from a table of its level.
///
/// # References
/// Rajput et al. 2023 (TIGER), by an RQ-VAE, which counts collisions alike; residual k-means: Zheng et
/// al. 2024 (LC-Rec's comparison) and Deng et al. 2025 (`OneRec`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SemanticIds {
    /// The encoder: the folder of a sentence encoder, or a causal language model's GGUF file or folder, whose mean
    /// states are read.
    pub model: PathBuf,
    /// What finds the centroids.
    pub quantiser: Quantiser,
    /// How many times a code is taken.
    pub levels: usize,
    /// Codes a level.
    pub codes: usize,
    /// Beginnings that are kept when items are written.
    pub beams: usize,
}

/// What finds the centroids of semantic ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantiser {
    /// Residual k-means.
    #[default]
    KMeans,
    /// An RQ-VAE.
    RqVae(RqVae),
}

/// Collaborative ids by residual k-means.
///
/// # Formula
/// As [`SemanticIds`], of the items' spectral embedding by the training part: eigenvectors of
/// `D^{−1/2} C D^{−1/2}`, where C counts the users who have met both of two items, and D is its sums.
///
/// # When not to use it
/// For items that nobody has met in the training part: they all have the same codes but for the last.
///
/// # References
/// Hua et al. 2023, *How to index item IDs for recommendation foundation models*: collaborative
/// indexing by spectral clustering of co-occurrences, which divides clusters again where residuals are
/// quantised here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CollaborativeIds {
    /// Eigenvectors that are looked at.
    pub width: usize,
    /// How many times a code is taken.
    pub levels: usize,
    /// Codes a level.
    pub codes: usize,
    /// Beginnings that are kept when items are written.
    pub beams: usize,
}

/// Random ids of the same form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RandomIds {
    /// How many times a code is taken.
    pub levels: usize,
    /// Codes a level.
    pub codes: usize,
    /// Beginnings that are kept when items are written.
    pub beams: usize,
}

impl Default for SemanticIds {
    fn default() -> Self {
        let RandomIds { levels, codes, beams } = RandomIds::default();
        let (model, quantiser) = ("models/all-minilm-l6-v2".into(), Quantiser::default());
        Self { model, quantiser, levels, codes, beams }
    }
}

impl Default for CollaborativeIds {
    fn default() -> Self {
        let RandomIds { levels, codes, beams } = RandomIds::default();
        Self { width: 32, levels, codes, beams }
    }
}

impl Default for RandomIds {
    fn default() -> Self {
        Self { levels: 3, codes: 256, beams: 20 }
    }
}

impl Tokenisation {
    fn numbers(&self) -> (usize, usize, usize) {
        match *self {
            Self::SemanticIds(SemanticIds { levels, codes, beams, .. })
            | Self::CollaborativeIds(CollaborativeIds { levels, codes, beams, .. })
            | Self::RandomIds(RandomIds { levels, codes, beams }) => (levels, codes, beams),
        }
    }

    /// Tokens an item.
    pub fn length(&self) -> usize {
        self.numbers().0 + 1
    }

    /// Beginnings that are kept when items are written.
    pub fn beams(&self) -> usize {
        self.numbers().2
    }

    pub(crate) fn problem(&self) -> Option<Error> {
        let (levels, codes, beams) = self.numbers();
        check("levels", levels, 1..=16)
            .or_else(|| check("codes", codes, 2..=1 << 20))
            .or_else(|| check("beams", beams, 1..=10_000))
            .or_else(|| match self {
                Self::CollaborativeIds(ids) => check("width", ids.width, 1..=256),
                Self::SemanticIds(SemanticIds { quantiser: Quantiser::RqVae(rq_vae), .. }) => {
                    rq_vae.problem().map(|problem| problem.at("quantiser.rq-vae"))
                }
                _ => None,
            })
    }

    /// Why the items of `data` cannot be called so.
    pub(crate) fn unsuitable(&self, data: &Dataset) -> Option<Error> {
        if let Self::CollaborativeIds(CollaborativeIds { width, codes, .. }) = self {
            let (name, found) = if width > codes { ("width", width) } else { ("codes", codes) };
            let expected = || format!("at most {}, the number of items", data.n_items());
            let many = *found > data.n_items();
            return many.then(|| setting(name, found, expected()));
        }
        let Self::SemanticIds(SemanticIds { model, codes, .. }) = self else { return None };
        if !has_texts(data) {
            let expected = "random-ids, since the items have no texts";
            return Some(setting("ids of items", "semantic-ids", expected));
        }
        if *codes > data.n_items() {
            let expected = format!("at most {}, the number of items", data.n_items());
            return Some(setting("codes", codes, expected));
        }
        let encoder = TextEncoder::read(model, Precision::F32).err();
        encoder.map(|error| Error::from(error).at("model"))
    }

    /// The codes of the items of `data`, of which `split` says what is learnt from; embeddings of
    /// texts are kept in the folder `kept`.
    pub fn codes(
        &self,
        (data, split): (&Dataset, &SplitSets),
        kept: Option<&Path>,
        seeds: &SeedTree,
    ) -> Result<Codes> {
        let (levels, codes, _) = self.numbers();
        let seeds = seeds.child("tokenisation");
        let of_levels: Vec<Vec<u32>> = match self {
            Self::SemanticIds(SemanticIds { model, quantiser, .. }) => {
                let TextEmbeddings { width, values, identity } = TextEmbeddings::of_items(
                    &data.catalog,
                    data.n_items(),
                    (model, Precision::F32),
                    kept,
                )?;
                match quantiser {
                    Quantiser::KMeans => residual_codes(values, width, (levels, codes), &seeds),
                    Quantiser::RqVae(rq_vae) => {
                        let learn = || rq_vae.codes(&values, width, (levels, codes), &seeds);
                        let seed = seeds.seed();
                        let of = format!("{identity} {rq_vae:?} {levels} {codes} {seed}");
                        rq_vae::kept(kept, &of, learn)?
                    }
                }
            }
            Self::CollaborativeIds(CollaborativeIds { width, .. }) => {
                let values = spectral_embedding(data, split, *width, &seeds.child("spectrum"))?;
                residual_codes(values, *width, (levels, codes), &seeds)
            }
            Self::RandomIds(_) => {
                let of_level = |level| {
                    let mut rng = seeds.index(level).rng();
                    let codes = u32::try_from(codes).expect("codes are few");
                    (0..data.n_items()).map(|_| rng.random_range(0..codes)).collect()
                };
                (0..levels as u64).map(of_level).collect()
            }
        };
        Ok(Codes::new(&of_levels, codes, &seeds))
    }
}
