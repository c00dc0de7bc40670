//! Train, and evaluate once.

use std::path::Path;

use tastemaker_core::prepare::{Prepared, prepare};
use tastemaker_core::splits::{Part, SplitSets};
use tastemaker_core::{SeedTree, artifact};
use tastemaker_endpoint::Spent;
use tastemaker_eval::Candidates;

use crate::hygiene::Subject;
use crate::recommenders::{AnyRecommender, FitContext, Given, Others, measured};
use crate::report::Report;
use crate::search::{Trial, search};
use crate::study::{Arm, EventLog, Problem, RunFolder, RunResult, Study, WholeStudy, study_folder};
use crate::train::{Observer, Silent};
use crate::{Error, Result};

/// Is told how a study gets on.
pub trait StudyObserver: Observer {
    /// The data was read, prepared and divided.
    fn data(&self, data: &Prepared, split: &SplitSets);

    /// A run begins, or was found to have ended before.
    fn run(&self, arm: &str, seed: u64, folder: &Path, ended: bool);

    /// A trial of the search for an arm's settings has ended.
    fn trial(&self, _arm: &str, _trial: &Trial) {}

    /// A run that asked a model behind an endpoint has ended, or failed: what that has cost.
    fn spent(&self, _model: &str, _spent: &Spent) {}
}

/// Runs every arm of `study` with every seed, in folders below `out`, and reports the metrics.
///
/// Arms that have a space are searched first. Runs that have ended are not repeated; a run that was
/// interrupted goes on from its last epoch. The test targets are looked at once, when a run ends.
pub fn train(study: &Study, out: &Path, observer: &dyn StudyObserver) -> Result<Report> {
    let ((data, split), others) = (read(study)?, Others::default());
    observer.data(&data, &split);
    let given = (&data, &split, &others);
    suits(study, given)?;
    WholeStudy::note(study, out)?;
    let mut results = Vec::new();
    for arm in &study.arm {
        let arm = searched(study, arm, given, out, observer)?;
        for &seed in &study.study.seeds {
            let folder = RunFolder::of(out, study, &arm, seed);
            results.push((run(study, (&arm, seed), given, &folder, observer)?, folder));
        }
    }
    let subject = Subject { study, data: &data, split: &split, results: &results };
    Report::new(&subject, out)
}

/// The arm with the settings that its search has found, if there is one.
fn searched(
    study: &Study,
    arm: &Arm,
    (data, split, others): Read<'_>,
    out: &Path,
    observer: &dyn StudyObserver,
) -> Result<Arm> {
    let Some(seed) = study.search.as_ref().map(|search| search.seed) else {
        return Ok(arm.clone());
    };
    let pretrained = RunFolder::of(out, study, arm, seed).pretrained();
    let context = FitContext {
        data: &data.dataset,
        split,
        seeds: SeedTree::new(seed),
        checkpoints: None,
        pretrained: Some(&pretrained),
        others,
        allow_seen: study.evaluate.allow_seen,
        observer,
    };
    let folder = study_folder(out, study).join("search").join(&arm.name);
    search(study, arm, &context, &folder, &|trial| observer.trial(&arm.name, trial))
}

/// Reads the data of `study` and says whether every arm can learn from it.
///
/// # Errors
/// [`Error::Study`] with every reason why one cannot.
pub fn check(study: &Study) -> Result<()> {
    let (data, split) = read(study)?;
    suits(study, (&data, &split, &Others::default()))
}

/// The study's data, prepared and divided.
pub(super) fn read(study: &Study) -> Result<(Prepared, SplitSets)> {
    let data = prepare(&study.dataset, &study.prepare)?;
    let split = super::split(study, &data)?;
    Ok((data, split))
}

/// The study's data, how it is divided, and data beside it.
type Read<'a> = (&'a Prepared, &'a SplitSets, &'a Others);

