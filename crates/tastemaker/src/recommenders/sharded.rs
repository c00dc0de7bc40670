//! Recommenders that each learn from some of the users, so that one can be made to forget without the
//! others.

use std::path::{Path, PathBuf};

use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tastemaker_core::prepare::of_users;
use tastemaker_core::recommender::RankOptions;
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, ItemId, RankedList, RecQuery, Recommender, SeedTree, UserId};

use super::{AnyRecommender, FitContext, FitRecommender, Given, check, measured};
use crate::error::setting;
use crate::memorisation::{MemorisationProbe, Memorised};
use crate::prompts::Shown;
use crate::study::{EventLog, costs};
use crate::train::{Event, Observer};
use crate::{Error, Result};

/// What an item's rank is added to; that of Cormack et al.
const RANK_OFFSET: f64 = 60.0;

/// How deep each recommender's list is looked at; what stands deeper counts for less than 1/1060.
const DEPTH: usize = 1000;

/// Queries that are asked together, whose deep lists are in memory at once.
const QUERIES_A_PASS: usize = 256;

/// Recommenders that each learn from some of the users, and are asked together (SISA without slices).
///
/// # What it does
/// Divides the users into shards, each by lot by its id and the seed, whoever else there is; fits
/// `recommender` once a shard, from its users alone; and orders items by where they stand in the lists
/// of all. To unlearn users, only their shards are fitted anew (`tastemaker unlearn`); controls keep
/// nothing, so that all of theirs learn anew from their data. So many users or interactions of `few-shot`
/// are divided among the shards, each of which draws its part from its own users, since else who leaves
/// one shard would change another.
///
/// # Formula
/// score(i) = Σₛ 1 / (60 + rankₛ(i)), over the shards in whose first 1000 items, or first n where that is
/// more, i stands: reciprocal rank fusion, for which scores need not be alike.
///
/// # When not to use it
/// Where nobody will be forgotten: each shard learns from less, and asking takes as many times as long. A
/// user's attributes and times are known in the user's own shard alone.
///
/// # References
/// Bourtoule et al. 2021, *Machine unlearning*; Cormack et al. 2009, *Reciprocal rank fusion*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sharded {
    /// Into how many shards the users are divided.
    pub shards: usize,
    /// What is fitted once a shard.
    pub recommender: Box<AnyRecommender>,
}

/// Some of the users, and what a recommender of them alone learns from.
struct Shard {
    /// From 1.
    number: usize,
    users: Vec<UserId>,
    data: Dataset,
    split: SplitSets,
    seeds: SeedTree,
    folder: Option<PathBuf>,
}

/// A recommender of some users, by their numbers among all.
struct OfShard {
    recommender: Box<dyn Recommender>,
    users: Vec<UserId>,
}

struct Fitted {
    shards: Vec<OfShard>,
}

/// Where the recommender of the shard with this number, from 1, is kept in the folder of a run.
pub(crate) fn shard_folder(run: &Path, number: usize) -> PathBuf {
    run.join("shards").join(number.to_string())
}

impl Shard {
    fn new(number: usize, users: Vec<UserId>, context: &FitContext<'_>) -> Self {
        let data = of_users(context.data, &users);
        let split = context.split.of_users(&users, &data);
        let seeds = context.seeds.child("shard").index(number as u64);
        let folder = context.checkpoints.map(|run| shard_folder(run, number));
        Self { number, users, data, split, seeds, folder }
    }

    /// Whether the same is learnt from `other`.
    fn is(&self, other: &Self) -> bool {
        self.split.hash() == other.split.hash()
    }

    /// What the shard's recommender learns from.
    fn context<'a>(&'a self, whole: &FitContext<'a>) -> FitContext<'a> {
        let Self { data, split, seeds, folder, .. } = self;
        FitContext { data, split, seeds: *seeds, checkpoints: folder.as_deref(), ..*whole }
    }
}

