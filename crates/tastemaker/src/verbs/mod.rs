//! What can be done, one function a verb of the command line.

mod evaluating;
mod matching;
mod recommending;
mod report;
mod training;

pub use evaluating::evaluate;
pub use matching::{Matched, TitleIndex};
pub use recommending::{Listed, Recommendation, Whose, recommend};
pub use report::{ArmReport, Cell, Costs, Report};
pub use training::{StudyObserver, check, train};

use tastemaker_core::prepare::Prepared;
use tastemaker_core::splits::{AnySplit, SplitSets};
use tastemaker_core::{Recommender, SeedTree};

use crate::recommenders::{FitContext, Others};
use crate::study::{RunFolder, Study};
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

/// A run that has ended, with its recommender.
struct Ended {
    study: Study,
    seed: u64,
    data: Prepared,
    split: SplitSets,
    recommender: Box<dyn Recommender>,
}

impl Ended {
    /// Reads the run in `folder`; its recommender is read or, for controls, learnt again.
    fn read(folder: &RunFolder) -> Result<Self> {
        let study = folder.study()?;
        let problem = |problem: &str| Error::Run {
            path: folder.path().to_owned(),
            problem: problem.to_owned(),
        };
        let (Some(arm), Some(&seed)) = (study.arm.first(), study.study.seeds.first()) else {
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
        let pretrained = folder.pretrained();
        let context = FitContext {
            data: &data.dataset,
            split: &split,
            seeds: SeedTree::new(seed),
            checkpoints: Some(folder.path()),
            pretrained: pretrained.exists().then_some(&*pretrained),
            others: &Others::default(),
            allow_seen: study.evaluate.allow_seen,
            observer: &Silent,
        };
        let recommender = arm.recommender.as_dyn().restore(&context)?;
        Ok(Self { study, seed, data, split, recommender })
    }
}
