//! Evaluate a run again, by other metrics or another protocol.

use std::path::Path;

use tastemaker_core::SeedTree;
use tastemaker_core::splits::Part;
use tastemaker_eval::Summary;

use super::Ended;
use crate::study::{Evaluate, RunFolder};
use crate::{Error, Result};

/// Evaluates the recommender of the run in `folder` over the targets of `part`, as `settings` say
/// or, where they say nothing, as its study does.
pub fn evaluate(folder: &Path, part: Part, settings: Option<&Evaluate>) -> Result<Summary> {
    let Ended { run, recommender, .. } = Ended::read(&RunFolder::open(folder)?)?;
    let settings = settings.unwrap_or(&run.study.evaluate);
    let problems = settings.unsuitable(&run.data.dataset);
    if !problems.is_empty() {
        return Err(Error::Study(problems));
    }
    let evaluator = settings.evaluator_over(&run.data.dataset, run.pretrained.as_deref())?;
    let seeds = SeedTree::new(run.seed);
    Ok(evaluator.evaluate(&*recommender, &run.data.dataset, &run.split, part, &seeds)?.summary)
}