pub(super) fn suits(study: &Study, (data, split, others): Read<'_>) -> Result<()> {
    let given = Given { data: &data.dataset, split, others };
    let context = |&seed: &u64| FitContext {
        data: &data.dataset,
        split,
        seeds: SeedTree::new(seed),
        checkpoints: None,
        pretrained: None,
        others,
        allow_seen: study.evaluate.allow_seen,
        observer: &Silent,
    };
    let of_arm = |arm: &Arm| -> Vec<Problem> {
        let mut reasons = arm.recommender.as_dyn().unsuitable(&given);
        // Who is in which shard follows from the seed.
        if let (AnyRecommender::Sharded(sharded), true) = (&arm.recommender, reasons.is_empty()) {
            let mut of_seeds = study.study.seeds.iter().map(|seed| sharded.unfit(&context(seed)));
            reasons = of_seeds.find(|found| !found.is_empty()).unwrap_or_default();
        }
        reasons.iter().map(|reason| arm.problem(reason)).collect()
    };
    let mut of_metrics = study.evaluate.unsuitable(&data.dataset);
    if of_metrics.is_empty() {
        of_metrics.extend(study.evaluate.unasked(&data.dataset, split)?);
    }
    let problems: Vec<Problem> = study.arm.iter().flat_map(of_arm).chain(of_metrics).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Study(problems)) }
}

/// Runs an arm with a seed, unless that has ended.
pub(super) fn run(
    study: &Study,
    (arm, seed): (&Arm, u64),
    (data, split, others): Read<'_>,
    folder: &RunFolder,
    observer: &dyn StudyObserver,
) -> Result<RunResult> {
    // A process that was told to stop can still be at it.
    let lock = artifact::lock(&folder.path().join("lock"))?;
    let one = study.one(arm, seed);
    let study_hash = artifact::sha256(one.to_toml()?.as_bytes());
    if let Some(result) = folder.result()?
        && result.study_hash == study_hash
    {
        if result.data_hash != data.dataset.hash {
            let problem = "its result was made with other data; give the study another name or delete the folder";
            return Err(Error::Run { path: folder.path().to_owned(), problem: problem.to_owned() });
        }
        if let Candidates::Listed { lists, .. } = study.evaluate.candidates_of(&data.dataset)?
            && !result.test.protocol.contains(&lists.to_string())
        {
            let problem = format!(
                "its result was made with other candidates than those in {lists}; give the study another \
                 name or delete the folder"
            );
            return Err(Error::Run { path: folder.path().to_owned(), problem });
        }
        observer.run(&arm.name, seed, folder.path(), true);
        return Ok(result);
    }
    folder.begin(&one, data)?;
    folder.take_learnt(&one, (&data.dataset.hash, split.hash()))?;
    observer.run(&arm.name, seed, folder.path(), false);
    let seeds = SeedTree::new(seed);
    let log = EventLog::new(&folder.events(), observer);
    let pretrained = folder.pretrained();
    let context = FitContext {
        data: &data.dataset,
        split,
        seeds,
        checkpoints: Some(folder.path()),
        pretrained: Some(&pretrained),
        others,
        allow_seen: study.evaluate.allow_seen,
        observer: &log,
    };
    let evaluated = measured(&arm.recommender, &context).and_then(|recommender| {
        log.finish()?;
        let evaluator = study.evaluate.evaluator_over(&data.dataset, Some(&pretrained))?;
        let of = |part| evaluator.evaluate(&*recommender, &data.dataset, split, part, &seeds);
        Ok((of(Part::Validation)?, of(Part::Test)?))
    });
    for (model, spent) in others.spent(folder.path()) {
        observer.spent(&model, &spent);
    }
    let (validation, test) = evaluated?;
    folder.write_users(data, &test)?;
    let result = RunResult {
        version: RunResult::VERSION,
        tastemaker: env!("CARGO_PKG_VERSION").to_owned(),
        arm: arm.name.clone(),
        recommender: arm.recommender.name().to_owned(),
        seed,
        study_hash,
        data_hash: data.dataset.hash.clone(),
        split_hash: split.hash().to_owned(),
        validation: validation.summary,
        test: test.summary,
    };
    folder.end(&result)?;
    drop(lock);
    Ok(result)
}
