//! Numbers that were foretold against those that came: ratings, and clicks.
//!
//! Functions answer `None` where there is nothing to take a value of.

use crate::metrics::mean_of;

/// A rating that was foretold, and the one that was given.
pub type Rating = (f64, f64);

/// The probability of a click, and whether there was one. Metrics that only order clicks take any
/// score.
pub type Click = (f64, bool);

/// Metrics of clicks that were asked about together, such as those of one impression or of one user:
/// means over those groups that have a click and a miss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grouped {
    /// The mean of [`auc`], each group alike.
    pub auc: f64,
    /// The mean of [`auc`], weighted by what was shown: clicks and misses.
    pub auc_by_shown: f64,
    /// The mean of [`auc`], weighted by clicks.
    pub auc_by_clicks: f64,
    /// Mean of 1 / rank over all clicks of a group, not that of the first.
    pub mrr: f64,
    /// NDCG of the first 5.
    pub ndcg_5: f64,
    /// NDCG of the first 10.
    pub ndcg_10: f64,
    /// Groups that count.
    pub n: usize,
    /// Groups without a click, or without a miss, which do not.
    pub skipped: usize,
}

/// RMSE, the root of the mean squared error, from 0; smaller is better.
///
/// # Formula
/// `√( 1/n Σ (p − r)² )`, with p as it was foretold: cut it off at the least and the largest rating
/// before, where others do (PETER).
///
/// # References
/// `root_mean_squared_error` of scikit-learn.
pub fn rmse(ratings: &[Rating]) -> Option<f64> {
    let squares = ratings.iter().map(|(foretold, given)| (foretold - given).powi(2));
    (!ratings.is_empty()).then(|| mean_of(squares).sqrt())
}

/// MAE, the mean absolute error, from 0; smaller is better.
///
/// # Formula
/// `1/n Σ |p − r|`.
///
/// # References
/// `mean_absolute_error` of scikit-learn.
pub fn mae(ratings: &[Rating]) -> Option<f64> {
    let errors = ratings.iter().map(|(foretold, given)| (foretold - given).abs());
    (!ratings.is_empty()).then(|| mean_of(errors))
}

/// AUC, the probability that a click has the better score than a miss, from 0 to 1; larger is better.
/// `None` without a click or without a miss.
///
/// # Formula
/// Over all pairs of a click and a miss, the share in which the click has the better score; equal
/// scores count half, which is the same as average ranks.
///
/// # When not to use it
/// Where scores of different users cannot be compared: [`grouped`] takes each by itself.
///
/// # References
/// `roc_auc_score` of scikit-learn.
pub fn auc(clicks: &[Click]) -> Option<f64> {
    area(alike(clicks))
}

/// Log-loss, or binary cross-entropy, in nats, from 0; smaller is better.
///
/// # Formula
/// `−1/n Σ ( y ln p + (1 − y) ln(1 − p) )`, with p cut off at ε and 1 − ε, where ε = 2⁻⁵².
///
/// # References
/// `log_loss` of scikit-learn, whose ε it is for numbers in 64 bits.
pub fn log_loss(clicks: &[Click]) -> Option<f64> {
    let of = |(probability, clicked): &Click| {
        let probability = probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        -(if *clicked { probability } else { 1.0 - probability }).ln()
    };
    (!clicks.is_empty()).then(|| mean_of(clicks.iter().map(of)))
}

/// ECE, the expected calibration error, from 0 to 1; smaller is better. `None` without a bin, too.
///
/// # Formula
/// `Σₘ |Bₘ|/n · | share of clicks in Bₘ − mean probability in Bₘ |` over bins of equal width. A
/// probability on an edge is in the bin below: Bₘ holds those in ((m − 1)/M, m/M], and B₁ 0 as well.
/// What is below 0 is in the first bin, and what is above 1 in the last.
///
/// # When not to use it
/// To compare different numbers of bins. It is about the probability of a click, not about that of the
/// likelier of the two answers.
///
/// # References
/// Guo et al. 2017; Naeini et al. 2015 for two classes; `BinaryCalibrationError` of torchmetrics, which
/// puts a probability on an edge into the bin above.
pub fn calibration_error(clicks: &[Click], bins: usize) -> Option<f64> {
    let edges: Vec<f64> = (1..bins).map(|bin| bin as f64 / bins as f64).collect();
    // In each bin the clicks minus their probabilities.
    let mut sums = vec![0.0; bins];
    for (probability, clicked) in clicks {
        let bin = edges.partition_point(|edge| edge < probability);
        *sums.get_mut(bin)? += f64::from(u8::from(*clicked)) - probability;
    }
    let off: f64 = sums.into_iter().map(f64::abs).sum();
    (!clicks.is_empty()).then(|| off / clicks.len() as f64)
}