impl Sharded {
    /// The users of each shard, ascending.
    ///
    /// # Errors
    /// If a shard has nobody to learn from.
    pub fn divide(&self, context: &FitContext<'_>) -> Result<Vec<Vec<UserId>>> {
        let (data, seeds) = (context.data, context.seeds.child("shards"));
        let mut shards = vec![Vec::new(); self.shards];
        for user in data.interactions.users() {
            let id = data.users.id(user.index()).unwrap_or_default();
            shards[seeds.child(id).rng().random_range(0..self.shards)].push(user);
        }
        let teaches = |user: &UserId| !context.split.train(data, *user).is_empty();
        match shards.iter().position(|users| !users.iter().any(teaches)) {
            None => Ok(shards),
            Some(empty) => {
                let found = format!(
                    "{}, of which number {} has nobody to learn from",
                    self.shards,
                    empty + 1
                );
                Err(setting("shards", found, "fewer"))
            }
        }
    }

    /// The shards of `context`, one after the other.
    fn shards(&self, context: &FitContext<'_>) -> Result<impl Iterator<Item = Shard>> {
        let all = (1..).zip(self.divide(context)?);
        Ok(all.map(|(number, users)| Shard::new(number, users, context)))
    }

    /// Why the first shard that cannot be learnt from cannot be.
    pub(crate) fn unfit(&self, context: &FitContext<'_>) -> Vec<Error> {
        let of_shard = |shard: Shard| -> Vec<Error> {
            let given = Given { data: &shard.data, split: &shard.split, others: context.others };
            let problems = self.of_shard(shard.number).as_dyn().unsuitable(&given);
            problems.into_iter().map(|problem| self.problem_of(shard.number, problem)).collect()
        };
        match self.shards(context) {
            Ok(shards) => shards.map(of_shard).find(|found| !found.is_empty()).unwrap_or_default(),
            Err(problem) => vec![problem],
        }
    }

    /// The numbers of the shards, from 1, that learn anew: those that are not `after` what they were
    /// `before`, and all where nothing is kept.
    pub(crate) fn learnt_anew(
        &self,
        before: &FitContext<'_>,
        after: &FitContext<'_>,
    ) -> Result<Vec<usize>> {
        let kept = self.recommender.keeps_weights();
        let all = self.shards(before)?.zip(self.shards(after)?);
        let anew = all.filter(|(was, is)| !kept || !was.is(is));
        Ok(anew.map(|(_, is)| is.number).collect())
    }

    /// The recommender of `after`, of which only shards that are not what they were `before` are fitted
    /// anew.
    pub(crate) fn unlearnt(
        &self,
        before: &FitContext<'_>,
        after: &FitContext<'_>,
    ) -> Result<Box<dyn Recommender>> {
        let learn = |(was, is): (Shard, Shard)| {
            let recommender = self.of_shard(is.number);
            let recommender = if was.is(&is) {
                recommender.as_dyn().restore(&was.context(before))?
            } else {
                recommender.as_dyn().fit(&is.context(after))?
            };
            Ok(OfShard { recommender, users: is.users })
        };
        let all = self.shards(before)?.zip(self.shards(after)?);
        Ok(Box::new(Fitted { shards: all.map(learn).collect::<Result<_>>()? }))
    }

