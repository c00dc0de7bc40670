//! Make a run anew without some of its users.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tastemaker_core::prepare::{self, PrepareOptions, Prepared};
use tastemaker_core::sources::{AnySource, PreparedFolder};
use tastemaker_core::splits::SplitSets;
use tastemaker_core::{Dataset, UserId};

use super::{Run, StudyObserver, training};
use crate::recommenders::{AnyRecommender, FitContext, Others};
use crate::study::{RunFolder, Study};
use crate::{Error, Result};

/// Who is unlearnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Users of the data, by their ids.
    Users(Vec<String>),
    /// Those in a file, an id a line.
    File(PathBuf),
}

/// What was unlearnt, and what it took.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unlearnt {
    /// How many users the new run has not learnt from.
    pub users: usize,
    /// The recommender.
    pub recommender: String,
    /// Its shards; `None` of one that has none, which is learnt anew as a whole.
    pub shards: Option<usize>,
    /// The numbers of the shards, from 1, that were learnt anew; all where nothing is kept of a recommender.
    pub learnt_anew: Vec<usize>,
    /// Seconds that learning took, where they are known.
    pub seconds: Option<f64>,
    /// Seconds that learning took in the run that has learnt from them.
    pub seconds_before: Option<f64>,
    /// The new run.
    pub folder: PathBuf,
}

impl Leaving {
    /// Their numbers, once each, ascending.
    fn users(&self, data: &Dataset) -> Result<Vec<UserId>> {
        let users: BTreeSet<UserId> = match self {
            Self::Users(ids) => {
                ids.iter().map(|id| super::user_called(data, id)).collect::<Result<_>>()?
            }
            Self::File(path) => {
                let text = fs_err::read_to_string(path)
                    .map_err(|source| tastemaker_core::Error::read(path, source))?;
                let lines = (1..).zip(text.lines().map(str::trim));
                let user = |(number, id)| {
                    super::user_called(data, id).map_err(|error| {
                        tastemaker_core::Error::line(path, number, error.to_string()).into()
                    })
                };
                let named = lines.filter(|(_, id)| !id.is_empty());
                named.map(user).collect::<Result<_>>()?
            }
        };
        let (found, most) = (users.len(), data.n_users() - 1);
        if (1..=most).contains(&found) {
            return Ok(users.into_iter().collect());
        }
        let expected = format!("1 to {most}, since somebody must be left");
        Err(crate::error::setting("the users to unlearn", found, expected))
    }
}

/// Makes in the new folder `out` the run in `folder` as if it had never learnt from the users who are
/// `leaving`.
///
/// Of recommender `sharded`, shards that are what they were are copied and the others fitted anew, or all
/// where nothing is kept, as of controls; any other recommender is fitted anew. The new run holds nothing of
/// the users but how many they were and a hash of their ids; its study reads its own data. Catalog and
/// numbers of items stay, and data is not prepared anew: what a core left out stays out, and what it would
/// leave out now stays in. Where this is refused, nothing was written.
pub fn unlearn(
    folder: &Path,
    leaving: &Leaving,
    out: &Path,
    observer: &dyn StudyObserver,
) -> Result<Unlearnt> {
    let old = RunFolder::open(folder)?;
    let run = Run::read(&old)?;
    let users = leaving.users(&run.data.dataset)?;
    let (data, split) = run.without(&users)?;
    observer.data(&data, &split);
    let path = out.join("data");
    let study = Study {
        dataset: AnySource::Prepared(PreparedFolder { path }),
        prepare: PrepareOptions::default(),
        ..run.study.clone()
    };
    let (new, arm) = (RunFolder::alone(out), run.arm());
    // Before anything is written, everything is looked at that can be refused.
    free(&new, &study.one(arm, run.seed), &data)?;
    let others = Others::default();
    let read = (&data, &split, &others);
    training::suits(&study, read)?;
    let before = run.context(&others);
    let after = FitContext { data: &data.dataset, split: &split, ..before };
    let (shards, learnt_anew) = match &arm.recommender {
        AnyRecommender::Sharded(sharded) => {
            (Some(sharded.shards), sharded.learnt_anew(&before, &after)?)
        }
        _ => (None, Vec::new()),
    };
    new.begin_alone(&data)?;
    for number in (1..=shards.unwrap_or(0)).filter(|number| !learnt_anew.contains(number)) {
        old.copy_shard(number, &new)?;
    }
    training::run(&study, (arm, run.seed), read, &new, observer)?;
    Ok(Unlearnt {
        users: users.len(),
        recommender: arm.recommender.name().to_owned(),
        shards,
        learnt_anew,
        seconds: new.seconds()?,
        seconds_before: old.seconds()?,
        folder: out.to_owned(),
    })
}

/// The folder is new, or that of the same run, which may have been interrupted.
fn free(new: &RunFolder, one: &Study, data: &Prepared) -> Result<()> {
    let out = new.path();
    let same = || {
        let own = prepare::read_manifest(&out.join("data"));
        own.is_ok_and(|own| own.hash == data.dataset.hash) && new.has_room_for(one)
    };
    let empty = || fs_err::read_dir(out).is_ok_and(|mut inside| inside.next().is_none());
    if !out.exists() || empty() || same() {
        return Ok(());
    }
    let problem = "there is something else in it, expected a new folder".to_owned();
    Err(Error::Run { path: out.to_owned(), problem })
}

impl Run {
    /// Its data without `users`, divided in the same way.
    pub(super) fn without(&self, users: &[UserId]) -> Result<(Prepared, SplitSets)> {
        let data = prepare::without(&self.data, users);
        let split = super::split(&self.study, &data)?;
        Ok((data, split))
    }
}
