//! Items, attributes, segments and sequences that belong together.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::{Dataset, Error, ItemId};
use tastemaker_nn::adapters::Added;
use tastemaker_nn::backbones::Shape;
use tastemaker_nn::composite::softplus;
use tastemaker_nn::fused::{MultiLabelLoss, SampledKind};
use tastemaker_nn::parameters::Init;
use tastemaker_nn::transformer::Sides;

use super::Objective;
use super::pieces::{
    check_share, check_weight, end, hidden, masked, stretch_of_another, with_negatives,
};
use crate::Result;
use crate::train::{
    Asked, BatchBuilder, Facts, Window, at, category_attributes, unknown_attribute,
};

/// The four mutual-information objectives of S3-Rec, with the items' categories as attributes.
///
/// # Formula
/// With F the states of a sequence in which items are hidden at random, e the embeddings of items,
/// E those of attributes, σ the logistic function and W a matrix a term:
///
/// * associated attributes: binary cross-entropy of σ(E W F) with the attributes of items that are
///   not hidden;
/// * masked item: −log σ(F W e⁺ − F W e⁻) for hidden items and one negative each;
/// * masked attributes: binary cross-entropy of σ(E W F) with the attributes of hidden items;
/// * segment: −log σ(c W s⁺ − c W s⁻), with c the last state of a sequence in which a stretch is
///   hidden, s⁺ that of the stretch alone and s⁻ that of another user's.
///
/// Each term is added up over its places and divided by the number of sequences; they are added
/// with their weights. A weight of 0 leaves a term out.
///
/// # When not to use it
/// Where items have no attributes; nor alone, for a model that is asked for the next item.
///
/// # References
/// Zhou et al. 2020, *S3-Rec: self-supervised learning for sequential recommendation with mutual
/// information maximization*; shares and weights are those of its code
/// (RUCAIBox/CIKM2020-S3Rec), which in the masked item's and the segment's term takes σ twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct S3Rec {
    /// The share of items that are hidden.
    pub probability: f64,
    /// The weight of the associated attributes.
    pub associated_attributes: f64,
    /// The weight of the masked item.
    pub masked_item: f64,
    /// The weight of the masked attributes.
    pub masked_attributes: f64,
    /// The weight of the segment.
    pub segment: f64,
    /// The attributes of items that are asked for; all that hold categories, if none is named.
    pub attributes: Vec<String>,
}

impl Default for S3Rec {
    fn default() -> Self {
        Self {
            probability: 0.2,
            associated_attributes: 0.2,
            masked_item: 1.0,
            masked_attributes: 1.0,
            segment: 0.5,
            attributes: vec![],
        }
    }
}

/// What a row is asked, as the batch's numbers say.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    /// The attributes of an item that is there.
    There,
    /// A hidden item and its attributes.
    Hidden,
    /// A sequence without a stretch.
    Context,
    /// The stretch.
    Own,
    /// Another's stretch.
    Other,
}

impl S3Rec {
    fn terms(&self) -> [(&'static str, f64); 4] {
        [
            ("associated-attributes", self.associated_attributes),
            ("masked-item", self.masked_item),
            ("masked-attributes", self.masked_attributes),
            ("segment", self.segment),
        ]
    }

    /// A sequence without a stretch, the stretch alone, and another user's in its place.
    fn ask_segment(
        window: &Window<'_>,
        items: &[ItemId],
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let length = rng.random_range(1..=items.len() / 2);
        let start = rng.random_range(0..=items.len() - length);
        let other = stretch_of_another((window.user, length), facts, rng);
        let mask = batch.mask();
        let inside = |place: usize| (start..start + length).contains(&place);
        for kind in [Kind::Context, Kind::Own, Kind::Other] {
            let token = |(place, item): (usize, &ItemId)| match (kind, inside(place)) {
                (Kind::Context, false) | (Kind::Own, true) => item.0,
                (Kind::Other, true) => other.get(place - start).map_or(mask, |item| item.0),
                _ => mask,
            };
            let asked = std::iter::once((items.len() - 1, items[items.len() - 1]));
            batch.push(items.iter().enumerate().map(token), asked);
            batch.numbers.push(kind as u32);
        }
    }

    /// Binary cross-entropy of the attributes of the items at these places, added up.
    fn attribute_loss(
        &self,
        asked: &Asked<'_>,
        (states, targets): (&Tensor, &[u32]),
        term: &str,
    ) -> Result<Tensor> {
        let columns: Vec<u32> =
            asked.facts.numbers(&self.attributes).into_iter().flatten().collect();
        let column = |category: &u32| columns.binary_search(category).ok();
        let of_target = |&target: &u32| -> Vec<u32> {
            let columns = asked.facts.categories(ItemId(target)).iter().filter_map(column);
            columns.map(|column| u32::try_from(column).expect("a place among 32 bits")).collect()
        };
        let labels: Vec<Vec<u32>> = targets.iter().map(of_target).collect();
        let loss = MultiLabelLoss::new(labels.iter().map(Vec::as_slice));
        let projected = states.matmul(asked.own(term))?;
        Ok(loss.precision(asked.pass.precision).apply(&projected, asked.own("attributes"))?)
    }

    /// −log σ of how much better hidden items fit than one other each, added up.
    fn items(
        asked: &Asked<'_>,
        (states, targets): (&Tensor, &[u32]),
        rng: &mut ChaCha8Rng,
    ) -> Result<Tensor> {
        let classes = with_negatives(targets, (1, asked.batch.n_items), rng);
        let projected = states.matmul(asked.own("masked-item"))?;
        let mean = asked.table().sampled(SampledKind::Pairwise, &projected, classes)?;
        Ok((mean * targets.len() as f64)?)
    }

    /// −log σ of how much better stretches fit their sequences than others', added up.
    fn segments(asked: &Asked<'_>, [context, own, other]: [&Tensor; 3]) -> Result<Tensor> {
        let projected = context.matmul(asked.own("segment"))?;
        let ahead = projected.mul(&own.sub(other)?)?.sum(1)?;
        Ok(softplus(&ahead.neg()?)?.sum_all()?)
    }
}

impl Objective for S3Rec {
    fn sides(&self) -> Sides {
        Sides::Both
    }

