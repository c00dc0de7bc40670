//! What a run can be asked that an audit cannot ask by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::seq::SliceRandom;
use tastemaker_audit::{Counterfactual, Membership, Scope, Subject, Unlearning};
use tastemaker_core::catalog::{Attribute, Column};
use tastemaker_core::people::{UserAttribute, UserAttributes};
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{
    Dataset, ItemId, RankOptions, RankedList, RecQuery, Recommender, SeedTree, TieOrder, UserId,
};
use tastemaker_eval::Candidates;

use super::super::{Ended, Run};
use super::AuditOptions;
use crate::Result;
use crate::recommenders::{AnyRecommender, FitContext, FitRecommender, Others};
use crate::study::RunFolder;

/// How deep lists are looked at for a user's last items, as a sign of having learnt from them.
const DEPTH: usize = 1000;

/// The last places of a user's sequence at which the item is looked for.
const PLACES: usize = 10;

/// Users that are asked about together.
const USERS_AT_ONCE: usize = 100;

/// Users whose last items are looked for, of those who were learnt from and of those who were not.
const MEMBERS: usize = 1000;

/// Users who are unlearnt, half of a shard's at most.
const UNLEARNT: usize = 10;

/// Values of a sensitive attribute that are told, the most frequent ones.
const VALUES: usize = 6;

impl Ended {
    /// What this run answers to the questions about another one's users; equals are settled as here.
    pub(super) fn asked_as(&self, subject: &Subject<'_>) -> Result<Vec<RankedList>> {
        let (n, seeds) = (subject.scope.data.n_items(), SeedTree::new(self.run.seed));
        let ties = TieOrder::new(n, &seeds.child("ties"));
        let options = RankOptions { ties: &ties, ..subject.options(subject.scope.k) };
        Ok(subject.ask_by(&*self.recommender, &subject.everybody(), &options)?)
    }
}

