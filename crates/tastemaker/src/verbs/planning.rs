//! What running a study would take.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tastemaker_core::splits::{Part, SplitSets};
use tastemaker_core::{Dataset, SeedTree};

use super::training::{read, suits};
use crate::Result;
use crate::paradigms::{PERMUTING, PRETRAINING};
use crate::recommenders::{FitContext, Others};
use crate::study::{Arm, EPOCHS, Evaluate, RunFolder, Study};
use crate::train::{Event, Meter, Observer};

/// Users of whom a little is learnt to see how long it takes.
const TRIED_USERS: usize = 256;

/// Users who are asked about, likewise.
const ASKED_USERS: usize = 32;

/// Where a recommender's settings say how many epochs its pre-training has.
const PRETRAINING_EPOCHS: [&str; 2] =
    ["pretraining.training.epochs", "recommender.language-model.pretraining.training.epochs"];

/// And how many its codes of texts have to find their embeddings.
const PERMUTATION_EPOCHS: [&str; 2] =
    ["texts.codes.permutation-epochs", "recommender.language-model.texts.codes.permutation-epochs"];

/// What running a study would take.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// The study's name, with that of its regime where it has one.
    pub study: String,
    /// Its arms.
    pub arms: Vec<PlannedArm>,
}

/// What running an arm would take.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedArm {
    /// The arm.
    pub arm: String,
    /// The recommender's name.
    pub recommender: String,
    /// Its stages, with how many numbers learn in each and for how many epochs at most.
    pub stages: Vec<PlannedStage>,
    /// Runs that have not ended.
    pub runs_left: usize,
    /// Trials before the first run, 0 where nothing is searched for.
    pub trials: usize,
    /// Seconds of a run: those of the runs that have ended, or else at most as many as a part of the users
    /// and one epoch make likely.
    pub seconds: f64,
    /// Whether runs have ended from which that is known.
    pub is_measured: bool,
}

/// A stage of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedStage {
    /// Its name, where there are several.
    pub stage: Option<String>,
    /// How many numbers learn.
    pub trained_parameters: usize,
}

impl Plan {
    /// Seconds of everything that is left, one run after the other, at most.
    pub fn seconds(&self) -> f64 {
        let of = |arm: &PlannedArm| arm.seconds * (arm.runs_left + arm.trials) as f64;
        self.arms.iter().map(of).sum()
    }
}

/// Looks at what running `study` below `out` would take; of arms without a run that has ended, a little
/// is learnt from the training part of a few users, in memory, by the clock of `meter`.
///
/// # Errors
/// With every reason why an arm cannot learn from the data.
pub fn plan(study: &Study, out: &Path, meter: &dyn Meter) -> Result<Plan> {
    let (data, split) = read(study)?;
    suits(study, (&data, &split, &Others::default()))?;
    let given = (&data.dataset, &split);
    let scratch = tempfile::tempdir();
    let failed = |source| {
        let path = Path::new("a temporary folder").to_owned();
        tastemaker_core::Error::Write { path, source }
    };
    let scratch = scratch.map_err(failed)?;
    let tools = (meter, scratch.path());
    let arms = study.arm.iter().map(|arm| planned(study, arm, given, out, tools));
    Ok(Plan { study: study.study.title(), arms: arms.collect::<Result<_>>()? })
}

fn planned(
    study: &Study,
    arm: &Arm,
    given: (&Dataset, &SplitSets),
    out: &Path,
    tools: (&dyn Meter, &Path),
) -> Result<PlannedArm> {
    let (mut ended, mut seconds, mut stages) = (0, Vec::new(), Vec::new());
    for &seed in &study.study.seeds {
        let folder = RunFolder::of(out, study, arm, seed);
        if folder.result()?.is_some() {
            ended += 1;
            let costs = folder.costs()?;
            seconds.push(costs.iter().map(|stage| stage.cost.seconds).sum());
            let stage = |cost: &crate::train::StageCost| PlannedStage {
                stage: Some(cost.stage.clone()),
                trained_parameters: cost.trained_parameters,
            };
            stages = costs.iter().map(stage).collect();
        }
    }
    let is_measured = ended > 0;
    let seconds: f64 = if is_measured {
        seconds.iter().sum::<f64>() / ended as f64
    } else {
        let tried;
        (tried, stages) = try_out(study, arm, given, tools)?;
        tried
    };
    let searches = study.search.as_ref().filter(|_| !arm.space.is_empty() && !is_measured);
    Ok(PlannedArm {
        arm: arm.name.clone(),
        recommender: arm.recommender.name().to_owned(),
        stages,
        runs_left: study.study.seeds.len() - ended,
        trials: searches.map_or(0, |search| search.trials),
        seconds,
        is_measured,
    })
}

