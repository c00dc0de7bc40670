//! What a model is asked to learn from a sequence.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use tastemaker_core::{Dataset, registry};
use tastemaker_nn::adapters::Added;
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::transformer::Sides;

use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

mod bce;
mod bpr;
mod gbce;
mod group_gap;
mod masked_items;
pub(crate) mod next_item;
mod next_sequence;
mod pieces;
mod popularity_correlation;
mod pseudo_masked_items;
mod rearranged_sequence;
mod replaced_items;
mod return_conditioned;
mod s3_rec;
mod sampled_softmax;
mod sequence_contrast;
mod sequence_item_contrast;
mod softmax;
mod yes_no;

pub use bce::Bce;
pub use bpr::Bpr;
pub use gbce::Gbce;
pub use group_gap::GroupGap;
pub use masked_items::MaskedItems;
pub use next_sequence::NextSequence;
pub use popularity_correlation::PopularityCorrelation;
pub use pseudo_masked_items::PseudoMaskedItems;
pub use rearranged_sequence::RearrangedSequence;
pub use replaced_items::ReplacedItems;
pub use return_conditioned::ReturnConditioned;
pub use s3_rec::S3Rec;
pub use sampled_softmax::SampledSoftmax;
pub use sequence_contrast::{Augmentation, SequenceContrast};
pub use sequence_item_contrast::SequenceItemContrast;
pub use softmax::Softmax;

/// Turns sequences into questions, and a model's answers into a loss.
pub trait Objective: Sync {
    /// What a token must see of its sequence. Where it sees both sides, the next item is asked for
    /// by the mask in its place.
    fn sides(&self) -> Sides;

    /// Whether this can be asked of a decoder that goes on where its encoder has stopped reading.
    fn suits_encoder_decoder(&self) -> bool {
        false
    }

    /// Whether a model that learnt this, and nothing else, can recommend. One that cannot keeps
    /// its last epoch, since no validation can choose.
    fn recommends(&self) -> bool {
        true
    }

    /// Whether the loss of a user's windows tells of no other user; private training needs that.
    fn is_of_one_user(&self) -> bool;

    /// Whether every number of the settings can be used.
    fn check(&self) -> tastemaker_core::Result<()>;

    /// Why this cannot be asked about `data`, if it cannot.
    fn unsuitable(&self, _data: &Dataset) -> Option<String> {
        None
    }

    /// The share of returns below the one that a model which learnt this is asked for; the backbone
    /// must then have the view of returns.
    fn prompted_return(&self) -> Option<f64> {
        None
    }

    /// The parameters of the question itself; they learn with it and are gone afterwards.
    fn parameters(&self, _facts: &Facts<'_>, _shape: Shape) -> Vec<Added> {
        Vec::new()
    }

    /// Blocks of a generator beside the model, 0 for none.
    fn generator_layers(&self) -> usize {
        0
    }

    /// Puts a window of a user's items, oldest first, into a batch.
    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    );

    /// The batch's mean loss.
    fn loss(&self, asked: &Asked<'_>, rng: &mut ChaCha8Rng) -> Result<Tensor>;
}

registry! {
    /// Every objective a study can name.
    pub enum AnyObjective: Objective {
        /// Next item, binary cross-entropy against sampled negatives (SASRec).
        "bce" => Bce(Bce),
        /// Next item, ranked above sampled negatives (BPR).
        "bpr" => Bpr(Bpr),
        /// Next item, binary cross-entropy corrected for its sampling (gSASRec).
        "gbce" => Gbce(Gbce),
        /// How far the losses of groups of users are from each other (after FOCF).
        "group-gap" => GroupGap(GroupGap),
        /// Hidden items from both sides, softmax over the whole catalog (BERT4Rec).
        "masked-items" => MaskedItems(MaskedItems),
        /// Whether one stretch of items follows another (BERT's next sentence).
        "next-sequence" => NextSequence(NextSequence),
        /// How much what comes next scores by its popularity (Zhu et al. 2021).
        "popularity-correlation" => PopularityCorrelation(PopularityCorrelation),
        /// Hidden items, all at once and block by block in one pass (UniLMv2).
        "pseudo-masked-items" => PseudoMaskedItems(PseudoMaskedItems),
        /// Whether a sequence was put in another order (RESETBERT4Rec).
        "rearranged-sequence" => RearrangedSequence(RearrangedSequence),
        /// Which items a generator put in (ELECTRA).
        "replaced-items" => ReplacedItems(ReplacedItems),
        /// Next item, given how much value is to come (PRL).
        "return-conditioned" => ReturnConditioned(ReturnConditioned),
        /// Items, attributes, segments and sequences that belong together (S3-Rec).
        "s3-rec" => S3Rec(S3Rec),
        /// Next item, softmax over the target and sampled negatives.
        "sampled-softmax" => SampledSoftmax(SampledSoftmax),
        /// Two augmented views of a sequence against those of others (CL4SRec).
        "sequence-contrast" => SequenceContrast(SequenceContrast),
        /// A sequence with the next item against the batch's others (UniSRec).
        "sequence-item-contrast" => SequenceItemContrast(SequenceItemContrast),
        /// Next item, softmax over the whole catalog.
        "softmax" => Softmax(Softmax),
    }
}