impl Run {
    pub(super) fn scope(&self, options: &AuditOptions) -> Result<Scope<'_>> {
        let (data, split) = (&self.data.dataset, &self.split);
        let (k, candidates) = (options.k, self.study.evaluate.candidates_of(data)?);
        let allow_seen = self.study.evaluate.allow_seen;
        Ok(Scope { data, split, part: options.part, k, candidates, allow_seen })
    }

    pub(super) fn is_control(&self) -> bool {
        !matches!(
            self.arm().recommender.learner(),
            AnyRecommender::LanguageModel(_)
                | AnyRecommender::TextLanguageModel(_)
                | AnyRecommender::TextToText(_)
        )
    }

    /// Whether it can be made again where titles are other ones: what learnt its words cannot, since it
    /// would be another model.
    pub(super) fn reads_titles_as_they_are(&self) -> bool {
        match &self.arm().recommender {
            AnyRecommender::LanguageModel(model) => {
                model.features.is_none() && model.tokenisation.is_none() && model.texts.is_none()
            }
            AnyRecommender::TextToText(_) => false,
            // Of a shard the titles are a part of what its model is known by.
            AnyRecommender::Sharded(_) => self.is_control(),
            _ => true,
        }
    }

    /// The same recommender over changed catalogs or people.
    pub(super) fn remade(&self, data: &Dataset, others: &Others) -> Result<Box<dyn Recommender>> {
        self.arm().recommender.as_dyn().restore(&FitContext { data, ..self.context(others) })
    }

    /// One that has learnt from all of `data`; a language model validates with each user's last interaction.
    pub(super) fn refitted(&self, data: &Dataset, others: &Others) -> Result<Box<dyn Recommender>> {
        let split = SplitSets::for_learning(data, !self.is_control());
        let context = self.context(others);
        let context =
            FitContext { data, split: &split, checkpoints: None, pretrained: None, ..context };
        self.arm().recommender.as_dyn().fit(&context)
    }

    pub(super) fn seconds(&self) -> Result<Option<f64>> {
        self.left().map_or(Ok(None), RunFolder::seconds)
    }

    /// Whether all of it learns anew to unlearn anybody.
    pub(super) fn learns_anew(&self) -> bool {
        !matches!(self.arm().recommender, AnyRecommender::Sharded(_))
    }

    /// The lists after the histories of a few users of one shard: as they are, where only that shard is
    /// fitted anew without these users, and where all is.
    pub(super) fn unlearning(
        &self,
        recommender: &dyn Recommender,
        subject: &Subject<'_>,
        others: &Others,
    ) -> Result<Option<Unlearning>> {
        let AnyRecommender::Sharded(sharded) = &self.arm().recommender else { return Ok(None) };
        // They are asked for by their histories, of which candidates are none.
        if subject.candidates.is_some() {
            return Ok(None);
        }
        let (before, mut rng) =
            (self.context(others), SeedTree::new(self.seed).child("unlearnt").rng());
        let mut shards = sharded.divide(&before)?;
        shards.shuffle(&mut rng);
        let mut users: Vec<UserId> = shards.into_iter().next().unwrap_or_default();
        users.retain(|user| !self.split.train(before.data, *user).is_empty());
        users.shuffle(&mut rng);
        users.truncate(UNLEARNT.min(users.len() / 2));
        if users.is_empty() {
            return Ok(None);
        }
        let (data, split) = self.without(&users)?;
        let after = FitContext {
            data: &data.dataset,
            split: &split,
            checkpoints: None,
            pretrained: None,
            ..before
        };
        let ask = |recommender: &dyn Recommender| {
            // By number they could be looked up, and there is no longer one.
            let histories = users.iter().map(|user| self.split.train(before.data, *user));
            let queries: Vec<RecQuery<'_>> = histories
                .map(|history| RecQuery { user: None, history, candidates: None })
                .collect();
            recommender.recommend(&queries, &subject.options(subject.scope.k))
        };
        Ok(Some(Unlearning {
            original: ask(recommender)?,
            unlearnt: ask(&*sharded.unlearnt(&before, &after)?)?,
            retrained: ask(&*sharded.fit(&after)?)?,
        }))
    }

    /// The lists of the runs beside this one that are the same but for their seeds.
    pub(super) fn other_seeds(&self, subject: &Subject<'_>) -> Result<Vec<Vec<RankedList>>> {
        let siblings =
            self.folder.path().parent().map(fs_err::read_dir).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = siblings.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        let mut runs = Vec::new();
        let own = self.folder.path().file_name();
        for folder in folders.iter().filter(|folder| folder.file_name() != own) {
            let Ok(folder) = RunFolder::open(folder) else { continue };
            let Ok(study) = folder.study() else { continue };
            let ended = folder.result()?.is_some_and(|run| run.split_hash == self.split.hash());
            let is_same = |&seed: &u64| study == self.study.one(self.arm(), seed);
            if ended && study.study.seeds.first().is_some_and(is_same) {
                runs.push(Ended::read(&folder)?.asked_as(subject)?);
            }
        }
        Ok(runs)
    }

    /// How well it foretells the last items of users whom it has learnt from, and of those whom it has
    /// not: of each the mean of −log(1 + rank) over its last places. `None` where it has learnt from all,
    /// or where others came later and not by lot. `most` users are asked about of either, if it is not 0.
    pub(super) fn membership(
        &self,
        recommender: &dyn Recommender,
        subject: &Subject<'_>,
        most: usize,
    ) -> Result<Option<Membership>> {
        // Last items are looked for in the whole catalog.
        let whole = subject.scope.candidates == Candidates::Full;
        if self.split.name() != "user-holdout" || !whole {
            return Ok(None);
        }
        let data = &self.data.dataset;
        let learnt = |user: &UserId| !self.split.train(data, *user).is_empty();
        // Of a member everything was learnt, so that of both the whole sequence is looked at.
        let (mut members, mut others): (Vec<UserId>, Vec<UserId>) = data
            .interactions
            .users()
            .filter(|user| data.interactions.sequence(*user).len() > 2)
            .partition(learnt);
        if others.is_empty() || members.is_empty() {
            return Ok(None);
        }
        let mut rng = SeedTree::new(self.seed).child("members").rng();
        members.shuffle(&mut rng);
        others.shuffle(&mut rng);
        let most = if most == 0 { MEMBERS } else { most.min(MEMBERS) };
        let scores = |users: &[UserId]| -> Result<Vec<f64>> {
            let users = &users[..users.len().min(most)];
            // A few users' lists at a time are held.
            let some = users.chunks(USERS_AT_ONCE);
            let scores = some.map(|users| self.foretold(recommender, subject, users));
            Ok(scores.collect::<Result<Vec<_>>>()?.concat())
        };
        Ok(Some(Membership { members: scores(&members)?, non_members: scores(&others)? }))
    }

    /// Of each of these users the mean of −log(1 + rank) of its last items, each from those before it.
    fn foretold(
        &self,
        recommender: &dyn Recommender,
        subject: &Subject<'_>,
        users: &[UserId],
    ) -> Result<Vec<f64>> {
        let sequence = |user: &UserId| self.data.dataset.interactions.sequence(*user);
        let places = |items: &[ItemId]| items.len().saturating_sub(PLACES).max(1)..items.len();
        let asked = users.iter().map(sequence);
        let asked = asked.flat_map(|items| places(items).map(move |at| (&items[..at], items[at])));
        let (histories, next): (Vec<&[ItemId]>, Vec<ItemId>) = asked.unzip();
        // By number they could be looked up, which is no way in for an outsider.
        let queries: Vec<RecQuery<'_>> = histories
            .into_iter()
            .map(|history| RecQuery { user: None, history, candidates: None })
            .collect();
        let lists = recommender.recommend(&queries, &subject.options(DEPTH))?;
        let score = |(list, next): (&RankedList, &ItemId)| {
            let rank = list.items.iter().position(|item| item == next);
            -(rank.unwrap_or(DEPTH) as f64 + 1.0).ln()
        };
        let mut scores = lists.iter().zip(&next).map(score);
        let mean = |n: usize| scores.by_ref().take(n).sum::<f64>() / n as f64;
        Ok(users.iter().map(|user| places(sequence(user)).len()).map(mean).collect())
    }

    /// The lists of the subject's users where each has the same value of a sensitive attribute, and where
    /// nobody has one; of models over text, which are told of users in words.
    pub(super) fn counterfactual(
        &self,
        subject: &Subject<'_>,
        others: &Others,
        wanted: &[String],
    ) -> Result<Vec<Counterfactual>> {
        if !matches!(self.arm().recommender, AnyRecommender::TextLanguageModel(_)) {
            return Ok(vec![]);
        }
        let (data, all) = (&self.data.dataset, subject.everybody());
        let ask = |people: UserAttributes| -> Result<Vec<Vec<ItemId>>> {
            let changed = Dataset { people, ..data.clone() };
            let recommender = self.remade(&changed, others)?;
            let lists = subject.ask(&*recommender, &all, subject.scope.k)?;
            Ok(lists.into_iter().map(|list| list.items).collect())
        };
        let mut found = Vec::new();
        let wanted = |attribute: &&UserAttribute| match wanted {
            [] => attribute.sensitive,
            names => names.contains(&attribute.attribute.name),
        };
        for attribute in data.people.attributes().iter().filter(wanted) {
            let name = &attribute.attribute.name;
            let told = |value: Option<&str>| replaced(&data.people, name, value);
            let neutral = ask(told(None))?;
            let mut values = Vec::new();
            for value in most_frequent(&attribute.attribute.column) {
                values.push((value.clone(), ask(told(Some(&value)))?));
            }
            // Who is told nothing of users answers all of them alike, which says nothing of fairness.
            if values.iter().any(|(_, lists)| *lists != neutral) {
                let liked = subject.cases.iter().map(|case| case.targets.to_vec()).collect();
                found.push(Counterfactual { attribute: name.clone(), neutral, values, liked });
            }
        }
        Ok(found)
    }
}

