//! What can be done, one function a verb of the command line.

mod answering;
mod auditing;
mod evaluating;
mod exchanging;
mod matching;
mod planning;
mod probing;
mod prompting;
mod recommending;
mod reporting;
mod tracking;
mod training;
mod unlearning;

pub use answering::{Measure, Measured, evaluate_clicks, evaluate_ratings, evaluate_texts};
pub use auditing::{AuditOf, AuditOptions, Audited, Later, ListsOf, Tried, audit, record};
pub use evaluating::evaluate;
pub use exchanging::{Relevance, evaluate_lists, export_lists, export_qrels};
pub use matching::{Matched, TitleIndex};
pub use planning::{Plan, PlannedArm, PlannedStage, plan};
pub use probing::probe;
pub use prompting::{PromptOf, prompt};
pub use recommending::{Listed, Recommendation, Whose, recommend};
pub use reporting::report;
pub use tracking::{export_mlflow, export_tensorboard};
pub use training::{StudyObserver, check, train};
pub use unlearning::{Leaving, Unlearnt, unlearn};

use std::path::PathBuf;

use tastemaker_core::prepare::Prepared;
use tastemaker_core::splits::{AnySplit, SplitSets};
use tastemaker_core::{Dataset, Recommender, SeedTree, UserId};

use crate::recommenders::{FitContext, Others};
use crate::study::{Arm, RunFolder, Study};
use crate::train::Silent;
use crate::{Error, Result};

/// The seed of the split: the same for every seed of a study, so that all runs of it have the
/// same targets.
const SPLIT_SEED: u64 = 0;

/// Divides the data as the study says.
fn split(study: &Study, data: &Prepared) -> Result<SplitSets> {
    divide(&study.split, data)
}

/// Divides data.
pub(crate) fn divide(split: &AnySplit, data: &Prepared) -> Result<SplitSets> {
    Ok(split.as_dyn().split(&data.dataset, &SeedTree::new(SPLIT_SEED).child("split"))?)
}

/// The user of the data with this outside id.
fn user_called(data: &Dataset, id: &str) -> Result<UserId> {
    let user = data.users.get(id).map(UserId);
    Ok(user.ok_or_else(|| tastemaker_core::Error::unknown("user", id, data.users.iter()))?)
}

/// A run, but for its recommender.
struct Run {
    folder: RunFolder,
    /// Whether it has ended; of what is audited without a run the folder may be that of another.
    ended: bool,
    /// Where pre-trained models are, if there are any.
    pretrained: Option<PathBuf>,
    study: Study,
    seed: u64,
    data: Prepared,
    split: SplitSets,
}

/// A run that has ended, with its recommender and what that was made with.
struct Ended {
    run: Run,
    recommender: Box<dyn Recommender>,
    others: Others,
}

impl Run {
    /// Reads the run in `folder`.
    fn read(folder: &RunFolder) -> Result<Self> {
        let study = folder.study()?;
        let problem = |problem: &str| Error::Run {
            path: folder.path().to_owned(),
            problem: problem.to_owned(),
        };
        let (Some(_), Some(&seed)) = (study.arm.first(), study.study.seeds.first()) else {
            return Err(problem("its study has no arm or no seed"));
        };
        let Some(result) = folder.result()? else {
            return Err(problem(
                "the run has not ended; run the same train command again and it goes on",
            ));
        };
        let data = folder.data()?;
        let split = split(&study, &data)?;
        if split.hash() != result.split_hash {
            return Err(problem("its data or split is not the one its result was made with"));
        }
        let pretrained = Some(folder.pretrained()).filter(|folder| folder.exists());
        let (folder, ended) = (folder.clone(), true);
        Ok(Self { folder, ended, pretrained, study, seed, data, split })
    }

    /// The folder with what it has left, where it has ended.
    fn left(&self) -> Option<&RunFolder> {
        self.ended.then_some(&self.folder)
    }

    /// Its one arm.
    fn arm(&self) -> &Arm {
        &self.study.arm[0]
    }

    /// What its recommender learnt from.
    fn context<'a>(&'a self, others: &'a Others) -> FitContext<'a> {
        FitContext {
            data: &self.data.dataset,
            split: &self.split,
            seeds: SeedTree::new(self.seed),
            checkpoints: Some(self.folder.path()),
            pretrained: self.pretrained.as_deref(),
            others,
            allow_seen: self.study.evaluate.allow_seen,
            observer: &Silent,
        }
    }
}

impl Ended {
    /// Reads the run in `folder`; its recommender is read or, for controls, learnt again.
    fn read(folder: &RunFolder) -> Result<Self> {
        Self::of(Run::read(folder)?)
    }

    /// The recommender of `run`, likewise.
    fn of(run: Run) -> Result<Self> {
        let others = Others::default();
        let recommender = run.arm().recommender.as_dyn().restore(&run.context(&others))?;
        Ok(Self { run, recommender, others })
    }
}
