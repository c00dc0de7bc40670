//! One pass over ranked lists.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tastemaker_core::splits::{EvalCase, Part, SplitSets};
use tastemaker_core::{
    Dataset, Error, ItemId, RankOptions, RankedList, RecQuery, Recommender, Result, SeedTree,
    TieOrder, UserId,
};

use crate::metrics::{AnyMetric, Need};
use crate::sums::{Block, Sums, USERS_A_BLOCK};
use crate::{About, CandidateLists, Embedded, Ground, sampled};

/// Among which items the targets are ranked.
#[derive(Clone, Debug, PartialEq)]
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
    /// The targets and the first of a list that was made elsewhere, this many, without what the user has met
    /// unless that may be recommended again. Users of whose list nothing is left are not asked about. Metrics
    /// carry `listed-N` in their names.
    Listed {
        /// Items a user.
        n: usize,
        /// The lists.
        lists: Arc<CandidateLists>,
    },
}

impl Candidates {
    /// The items among which a user's targets are ranked, of `n_items` in the catalog; `None` for all
    /// of them. They follow from `seeds` and the user alone.
    pub fn of(
        &self,
        case: &EvalCase<'_>,
        n_items: usize,
        allow_seen: bool,
        seeds: &SeedTree,
    ) -> Option<Vec<ItemId>> {
        let seeds = seeds.child("sampled");
        match self {
            Self::Full => None,
            Self::Sampled { n } => Some(sampled::candidates(case, *n, n_items, allow_seen, &seeds)),
            Self::Listed { n, lists } => {
                Some(sampled::listed(case, *n, lists.of(case.user), allow_seen, &seeds))
            }
        }
    }

    /// Whether a user's targets have anything beside them to be ranked among, as far as lists say.
    pub fn are_for(&self, case: &EvalCase<'_>, allow_seen: bool) -> bool {
        self.of_list(case, allow_seen).is_none_or(|n| n > 0)
    }

    /// How many of a user's list can stand beside the targets, where there are lists.
    fn of_list(&self, case: &EvalCase<'_>, allow_seen: bool) -> Option<usize> {
        let Self::Listed { n, lists } = self else { return None };
        Some(sampled::new_items(case, lists.of(case.user), allow_seen).take(*n).count())
    }
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
    embedded: Vec<Arc<Embedded>>,
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
            embedded: vec![],
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