    fn recommends(&self) -> bool {
        false
    }

    fn is_of_one_user(&self) -> bool {
        false
    }

    fn check(&self) -> tastemaker_core::Result<()> {
        check_share("probability", self.probability)?;
        for (name, weight) in self.terms() {
            check_weight(name, weight)?;
        }
        if self.terms().iter().all(|(_, weight)| *weight == 0.0) {
            return Err(Error::setting("the weights of s3-rec", "all 0", "one above 0"));
        }
        Ok(())
    }

    fn unsuitable(&self, data: &Dataset) -> Option<String> {
        let known = category_attributes(data);
        if let Some(why) = unknown_attribute(&self.attributes, &known, ("items", "categories")) {
            return Some(why);
        }
        let needs = self.associated_attributes + self.masked_attributes > 0.0;
        (needs && known.is_empty()).then(|| {
            "the items have no attributes with categories; give some, or set \
             associated-attributes and masked-attributes to 0"
                .to_owned()
        })
    }

    fn parameters(&self, facts: &Facts<'_>, shape: Shape) -> Vec<Added> {
        let width = shape.embedding_size;
        // Of the size that leaves a state's length as it is.
        let init = Init::Normal(1.0 / (width as f64).sqrt());
        let matrix = |(name, _): (&str, f64)| (name.to_owned(), vec![width, width], init);
        let terms = self.terms().into_iter().filter(|(_, weight)| *weight > 0.0);
        let mut all: Vec<Added> = terms.map(matrix).collect();
        if self.associated_attributes + self.masked_attributes > 0.0 {
            let n = facts.numbers(&self.attributes).into_iter().map(|numbers| numbers.len()).sum();
            let dimensions = vec![n, width];
            all.push(("attributes".to_owned(), dimensions, Init::Normal(0.02)));
        }
        all
    }

    fn ask(
        &self,
        window: &Window<'_>,
        facts: &Facts<'_>,
        rng: &mut ChaCha8Rng,
        batch: &mut BatchBuilder,
    ) {
        let items = end(window, (facts, 0), batch);
        let hidden = hidden(items.len(), self.probability, rng);
        batch.push(masked(items, &hidden, batch.mask()), items.iter().copied().enumerate());
        let kind = |hidden: &bool| if *hidden { Kind::Hidden } else { Kind::There };
        batch.numbers.extend(hidden.iter().map(|hidden| kind(hidden) as u32));
        if self.segment > 0.0 && items.len() >= 2 {
            Self::ask_segment(window, items, facts, rng, batch);
        }
    }

    fn loss(&self, asked: &Asked<'_>, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let batch = asked.batch;
        let states = asked.hidden()?;
        let of = |kind: Kind| -> Result<(Tensor, Vec<u32>)> {
            let rows: Vec<u32> = (0..)
                .zip(&batch.numbers)
                .filter_map(|(row, number)| (*number == kind as u32).then_some(row))
                .collect();
            let targets = rows.iter().map(|&row| batch.targets[row as usize]).collect();
            Ok((at(&states, &rows)?, targets))
        };
        let mut total = Tensor::zeros((), states.dtype(), states.device())?;
        let mut add = |weight: f64, term: Tensor| -> Result<()> {
            total = (&total + (term * weight)?)?;
            Ok(())
        };
        let (there, hidden) = (of(Kind::There)?, of(Kind::Hidden)?);
        if self.associated_attributes > 0.0 && !there.1.is_empty() {
            let there = (&there.0, &there.1[..]);
            add(
                self.associated_attributes,
                self.attribute_loss(asked, there, "associated-attributes")?,
            )?;
        }
        let hidden = (&hidden.0, &hidden.1[..]);
        if self.masked_item > 0.0 {
            add(self.masked_item, Self::items(asked, hidden, rng)?)?;
        }
        if self.masked_attributes > 0.0 {
            add(self.masked_attributes, self.attribute_loss(asked, hidden, "masked-attributes")?)?;
        }
        let (context, _) = of(Kind::Context)?;
        let segments = context.dim(0)?;
        if self.segment > 0.0 && segments > 0 {
            let stretches = [&context, &of(Kind::Own)?.0, &of(Kind::Other)?.0];
            add(self.segment, Self::segments(asked, stretches)?)?;
        }
        let others = if self.segment > 0.0 { 3 * segments } else { 0 };
        let sequences = batch.input.lanes.lengths().len() - others;
        Ok((total / sequences as f64)?)
    }
}
