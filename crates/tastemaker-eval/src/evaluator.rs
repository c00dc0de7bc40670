//! One pass over ranked lists.

use serde::{Deserialize, Serialize};
use tastemaker_core::splits::{EvalCase, Part, SplitSets};
use tastemaker_core::{
    Dataset, Error, ItemId, RankOptions, RankedList, RecQuery, Recommender, Result, SeedTree,
    TieOrder, UserId,
};

use crate::metrics::{AnyMetric, Need};
use crate::{About, Ground, sampled};

/// Users that are ranked together: memory is this many lists, whatever the number of users.
const USERS_A_BLOCK: usize = 1024;

/// Among which items the targets are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// The whole catalog.
    Full,
    /// The targets and this many sampled items. Metrics carry `sampled-N` in their names: they
    /// are other numbers than those over the whole catalog, and can order recommenders otherwise
    /// (Krichene and Rendle 2020).
    Sampled {
        /// Sampled items a user.
        n: usize,
    },
}

/// Whose targets are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// Everyone's.
    #[default]
    All,
    /// Those of users all of whose targets somebody met in the training part.
    Met,
    /// Those of users none of whose targets anybody met in the training part: cold-start items.
    Unmet,
}

impl Targets {
    /// Those of `cases` that are asked for.
    fn of<'a>(
        self,
        cases: Vec<EvalCase<'a>>,
        data: &Dataset,
        split: &SplitSets,
    ) -> Vec<EvalCase<'a>> {
        if self == Self::All {
            return cases;
        }
        let popularity = split.train_popularity(data);
        let is = |item: &ItemId| (popularity[item.index()] > 0) == (self == Self::Met);
        cases.into_iter().filter(|case| case.targets.iter().all(is)).collect()
    }

    /// What is said of them, of `n` users with targets.
    fn words(self, n: usize, of: usize) -> String {
        match self {
            Self::All => String::new(),
            Self::Met => format!(", {n} of {of} users: those whose targets were met in training"),
            Self::Unmet => {
                format!(", {n} of {of} users: those whose targets nobody met in training")
            }
        }
    }
}

/// Takes metrics of what a recommender answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluator {
    metrics: Vec<AnyMetric>,
    targets: Targets,
    candidates: Candidates,
    allow_seen: bool,
    users: usize,
    noise: f64,
}

/// Metrics, and every user's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Means over users and values of all lists together.
    pub summary: Summary,
    /// The users, in the order of the values.
    pub users: Vec<UserId>,
    /// The metrics of single lists.
    pub per_user: Vec<PerUser>,
}

/// One metric of every user.
#[derive(Clone, Debug, PartialEq)]
pub struct PerUser {
    /// The metric's label.
    pub metric: String,
    /// A value a user.
    pub values: Vec<f64>,
}

/// Metrics, and how they were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Summary {
    /// How they were taken, in a sentence.
    pub protocol: String,
    /// In the order in which they were asked for.
    pub metrics: Vec<Value>,
    /// The share of lists that hold equal scores, which chance has put into order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ties: Option<f64>,
}

/// The value of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Value {
    /// The metric's label.
    pub metric: String,
    /// Mean over users, or the value of all lists together.
    pub mean: f64,
    /// Standard error of the mean over users; `None` for metrics of all lists together.
    pub standard_error: Option<f64>,
    /// Users asked about.
    pub n_users: usize,
}

/// What grows while lists come in.
struct Sums {
    per_user: Vec<Vec<f64>>,
    /// How much each user counts.
    weights: Vec<Vec<f64>>,
    exposure: Vec<Vec<u32>>,
    /// Lists with equal scores.
    tied: usize,
}