    /// Knows these embeddings of the items, for metrics that look at them.
    #[must_use]
    pub fn embedded(self, embedded: Vec<Arc<Embedded>>) -> Self {
        Self { embedded, ..self }
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
        let (cases, whose) = self.cases(data, split, part, seeds)?;
        let most_targets = split.iter_cases(data, part).map(|case| case.targets.len()).max();
        let depth = |metric: &AnyMetric| metric.as_dyn().depth(most_targets.unwrap_or(1));
        let n = self.metrics.iter().map(depth).max().unwrap_or(1);
        let (n, ground) = (n.min(data.n_items()), self.ground(data, split)?);
        let options = RankOptions { n, allow_seen: self.allow_seen, ties: &ties };
        let mut sums = Sums::new(&self.metrics, data.n_items());
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
            sums.add(block, &Block::Made(&lists), |place| {
                let query = &queries[place];
                let (candidates, seen) = match query.candidates {
                    Some(candidates) => (candidates.len(), &[][..]),
                    None => (data.n_items(), options.seen(query)),
                };
                About { history: block[place].history, candidates, seen, ground: &ground }
            });
        }
        let protocol = format!("{}{whose}", self.protocol(split, part));
        sums.finish(&cases, |metric| self.label(metric), protocol)
    }

    /// The users who are asked about, and what is said of how they were chosen.
    pub fn cases<'a>(
        &self,
        data: &'a Dataset,
        split: &'a SplitSets,
        part: Part,
        seeds: &SeedTree,
    ) -> Result<(Vec<EvalCase<'a>>, String)> {
        let all = split.cases(data, part);
        let n_all = all.len();
        let mut cases = self.targets.of(all, data, split);
        let asked = cases.len();
        cases.retain(|case| self.candidates.are_for(case, self.allow_seen));
        let among = cases.len();
        if among == 0 && n_all > 0 {
            let reason = match self.targets {
                _ if asked > 0 => "nobody with targets has a list of candidates",
                Targets::Unmet => "all of its targets were met in training",
                _ => "none of its targets were met in training",
            };
            let (part, split) = (part.name(), split.name());
            return Err(Error::EmptySplit { part, split, reason: reason.to_owned() });
        }
        let mut words = self.targets.words(asked, n_all);
        if among < asked {
            words = format!("{words}, {among} of {asked} users: those with candidates");
        }
        if let Candidates::Listed { n, .. } = self.candidates {
            let own = |case| self.candidates.of_list(case, self.allow_seen);
            match cases.iter().filter_map(own).filter(|own| *own < n).count() {
                0 => {}
                few => words = format!("{words}, {few} of them with fewer than {n}"),
            }
        }
        if (1..among).contains(&self.users) {
            cases = sampled::users(cases, self.users, &seeds.child("users"));
            words = format!("{words}, {} of {among} users drawn at random", cases.len());
        }
        if self.noise > 0.0 {
            let share = self.noise * 100.0;
            words = format!("{words}, {share} % of each history replaced at random");
        }
        Ok((cases, words))
    }

    /// The metrics of lists that were made elsewhere, over a catalog of which `ground` knows:
    /// `list` puts that of the user in a place of `cases` into what it is given, which still holds
    /// another one. They are taken to be of all items, but those of the history where seen items
    /// are left out.
    pub fn evaluate_lists(
        &self,
        cases: &[EvalCase<'_>],
        list: impl Fn(usize, &mut RankedList) + Sync + Send,
        ground: &Ground,
        protocol: String,
    ) -> Result<Evaluation> {
        for metric in &self.metrics {
            if let Some(reason) = ground.lacks(metric) {
                let expected = format!("another metric: {reason}");
                return Err(Error::setting("a metric", metric.as_dyn().label(), expected));
            }
        }
        let mut sums = Sums::new(&self.metrics, ground.n_items());
        for (block, first) in cases.chunks(USERS_A_BLOCK).zip((0..).step_by(USERS_A_BLOCK)) {
            let put = |place: usize, ranked: &mut RankedList| list(first + place, ranked);
            sums.add(block, &Block::Put(&put), |place| {
                let history = block[place].history;
                let seen = if self.allow_seen { &[][..] } else { history };
                About { history, candidates: ground.n_items(), seen, ground }
            });
        }
        sums.finish(cases, |metric| self.label(metric), protocol)
    }

    /// [`Candidates::of`] a user.
    pub fn sample(
        &self,
        case: &EvalCase<'_>,
        n_items: usize,
        seeds: &SeedTree,
    ) -> Option<Vec<ItemId>> {
        self.candidates.of(case, n_items, self.allow_seen, seeds)
    }

    /// What the metrics must know of items.
    fn ground(&self, data: &Dataset, split: &SplitSets) -> Result<Ground> {
        let knows = self.metrics.iter().any(|metric| metric.as_dyn().needs() != Need::Nothing);
        let ground = if knows { Ground::new(data, split) } else { Ground::default() };
        let ground = ground.embedded(self.embedded.clone());
        for metric in &self.metrics {
            let metric = metric.as_dyn();
            if let Need::Embeddings(model) = metric.needs()
                && ground.embeddings(model).is_none()
            {
                let expected = "embeddings of the items, which nobody has handed in";
                return Err(Error::setting("a metric", metric.label(), expected));
            }
        }
        Ok(ground)
    }

    fn label(&self, metric: &AnyMetric) -> String {
        match &self.candidates {
            Candidates::Full => metric.as_dyn().label(),
            Candidates::Sampled { n } => format!("{} sampled-{n}", metric.as_dyn().label()),
            Candidates::Listed { n, .. } => format!("{} listed-{n}", metric.as_dyn().label()),
        }
    }

    fn protocol(&self, split: &SplitSets, part: Part) -> String {
        let among = match &self.candidates {
            Candidates::Full => "ranked over the whole catalog".to_owned(),
            Candidates::Sampled { n } => format!("ranked among {n} uniformly sampled items"),
            Candidates::Listed { n, lists } => {
                format!("ranked among the first {n} of the user's candidates in {lists}")
            }
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
