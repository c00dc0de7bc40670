//! Recommend to a user of the data, or to anybody with a history.

use std::path::Path;

use serde::Serialize;
use tastemaker_core::{ItemId, RankOptions, RecQuery, SeedTree, TieOrder};

use super::{Ended, Matched, TitleIndex};
use crate::study::RunFolder;
use crate::{Error, Result};

/// For whom to recommend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A user of the data, by outside id; the whole sequence is the history.
    User(String),
    /// Anybody: titles or ids, oldest first.
    History(Vec<String>),
}

/// What is recommended, and from what.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recommendation {
    /// The user, if it was one of the data's.
    pub user: Option<String>,
    /// What each entry of the history was taken for.
    pub history: Vec<Matched>,
    /// What is recommended, best first.
    pub items: Vec<Listed>,
}

/// One recommended item.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// From 1.
    pub rank: usize,
    /// The outside id.
    pub item: String,
    /// The title, where the data has one.
    pub title: Option<String>,
    /// The recommender's score.
    pub score: f32,
}

/// Recommends `n` items with the recommender of the run in `folder`.
pub fn recommend(folder: &Path, whose: &Whose, n: usize) -> Result<Recommendation> {
    let Ended { run, recommender, .. } = Ended::read(&RunFolder::open(folder)?)?;
    let data = &run.data.dataset;
    let (user, history) = match whose {
        Whose::User(id) => {
            let user = super::user_called(data, id)?;
            let known = |&item: &ItemId| Matched::of_item(data, item);
            (Some(user), data.interactions.sequence(user).iter().map(known).collect())
        }
        Whose::History(entries) => {
            let titles = TitleIndex::new(data);
            (None, titles.find_all(entries).map_err(Error::History)?)
        }
    };
    let items: Vec<ItemId> = history.iter().map(|matched| matched.item).collect();
    let ties = TieOrder::new(data.n_items(), &SeedTree::new(run.seed).child("ties"));
    let options = RankOptions { n, allow_seen: run.study.evaluate.allow_seen, ties: &ties };
    let query = RecQuery { user, history: &items, candidates: None };
    let lists = recommender.recommend(&[query], &options)?;
    let list = lists.into_iter().next().unwrap_or_default();
    let listed = |(rank, (item, score)): (usize, (ItemId, f32))| Listed {
        rank: rank + 1,
        item: data.items.id(item.index()).unwrap_or_default().to_owned(),
        title: data.catalog.title(item).map(str::to_owned),
        score,
    };
    let user = user.and_then(|user| data.users.id(user.index())).map(str::to_owned);
    let items = list.items.into_iter().zip(list.scores).enumerate().map(listed).collect();
    Ok(Recommendation { user, history, items })
}
