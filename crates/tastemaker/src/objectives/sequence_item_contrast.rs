//! A sequence against the items that came after others.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_nn::transformer::{FEATURES, Sides};

use super::Objective;
use super::pieces::{check_positive, check_share, contrast, normalised};
use crate::Result;
use crate::train::{Asked, BatchBuilder, Facts, Window};

/// `InfoNCE` of each sequence with the item that came after it, against those that came after the
/// batch's other sequences.
///
/// # Formula
/// −log( e^(h·v⁺/τ) / Σⱼ e^(h·vⱼ/τ) ), averaged over sequences, with h the state of the last place,
/// v⁺ the embedding of the item after it and vⱼ those of the batch; both of length 1 if `cosine`.
/// The same item after another sequence is left out of the sum.
///
/// Where items are sums of codes' embeddings and codes are `exchanged`, one more vⱼ is in the sum of each
/// sequence: the item after it with some of its codes exchanged, `(1/√G) Σ_g F_{g, c′_g}`, where c′ is, with
/// this probability, any code of the group, and else the item's own.
///
/// # When not to use it
/// Alone: with `cosine` the scores it learns are not those by which items are ranked, and its
/// negatives are as many as the batch has sequences.
///
/// # References
/// Oord et al. 2018, *Representation learning with contrastive predictive coding*; the
/// sequence–item objective of Hou et al. 2022, *`UniSRec`* (τ = 0.07), whose code leaves e⁰ of the
/// excluded terms in the sum; exchanged codes: the semi-synthetic negatives of Hou et al. 2023, *`VQ-Rec`*
/// (0.75 there).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SequenceItemContrast {
    /// The temperature τ.
    pub temperature: f64,
    /// Whether states and embeddings are scaled to length 1.
    pub cosine: bool,
    /// The probability with which a code is exchanged in a negative that is made of the right item's; 0
    /// for no such negatives.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub exchanged: f64,
}

impl SequenceItemContrast {
    /// The items of `targets` with some of their codes exchanged [targets, width], and which of them have
    /// codes.
    fn exchanged(
        &self,
        asked: &Asked<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Option<(Tensor, Vec<bool>)>> {
        let Some(codes) = asked.model.features().filter(|_| self.exchanged > 0.0) else {
            return Ok(None);
        };
        let targets = &asked.batch.targets;
        let of = |target: &u32| codes.of(*target as usize);
        let groups = targets.iter().map(|target| of(target).len()).max().unwrap_or(0);
        if groups == 0 {
            return Ok(None);
        }
        let of_group = u32::try_from(codes.n() / groups).expect("codes are few");
        let mut numbers = Vec::with_capacity(targets.len() * groups);
        for target in targets {
            let own = of(target);
            for (group, first) in (0..groups).zip((0..).step_by(of_group as usize)) {
                let other = rng.random_bool(self.exchanged).then(|| rng.random_range(0..of_group));
                let own = own.get(group).copied().unwrap_or(first);
                numbers.push(other.map_or(own, |other| first + other));
            }
        }
        let table = asked.model.parameters().get(FEATURES);
        let (n, width) = (targets.len(), table.dim(1)?);
        let numbers = Tensor::from_vec(numbers, n * groups, table.device())?;
        let parts = table.index_select(&numbers, 0)?.reshape((n, groups, width))?;
        let items = (parts.sum(1)? / (groups as f64).sqrt())?;
        Ok(Some((items, targets.iter().map(|target| of(target).len() == groups).collect())))
    }
}

impl Default for SequenceItemContrast {
    fn default() -> Self {
        Self { temperature: 0.07, cosine: true, exchanged: 0.0 }
    }
}

impl Objective for SequenceItemContrast {
    fn sides(&self) -> Sides {
        Sides::Causal
    }

    fn recommends(&self) -> bool {
        !self.cosine
    }

    fn is_of_one_user(&self) -> bool {
        false
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        check_positive("temperature", self.temperature)?;
        check_share("exchanged", self.exchanged)
    }

    fn ask(
        &self,
        window: &Window<'_>,
        _facts: &Facts<'_>,
        _rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        if let [items @ .., next] = window.items {
            let asked = std::iter::once((items.len() - 1, *next));
            batch.push(items.iter().map(|item| item.0), asked);
        }
    }

    fn loss(&self, asked: &Asked<'_>, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let (targets, mut coded) = (&asked.batch.targets, vec![]);
        let (mut states, mut items) = (asked.hidden()?, asked.table().rows(targets.clone())?);
        if let Some((others, are_coded)) = self.exchanged(asked, rng)? {
            (items, coded) = (Tensor::cat(&[items, others], 0)?, are_coded);
        }
        if self.cosine {
            (states, items) = (normalised(&states)?, normalised(&items)?);
        }
        let right: Vec<u32> = (0..).take(targets.len()).collect();
        let ignore = |i: usize, j: usize| match j.checked_sub(targets.len()) {
            None => targets[i] == targets[j],
            Some(other) => other != i || !coded[i],
        };
        contrast((&states, &items), self.temperature, &right, ignore)
    }
}