    /// The recommender whose shards learn by `learn`, which is told a shard's number and context.
    fn each(
        &self,
        context: &FitContext<'_>,
        learn: impl Fn(usize, &FitContext<'_>) -> Result<Box<dyn Recommender>>,
    ) -> Result<Box<dyn Recommender>> {
        let learn = |shard: Shard| {
            let recommender = learn(shard.number, &shard.context(context))?;
            Ok(OfShard { recommender, users: shard.users })
        };
        Ok(Box::new(Fitted { shards: self.shards(context)?.map(learn).collect::<Result<_>>()? }))
    }

    /// What is fitted to the shard with this number, from 1: few shots are divided among them.
    fn of_shard(&self, number: usize) -> AnyRecommender {
        let mut recommender = (*self.recommender).clone();
        if let AnyRecommender::LanguageModel(model) = &mut recommender {
            model.few_shot = model.few_shot.map(|few| few.part(number, self.shards));
        }
        recommender
    }

    /// Fits a shard's recommender, whose events and costs are kept beside it.
    fn fit_shard(&self, number: usize, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        let outer = context.observer.beneath().unwrap_or(context.observer);
        outer.observe(&Event::Stage { stage: format!("shard {number} of {}", self.shards) });
        let log =
            context.checkpoints.map(|folder| EventLog::new(&folder.join("events.jsonl"), outer));
        let observer: &dyn Observer = log.as_ref().map_or(outer, |log| log);
        let fitted = measured(&self.of_shard(number), &FitContext { observer, ..*context })?;
        log.map_or(Ok(()), EventLog::finish)?;
        Ok(fitted)
    }

    /// Writes down for the run in `folder` what its shards took.
    fn gather_costs(&self, folder: &Path) -> Result<()> {
        let mut all = Vec::new();
        for number in 1..=self.shards {
            for mut cost in costs::read(&shard_folder(folder, number))? {
                cost.stage = format!("shard {number}: {}", cost.stage);
                all.push(cost);
            }
        }
        if all.is_empty() { Ok(()) } else { costs::write(folder, &all) }
    }

    /// The keys of the settings that are fitted once a shard.
    fn keys(&self) -> String {
        format!("recommender.{}", self.recommender.name())
    }

    fn problem_of(&self, number: usize, problem: Error) -> Error {
        let problem = Error::Shard { number, of: self.shards, problem: Box::new(problem) };
        problem.at(&self.keys())
    }

    /// What of the settings cannot be used, where `of` says what of a recommender's cannot.
    pub(super) fn problems_where(&self, of: impl Fn(&AnyRecommender) -> Vec<Error>) -> Vec<Error> {
        let mut problems: Vec<Error> = check("shards", self.shards, 1..=1000).into_iter().collect();
        let expected = match &*self.recommender {
            AnyRecommender::Sharded(_) => Some("any other recommender"),
            other if !other.learns_from_users() => {
                Some("one that learns from users, as a text-language-model does with tuning")
            }
            _ => None,
        };
        if let Some(expected) = expected {
            problems.push(setting("recommender", self.recommender.name(), expected));
            return problems;
        }
        let inner = of(&self.recommender);
        if problems.is_empty() && inner.is_empty() {
            // The last shard has the fewest of what is divided.
            let last = of(&self.of_shard(self.shards)).into_iter();
            return last.map(|problem| self.problem_of(self.shards, problem)).collect();
        }
        problems.extend(inner.into_iter().map(|problem| problem.at(&self.keys())));
        problems
    }
}

impl FitRecommender for Sharded {
    fn fit(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        if let Some(problem) = self.unfit(context).into_iter().next() {
            return Err(problem);
        }
        let fitted = self.each(context, |number, context| self.fit_shard(number, context))?;
        context.checkpoints.map_or(Ok(()), |folder| self.gather_costs(folder))?;
        Ok(fitted)
    }

    fn restore(&self, context: &FitContext<'_>) -> Result<Box<dyn Recommender>> {
        self.each(context, |number, context| self.of_shard(number).as_dyn().restore(context))
    }

    fn problems(&self) -> Vec<Error> {
        self.problems_where(|recommender| recommender.as_dyn().problems())
    }

    fn unsuitable(&self, given: &Given<'_>) -> Vec<Error> {
        let inner = self.recommender.as_dyn().unsuitable(given);
        let mut problems: Vec<Error> =
            inner.into_iter().map(|problem| problem.at(&self.keys())).collect();
        let users = given.data.interactions.users();
        let n = users.filter(|user| given.split.cuts(*user).train_end > 0).count();
        if self.shards > n {
            let expected =
                format!("at most {n}, the users who are learnt from, and better far fewer");
            problems.push(setting("shards", self.shards, expected));
        }
        problems
    }

    fn needs_candidates(&self) -> bool {
        self.recommender.as_dyn().needs_candidates()
    }