/// Learns one epoch from a few users and asks for a few; says how long all of it would take. Models that
/// arms share are kept in `shared` for the next.
fn try_out(
    study: &Study,
    arm: &Arm,
    (data, split): (&Dataset, &SplitSets),
    (meter, shared): (&dyn Meter, &Path),
) -> Result<(f64, Vec<PlannedStage>)> {
    let says = |keys: &str| arm.setting(keys)?.as_integer();
    let all = EPOCHS.into_iter().chain(PRETRAINING_EPOCHS).chain(PERMUTATION_EPOCHS);
    let short = all.filter(|keys| says(keys).is_some_and(|epochs| epochs > 0));
    let short = arm.with(short.map(|keys| (keys, toml::Value::Integer(1))))?;
    let (few, part) = few(data, split);
    let listener = Listener { meter, stages: Mutex::default() };
    let seeds = SeedTree::new(study.study.seeds.first().copied().unwrap_or_default());
    let others = Others::default();
    let context = FitContext {
        data,
        split: &few,
        seeds,
        checkpoints: None,
        pretrained: Some(shared),
        others: &others,
        allow_seen: study.evaluate.allow_seen,
        observer: &listener,
    };
    meter.reset();
    let recommender = short.recommender.as_dyn().fit(&context)?;
    let fitted = meter.read().seconds;
    let stages = listener.stages.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = |stage: &Tried| {
        let keys: &[&str] = match stage.planned.stage.as_deref() {
            Some(PRETRAINING) => &PRETRAINING_EPOCHS,
            Some(PERMUTING) => &PERMUTATION_EPOCHS,
            _ => &EPOCHS,
        };
        let epochs = keys.iter().copied().find_map(says).unwrap_or(1);
        // What is learnt elsewhere is not cut to a few users.
        let whole = stage.interactions > part.tried;
        let times = if whole { 1.0 } else { part.all as f64 / part.tried.max(1) as f64 };
        stage.seconds * times * epochs as f64
    };
    let learnt = if stages.is_empty() { fitted } else { stages.iter().map(seconds).sum() };
    let users = split.iter_cases(data, Part::Test).count();
    let asked = match study.evaluate.users {
        0 => users,
        asked => asked.min(users),
    };
    let evaluate = Evaluate { users: ASKED_USERS, ..study.evaluate.clone() };
    meter.reset();
    let evaluator = evaluate.evaluator_over(data, Some(shared))?;
    evaluator.evaluate(&*recommender, data, split, Part::Validation, &seeds)?;
    let a_user = meter.read().seconds / ASKED_USERS.min(users).max(1) as f64;
    let planned = stages.into_iter().map(|stage| stage.planned).collect();
    Ok((learnt + 2.0 * a_user * asked as f64, planned))
}

/// Interactions that are learnt from, of a few users and of all.
struct Share {
    tried: usize,
    all: usize,
}

/// The split of which a few users are learnt from.
fn few(data: &Dataset, split: &SplitSets) -> (SplitSets, Share) {
    let learning = data.interactions.users().filter(|user| split.cuts(*user).train_end > 1);
    let mut share = Share { tried: 0, all: 0 };
    let mut taken = vec![0; data.n_users()];
    for (i, user) in learning.enumerate() {
        let n = split.cuts(user).train_end;
        share.all += n as usize;
        if i < TRIED_USERS {
            share.tried += n as usize;
            taken[user.index()] = n;
        }
    }
    (split.few(|user| taken[user.index()]), share)
}

/// A stage, and what trying it took.
struct Tried {
    planned: PlannedStage,
    interactions: usize,
    begun: f64,
    seconds: f64,
}

/// Keeps what stages there are and how long each took.
struct Listener<'a> {
    meter: &'a dyn Meter,
    stages: Mutex<Vec<Tried>>,
}

impl Observer for Listener<'_> {
    fn observe(&self, event: &Event) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.meter.read().seconds;
        let begun = |stage, trained_parameters, interactions| {
            let planned = PlannedStage { stage, trained_parameters };
            Tried { planned, interactions, begun: now, seconds: 0.0 }
        };
        match event {
            Event::Stage { stage } => stages.push(begun(Some(stage.clone()), 0, 0)),
            Event::Started { trained_parameters, interactions, .. } => match stages.last_mut() {
                Some(stage) if stage.planned.trained_parameters == 0 => {
                    stage.planned.trained_parameters = *trained_parameters;
                    stage.interactions = *interactions;
                }
                _ => stages.push(begun(None, *trained_parameters, *interactions)),
            },
            Event::Finished { .. } => {
                if let Some(stage) = stages.last_mut() {
                    stage.seconds = now - stage.begun;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_are_permuted_say_for_how_many_epochs() {
        let learner = "language-model = { texts = { codes = { permutation-epochs = 7 } } }";
        let sharded = format!("sharded = {{ shards = 2, recommender = {{ {learner} }} }}");
        for recommender in [learner, &sharded] {
            let text = format!("name = \"arm\"\nrecommender = {{ {recommender} }}");
            let arm: Arm = toml::from_str(&text).unwrap();
            let said: Vec<_> =
                PERMUTATION_EPOCHS.iter().filter_map(|keys| arm.setting(keys)).collect();
            assert_eq!(said, [toml::Value::Integer(7)], "{recommender}");
        }
    }
}