/// Metrics of clicks group by group; `None` where no group has both a click and a miss.
///
/// # Formula
/// With C the clicks of a group, mrr = 1/|C| Σ 1/rank over C, and ndcg as Σ (2ʸ − 1)/log₂(rank + 1) over
/// the first k, divided by the same sum with the clicks first; y is 1 for a click and else 0. Of equal
/// scores each order is as likely: the value is the mean over them.
///
/// # When not to use it
/// Its MRR is not the reciprocal rank of the first: that is the metric `mrr`.
///
/// # References
/// The protocol of MIND (Wu et al. 2020), whose program settles equal scores by where they stand.
/// AUC weighted by what was shown: Zhu et al. 2017; by clicks: `GAUC` of RecBole. NDCG with equal scores:
/// `McSherry` and Najork 2008, `ndcg_score` of scikit-learn.
pub fn grouped(groups: &[&[Click]]) -> Option<Grouped> {
    let (mut sums, mut n, mut shown, mut clicks) = ([0.0; 6], 0, 0.0, 0.0);
    for group in groups {
        let alike = alike(group);
        let Some(auc) = area(alike.iter().copied()) else { continue };
        let (own, of) = (alike.iter().map(|(own, _)| own).sum::<usize>(), group.len() as f64);
        let mrr = discounted(&alike, usize::MAX, |rank| 1.0 / rank as f64) / own as f64;
        let ndcg = |k| discounted(&alike, k, discount) / discounted(&[(own, 0)], k, discount);
        let values = [auc, auc * of, auc * own as f64, mrr, ndcg(5), ndcg(10)];
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
        (n, shown, clicks) = (n + 1, shown + of, clicks + own as f64);
    }
    let [auc, by_shown, by_clicks, mrr, ndcg_5, ndcg_10] = sums;
    let of = |sum: f64| sum / n as f64;
    (n > 0).then(|| Grouped {
        auc: of(auc),
        auc_by_shown: by_shown / shown,
        auc_by_clicks: by_clicks / clicks,
        mrr: of(mrr),
        ndcg_5: of(ndcg_5),
        ndcg_10: of(ndcg_10),
        n,
        skipped: groups.len() - n,
    })
}

/// Over all pairs of a positive and a negative, the share in which the positive is the better one, from
/// how many there are of either with each score, the best score first; equal scores count half.
pub(crate) fn area(alike: impl IntoIterator<Item = (usize, usize)>) -> Option<f64> {
    let (mut better, mut positives, mut negatives) = (0.0, 0, 0);
    for (own, others) in alike {
        better += others as f64 * (positives as f64 + own as f64 / 2.0);
        (positives, negatives) = (positives + own, negatives + others);
    }
    let pairs = positives as f64 * negatives as f64;
    (pairs > 0.0).then(|| better / pairs)
}

/// What a hit at `rank`, from 1, counts in NDCG.
pub(crate) fn discount(rank: usize) -> f64 {
    1.0 / ((rank + 1) as f64).log2()
}

/// The clicks and the misses with each score, the best score first.
fn alike(clicks: &[Click]) -> Vec<(usize, usize)> {
    // Adding zero makes -0.0 equal to 0.0.
    let mut order: Vec<Click> =
        clicks.iter().map(|(score, clicked)| (score + 0.0, *clicked)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let equal = order.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq());
    let counted = equal.map(|equal| {
        let own = equal.iter().filter(|(_, clicked)| *clicked).count();
        (own, equal.len() - own)
    });
    counted.collect()
}

/// What the clicks among the first `k` are worth by their ranks, on average over the orders of equal
/// scores.
fn discounted(alike: &[(usize, usize)], k: usize, worth: fn(usize) -> f64) -> f64 {
    let (mut sum, mut above) = (0.0, 0);
    for (own, others) in alike {
        let n = own + others;
        let all: f64 = (above + 1..=(above + n).min(k)).map(worth).sum();
        sum += all * *own as f64 / n as f64;
        above += n;
    }
    sum
}