/// The people with one value of an attribute for all of them, or with none.
fn replaced(people: &UserAttributes, name: &str, value: Option<&str>) -> UserAttributes {
    let attributes = people.attributes().iter().map(|known| {
        let UserAttribute { attribute, sensitive } = known.clone();
        if attribute.name != name {
            return UserAttribute { attribute, sensitive };
        }
        let n = attribute.column.len();
        let column = match (&attribute.column, value) {
            (Column::Number(_), value) => {
                Column::Number(vec![value.and_then(|value| value.parse().ok()); n])
            }
            (Column::Categories(_), value) => {
                Column::Categories(vec![value.map(str::to_owned).into_iter().collect(); n])
            }
            (Column::Text(_), value) => Column::Text(vec![value.map(str::to_owned); n]),
        };
        UserAttribute { attribute: Attribute { column, ..attribute }, sensitive }
    });
    UserAttributes::new(attributes.collect())
}

/// The most frequent values, the most frequent first.
fn most_frequent(column: &Column) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in (0..column.len()).filter_map(|row| column.display(row)) {
        *counts.entry(value).or_default() += 1;
    }
    let mut values: Vec<(String, usize)> = counts.into_iter().collect();
    values.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    values.into_iter().take(VALUES).map(|(value, _)| value).collect()
}