impl Evaluator {
    /// Takes these metrics over the whole catalog, without what is in the history.
    pub fn new(metrics: Vec<AnyMetric>) -> Result<Self> {
        let setting = |name: &str, found: String, expected: &str| Error::Setting {
            name: name.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        if metrics.is_empty() {
            return Err(setting("metrics", "empty".to_owned(), "one or more, such as ndcg at 10"));
        }
        for (i, metric) in metrics.iter().enumerate() {
            let label = metric.as_dyn().label();
            if metric.as_dyn().k() == 0 {
                return Err(setting(
                    &format!("the cut-off of {label}"),
                    "0".to_owned(),
                    "1 or more",
                ));
            }
            if let Some(problem) = metric.as_dyn().problem() {
                return Err(problem);
            }
            if metrics[..i].contains(metric) {
                return Err(setting("metrics", format!("{label} twice"), "each metric once"));
            }
        }
        Ok(Self {
            metrics,
            targets: Targets::All,
            candidates: Candidates::Full,
            allow_seen: false,
            users: 0,
            noise: 0.0,
        })
    }

    /// Asks for these targets alone.
    #[must_use]
    pub fn targets(self, targets: Targets) -> Self {
        Self { targets, ..self }
    }

    /// Ranks among these items.
    #[must_use]
    pub fn candidates(self, candidates: Candidates) -> Self {
        Self { candidates, ..self }
    }

    /// Whether items of the history may be recommended again.
    #[must_use]
    pub fn allow_seen(self, allow_seen: bool) -> Self {
        Self { allow_seen, ..self }
    }

    /// Asks for this many users alone, drawn at random: for what takes seconds a user. 0 are all.
    #[must_use]
    pub fn users(self, users: usize) -> Self {
        Self { users, ..self }
    }

    /// Replaces this share of what recommenders are told of each history, from 0 to 1, by other items drawn
    /// at random: noisy input.
    #[must_use]
    pub fn noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    /// Asks `recommender` for every user with targets in `part`, or for those that are drawn. Ties,
    /// samples and the draw follow from `seeds`.
    pub fn evaluate(
        &self,
        recommender: &dyn Recommender,
        data: &Dataset,
        split: &SplitSets,
        part: Part,
        seeds: &SeedTree,
    ) -> Result<Evaluation> {
        let ties = TieOrder::new(data.n_items(), &seeds.child("ties"));
        let all = split.cases(data, part);
        let most_targets = all.iter().map(|case| case.targets.len()).max().unwrap_or(1);
        let depth = |metric: &AnyMetric| metric.as_dyn().depth(most_targets);
        let n = self.metrics.iter().map(depth).max().unwrap_or(1);
        let (n, ground) = (n.min(data.n_items()), self.ground(data, split));
        let options = RankOptions { n, allow_seen: self.allow_seen, ties: &ties };
        let n_all = all.len();
        let mut cases = self.targets.of(all, data, split);
        let among = cases.len();
        if among == 0 && n_all > 0 {
            let reason = match self.targets {
                Targets::Unmet => "all of its targets were met in training",
                _ => "none of its targets were met in training",
            };
            let (part, split) = (part.name(), split.name());
            return Err(Error::EmptySplit { part, split, reason: reason.to_owned() });
        }
        if (1..among).contains(&self.users) {
            cases = sampled::users(cases, self.users, &seeds.child("users"));
        }
        let mut sums = self.sums(data.n_items());
        for block in cases.chunks(USERS_A_BLOCK) {
            let sampled: Vec<Option<Vec<ItemId>>> =
                block.iter().map(|case| self.sample(case, data.n_items(), seeds)).collect();
            let noise = seeds.child("noise");
            let noisy = |case| sampled::noisy(case, self.noise, data.n_items(), &noise);
            let noisy: Vec<Option<Vec<ItemId>>> =
                block.iter().map(|case| (self.noise > 0.0).then(|| noisy(case))).collect();
            let mut queries = Vec::with_capacity(block.len());
            for ((case, candidates), noisy) in block.iter().zip(&sampled).zip(&noisy) {
                let (user, candidates) = (Some(case.user), candidates.as_deref());
                let history = noisy.as_deref().unwrap_or(case.history);
                queries.push(RecQuery { user, history, candidates });
            }
            let lists = recommender.recommend(&queries, &options)?;
            for ((list, query), case) in lists.iter().zip(&queries).zip(block) {
                let (candidates, seen) = match query.candidates {
                    Some(candidates) => (candidates.len(), &[][..]),
                    None => (data.n_items(), options.seen(query)),
                };
                let about = About { history: case.history, candidates, seen, ground: &ground };
                self.add(&mut sums, list, case.targets, &about);
            }
        }
        let users: Vec<UserId> = cases.iter().map(|case| case.user).collect();
        let mut protocol = self.protocol(split, part);
        protocol.push_str(&self.targets.words(among, n_all));
        if self.noise > 0.0 {
            let share = self.noise * 100.0;
            protocol = format!("{protocol}, {share} % of each history replaced at random");
        }
        if users.len() < among {
            protocol = format!("{protocol}, {} of {among} users drawn at random", users.len());
        }
        self.finish(sums, users, protocol)
    }

    /// The metrics of lists that were made elsewhere, each with its targets, over a catalog of which
    /// `ground` knows; histories are unknown, and lists are of all candidates.
    pub fn evaluate_lists<'a>(
        &self,
        lists: impl IntoIterator<Item = (UserId, &'a RankedList, &'a [ItemId])>,
        ground: &Ground,
    ) -> Result<Evaluation> {
        let of_categories =
            |metric: &&AnyMetric| matches!(metric.as_dyn().needs(), Need::Categories(_));
        if let Some(metric) = self.metrics.iter().find(of_categories) {
            let expected =
                "a metric of lists alone, since of these no histories and categories are known";
            return Err(Error::setting("a metric", metric.as_dyn().label(), expected));
        }
        let (mut sums, mut users) = (self.sums(ground.n_items()), Vec::new());
        for (user, list, targets) in lists {
            let candidates = list.items.len();
            let about = About { history: &[], candidates, seen: &[], ground };
            self.add(&mut sums, list, targets, &about);
            users.push(user);
        }
        self.finish(sums, users, "lists as they were given".to_owned())
    }

