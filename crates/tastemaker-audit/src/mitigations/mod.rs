//! What lessens a harm: here, by putting lists in another order.

use tastemaker_core::{RankOptions, RankedList, RecQuery, Recommender, Result, registry};
use tastemaker_eval::Ground;

mod calibrated;
mod exploration;
mod exposure_fair;
mod mmr;
mod popularity_debiased;
mod trade_off;

pub use calibrated::Calibrated;
pub use exploration::Exploration;
pub use exposure_fair::ExposureFair;
pub use mmr::Mmr;
pub use popularity_debiased::PopularityDebiased;
pub use trade_off::{Point, TradeOff, at_strengths, mitigated};

/// How many times as long as needed the lists are that are put in another order.
const LONGER: usize = 10;

/// Something that is done to the lists of a recommender.
///
/// Its strength is from 0, which leaves lists as they are, to 1, which forgets what the recommender said.
pub trait Mitigation: Send + Sync {
    /// The strength.
    fn strength(&self) -> f64;

    /// The same with another strength.
    fn at(&self, strength: f64) -> AnyMitigation;

    /// What puts longer lists of items of which `ground` knows in another order.
    fn reranker<'a>(&'a self, ground: &'a Ground) -> Reranker<'a>;
}

/// Makes of a longer list that answers a query the best so many.
pub type Reranker<'a> =
    Box<dyn Fn(&RankedList, &RecQuery<'_>, usize) -> RankedList + Send + Sync + 'a>;

registry! {
    /// Every mitigation that can be named.
    pub enum AnyMitigation: Mitigation {
        /// The mix of categories of a list comes near that of the user's history.
        "calibrated" => Calibrated(Calibrated),
        /// The last places of a list go to items drawn at random.
        "exploration" => Exploration(Exploration),
        /// Groups of items are shown as often as they are in the catalog.
        "exposure-fair" => ExposureFair(ExposureFair),
        /// Items that are like those above them come later (maximal marginal relevance).
        "mmr" => Mmr(Mmr),
        /// Popular items come later.
        "popularity-debiased" => PopularityDebiased(PopularityDebiased),
    }
}

impl AnyMitigation {
    /// All of them with this strength, over all categories.
    pub fn all(strength: f64) -> Vec<Self> {
        let attribute = None;
        vec![
            Self::Calibrated(Calibrated { strength, attribute: attribute.clone() }),
            Self::Exploration(Exploration { strength, seed: 0 }),
            Self::ExposureFair(ExposureFair { strength, attribute: attribute.clone() }),
            Self::Mmr(Mmr { strength, attribute }),
            Self::PopularityDebiased(PopularityDebiased { strength }),
        ]
    }
}

/// A recommender to whose lists something is done. Where candidates are given, nothing else comes in.
pub struct Mitigated<'a> {
    recommender: &'a dyn Recommender,
    reranker: Option<Reranker<'a>>,
    n_items: usize,
    name: String,
}

impl<'a> Mitigated<'a> {
    /// Does `mitigation` to what `recommender` says of items of which `ground` knows.
    pub fn new(
        recommender: &'a dyn Recommender,
        mitigation: &'a AnyMitigation,
        ground: &'a Ground,
    ) -> Self {
        let strength = mitigation.as_dyn().strength();
        let name = format!("{} with {} {strength}", recommender.name(), mitigation.name());
        let reranker = (strength > 0.0).then(|| mitigation.as_dyn().reranker(ground));
        Self { recommender, reranker, n_items: ground.n_items(), name }
    }
}

impl Recommender for Mitigated<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> Result<Vec<RankedList>> {
        let Some(reranker) = &self.reranker else {
            return self.recommender.recommend(queries, options);
        };
        let n = (options.n * LONGER).min(self.n_items);
        let longer = self.recommender.recommend(queries, &RankOptions { n, ..*options })?;
        let pairs = longer.iter().zip(queries);
        Ok(pairs.map(|(list, query)| reranker(list, query, options.n)).collect())
    }
}

/// Takes `n` items of `list` one after the other: each time the one that is worth most, the earlier one of
/// equals. `worths` is told the places in the list that are left and those that were taken, and says what
/// each that is left is worth. Scores are what items were worth, made to descend.
fn greedy(
    list: &RankedList,
    n: usize,
    mut worths: impl FnMut(&[usize], &[usize]) -> Vec<f64>,
) -> RankedList {
    let mut left: Vec<usize> = (0..list.items.len()).collect();
    let (mut taken, mut scores) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let mut least = f32::INFINITY;
    while taken.len() < n && !left.is_empty() {
        let worths = worths(&left, &taken);
        let by = |a: &usize, b: &usize| worths[*a].total_cmp(&worths[*b]).then(b.cmp(a));
        let best = (0..left.len()).max_by(by).expect("one is left");
        #[expect(clippy::cast_possible_truncation, reason = "scores are single")]
        let score = worths[best] as f32;
        least = least.min(score);
        scores.push(least);
        taken.push(left.remove(best));
    }
    let items = taken.iter().map(|&place| list.items[place]).collect();
    RankedList { items, scores, named: list.named, invalid: list.invalid }
}

/// The scores of `list` between 0 and 1: by their places where they are not known or all alike.
fn relevance(list: &RankedList) -> Vec<f64> {
    let n = list.items.len();
    let finite = |score: &&f32| score.is_finite();
    let scores = || list.scores.iter().filter(finite).map(|&score| f64::from(score));
    let (low, high) =
        (scores().fold(f64::INFINITY, f64::min), scores().fold(f64::NEG_INFINITY, f64::max));
    if list.scores.len() == n && scores().count() == n && high > low {
        return scores().map(|score| (score - low) / (high - low)).collect();
    }
    (0..n).map(|place| 1.0 - place as f64 / n as f64).collect()
}
