//! What the runs of a study say.

use std::path::Path;

use crate::hygiene::{Finding, Subject, Verdict};
use crate::report::Report;
use crate::study::{Arm, RunFolder, RunResult, Study, WholeStudy};
use crate::{Error, Result};

/// The report of the study in `folder`, from the runs of it that have ended, with every comparison.
pub fn report(folder: &Path) -> Result<Report> {
    let WholeStudy { study, out } = WholeStudy::read(folder)?;
    let (results, missing) = ended(&study, &out)?;
    let Some((_, first)) = results.first() else {
        let problem = "no run of this study has ended".to_owned();
        return Err(Error::Run { path: folder.to_owned(), problem });
    };
    let data = first.data()?;
    let split = super::split(&study, &data)?;
    let subject = Subject { study: &study, data: &data, split: &split, results: &results };
    let mut report = Report::new(&subject, &out)?;
    report.compare(&subject)?;
    if !missing.is_empty() {
        let message =
            format!("these runs are left out, since they have not ended: {}", missing.join(", "));
        report.hygiene.insert(0, Finding { check: "runs", verdict: Verdict::Warning, message });
    }
    Ok(report)
}

/// Runs that have ended, arm by arm.
type Ended = Vec<(RunResult, RunFolder)>;

/// The runs that have ended, and what the others are called.
fn ended(study: &Study, out: &Path) -> Result<(Ended, Vec<String>)> {
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    for arm in &study.arm {
        for &seed in &study.study.seeds {
            let folder = RunFolder::of(out, study, arm, seed);
            match folder.result()? {
                Some(result) if is_of(study, arm, &folder.study()?) => {
                    results.push((result, folder));
                }
                Some(_) => {
                    missing.push(format!("{} (seed {seed}; made with other settings)", arm.name));
                }
                None => missing.push(format!("{} (seed {seed})", arm.name)),
            }
        }
    }
    Ok((results, missing))
}

/// Whether a run of this study is of the study as it is now; what a search has found for an arm is not
/// looked at.
fn is_of(study: &Study, arm: &Arm, run: &Study) -> bool {
    let Some(own) = run.arm.first() else { return false };
    let found = Arm { recommender: own.recommender.clone(), ..arm.clone() };
    let arm = if arm.space.is_empty() { arm } else { &found };
    run.study.seeds.iter().all(|&seed| study.one(arm, seed) == *run)
}