    /// The items among which a user's targets are ranked, of `n_items` in the catalog; `None` for all
    /// of them.
    pub fn sample(
        &self,
        case: &EvalCase<'_>,
        n_items: usize,
        seeds: &SeedTree,
    ) -> Option<Vec<ItemId>> {
        match self.candidates {
            Candidates::Full => None,
            Candidates::Sampled { n } => Some(sampled::candidates(
                case,
                n,
                n_items,
                self.allow_seen,
                &seeds.child("sampled"),
            )),
        }
    }

    /// What the metrics must know of items.
    fn ground(&self, data: &Dataset, split: &SplitSets) -> Ground {
        let knows = self.metrics.iter().any(|metric| metric.as_dyn().needs() != Need::Nothing);
        if knows { Ground::new(data, split) } else { Ground::default() }
    }

    fn sums(&self, n_items: usize) -> Sums {
        let exposure = |metric: &AnyMetric| {
            let aggregate = metric.as_dyn().of_exposure(&[0]).is_some();
            if aggregate { vec![0; n_items] } else { Vec::new() }
        };
        Sums {
            per_user: vec![Vec::new(); self.metrics.len()],
            weights: vec![Vec::new(); self.metrics.len()],
            exposure: self.metrics.iter().map(exposure).collect(),
            tied: 0,
        }
    }

    fn add(&self, sums: &mut Sums, list: &RankedList, targets: &[ItemId], about: &About<'_>) {
        sums.tied +=
            usize::from(list.scores.windows(2).any(|pair| pair[0].total_cmp(&pair[1]).is_eq()));
        let values = sums.per_user.iter_mut().zip(&mut sums.weights);
        let columns = values.zip(&mut sums.exposure);
        for (metric, ((values, weights), exposure)) in self.metrics.iter().zip(columns) {
            values.extend(metric.as_dyn().of_user(list, targets, about));
            weights.push(metric.as_dyn().weight(targets));
            if !exposure.is_empty() {
                for item in list.items.iter().take(metric.as_dyn().k()) {
                    exposure[item.index()] += 1;
                }
            }
        }
    }

    fn finish(&self, sums: Sums, users: Vec<UserId>, protocol: String) -> Result<Evaluation> {
        if users.is_empty() {
            return Err(Error::EmptySplit {
                part: "asked",
                split: "study's",
                reason: "no user has anything to foretell in it".to_owned(),
            });
        }
        let ties = Some(sums.tied as f64 / users.len() as f64);
        let (mut metrics, mut per_user) = (Vec::new(), Vec::new());
        let columns = sums.per_user.into_iter().zip(sums.weights).zip(sums.exposure);
        for (metric, ((values, weights), exposure)) in self.metrics.iter().zip(columns) {
            let label = self.label(metric);
            let (mean, standard_error) = match metric.as_dyn().of_exposure(&exposure) {
                Some(value) => (value, None),
                None => {
                    let mean = mean(&values, &weights);
                    (mean, standard_error((&values, &weights), mean))
                }
            };
            metrics.push(Value {
                metric: label.clone(),
                mean,
                standard_error,
                n_users: users.len(),
            });
            if !values.is_empty() {
                per_user.push(PerUser { metric: label, values });
            }
        }
        Ok(Evaluation { summary: Summary { protocol, metrics, ties }, users, per_user })
    }

    fn label(&self, metric: &AnyMetric) -> String {
        match self.candidates {
            Candidates::Full => metric.as_dyn().label(),
            Candidates::Sampled { n } => format!("{} sampled-{n}", metric.as_dyn().label()),
        }
    }

    fn protocol(&self, split: &SplitSets, part: Part) -> String {
        let among = match self.candidates {
            Candidates::Full => "ranked over the whole catalog".to_owned(),
            Candidates::Sampled { n } => format!("ranked among {n} uniformly sampled items"),
        };
        let seen = if self.allow_seen { "seen items included" } else { "seen items excluded" };
        format!(
            "{} targets of the {} split ({}), {among}, {seen}, ties in a seeded random order",
            part.name(),
            split.name(),
            split.hash(),
        )
    }
}

/// Σ wᵢ xᵢ / Σ wᵢ.
fn mean(values: &[f64], weights: &[f64]) -> f64 {
    let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    sum / weights.iter().sum::<f64>()
}

/// Of a weighted mean m: √(n/(n − 1) Σ wᵢ² (xᵢ − m)²) / Σ wᵢ, which with equal weights is the standard
/// deviation (n − 1) over √n; `None` of fewer than two values.
fn standard_error((values, weights): (&[f64], &[f64]), mean: f64) -> Option<f64> {
    let n = values.len();
    let off = values.iter().zip(weights).map(|(value, weight)| (weight * (value - mean)).powi(2));
    let squares: f64 = off.sum();
    let total: f64 = weights.iter().sum();
    (n > 1).then(|| (squares * n as f64 / (n - 1) as f64).sqrt() / total)
}