    /// What is told for `query` in the user's own shard, or in the first of anybody else.
    fn prompt(&self, context: &FitContext<'_>, query: &RecQuery<'_>) -> Result<Option<Shown>> {
        let mut shards = self.divide(context)?;
        let own = query.user.and_then(|user| shards.iter().position(|users| users.contains(&user)));
        let at = own.unwrap_or(0);
        let shard = Shard::new(at + 1, shards.swap_remove(at), context);
        let user = query.user.and_then(|user| number(user, &shard.users));
        self.recommender.as_dyn().prompt(&shard.context(context), &RecQuery { user, ..*query })
    }

    /// What the model of the first shard knows by heart; those of the others have learnt alike.
    fn memorised(
        &self,
        context: &FitContext<'_>,
        probe: &MemorisationProbe,
    ) -> Result<Option<Memorised>> {
        let Some(shard) = self.shards(context)?.next() else { return Ok(None) };
        self.recommender.as_dyn().memorised(&shard.context(context), probe)
    }
}

/// The number of `user` among `users`, if it is one of them.
fn number(user: UserId, users: &[UserId]) -> Option<UserId> {
    let at = users.binary_search(&user).ok()?;
    Some(UserId(u32::try_from(at).expect("users are numbered in 32 bits")))
}

impl Recommender for Fitted {
    fn name(&self) -> &'static str {
        "sharded"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        let deep = RankOptions { n: options.n.max(DEPTH), ..*options };
        let mut fused = Vec::with_capacity(queries.len());
        for queries in queries.chunks(QUERIES_A_PASS) {
            let lists = self.shards.iter().map(|shard| {
                let numbered = queries.iter().map(|query| {
                    let user = query.user.and_then(|user| number(user, &shard.users));
                    RecQuery { user, ..*query }
                });
                shard.recommender.recommend(&numbered.collect::<Vec<_>>(), &deep)
            });
            let lists: Vec<Vec<RankedList>> = lists.collect::<tastemaker_core::Result<_>>()?;
            let of_query = |at: usize| fuse(lists.iter().map(|lists| &lists[at]), options);
            fused.par_extend((0..queries.len()).into_par_iter().map(of_query));
        }
        Ok(fused)
    }
}

/// One list of several, by reciprocal ranks.
fn fuse<'a>(lists: impl Iterator<Item = &'a RankedList>, options: &RankOptions<'_>) -> RankedList {
    let mut shares: Vec<(ItemId, f64)> = lists
        .flat_map(|list| (1_u32..).zip(&list.items))
        .map(|(rank, item)| (*item, 1.0 / (RANK_OFFSET + f64::from(rank))))
        .collect();
    // Equal items stay in the order of the shards, so that their sum is the same bytes.
    shares.sort_by_key(|(item, _)| *item);
    let items = shares.chunk_by(|a, b| a.0 == b.0);
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    let scores = items
        .map(|shares| (shares[0].0, shares.iter().map(|(_, share)| share).sum::<f64>() as f32));
    options.ties.top_n(scores, options.n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tastemaker_core::TieOrder;

    #[derive(Deserialize)]
    struct Golden {
        n_items: usize,
        lists: Vec<Vec<u32>>,
        scores: Vec<(u32, f64)>,
    }

    #[test]
    fn lists_are_fused_as_by_ranx() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/golden/fusion.json")).unwrap();
        let list = |items: &Vec<u32>| RankedList {
            items: items.iter().copied().map(ItemId).collect(),
            ..RankedList::default()
        };
        let lists: Vec<RankedList> = golden.lists.iter().map(list).collect();
        let ties = TieOrder::new(golden.n_items, &SeedTree::new(1));
        let options = RankOptions { n: golden.n_items, allow_seen: false, ties: &ties };
        let fused = fuse(lists.iter(), &options);
        assert!(fused.scores.is_sorted_by(|a, b| a >= b), "{fused:?}");
        assert_eq!(fused.items.len(), golden.scores.len());
        for (item, expected) in golden.scores {
            let at = fused.items.iter().position(|found| found.0 == item).unwrap();
            assert!((f64::from(fused.scores[at]) - expected).abs() < 1e-8, "item {item}");
        }
    }
}
