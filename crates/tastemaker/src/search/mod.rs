//! Searches for the settings of an arm, with the validation targets as the only judge.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tastemaker_core::artifact::{lock, sha256, write_atomically};
use tastemaker_core::splits::Part;
use tastemaker_eval::metrics::Better;

use crate::recommenders::FitContext;
use crate::study::{Arm, EPOCHS, Evaluate, Search, Strategy, Study};
use crate::{Error, Result};

mod tpe;

/// What was tried, and what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trial {
    /// The settings by their keys; none of the first trial, which is the arm as it was written.
    pub settings: BTreeMap<String, toml::Value>,
    /// How many epochs it had at most, where that is not what the arm says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// The metric over the validation targets; the worst there is of settings that do not fit together.
    pub validation: f64,
    /// Why nothing could be learnt with these settings, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// All trials of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Searched {
    /// What all of it follows from.
    pub hash: String,
    /// The trials, in their order.
    pub trials: Vec<Trial>,
    /// Which of them is best.
    pub best: usize,
}

/// One arm's search.
struct Searcher<'a> {
    study: &'a Study,
    search: &'a Search,
    arm: &'a Arm,
    context: FitContext<'a>,
    folder: PathBuf,
    hash: String,
    /// Is told what came out of every trial.
    told: &'a dyn Fn(&Trial),
}

/// The arm with the best settings that the study's search finds in `folder`, where trials that have ended
/// are not repeated; the arm itself where nothing is searched for.
///
/// The first trial is the arm as it was written. Trials learn and validate with the search's own seed, and
/// nothing of the test targets is looked at.
pub fn search(
    study: &Study,
    arm: &Arm,
    context: &FitContext<'_>,
    folder: &Path,
    told: &dyn Fn(&Trial),
) -> Result<Arm> {
    let Some(search) = study.search.as_ref().filter(|_| !arm.space.is_empty()) else {
        return Ok(arm.clone());
    };
    let about = (search, &arm.recommender, &arm.space, &study.evaluate);
    let about = serde_json::to_string(&about).map_err(|e| Error::Serialise(e.to_string()))?;
    let text = format!("{about} {} {}", context.split.hash(), context.data.hash);
    let (folder, hash) = (folder.to_owned(), sha256(text.as_bytes()));
    let searcher = Searcher { study, search, arm, context: *context, folder, hash, told };
    // Other processes that run the same study wait, and find what was found.
    let lock = lock(&searcher.folder.join("lock"))?;
    let searched = searcher.run()?;
    drop(lock);
    let settings = &searched.trials[searched.best].settings;
    arm.with(settings.iter().map(|(keys, value)| (&keys[..], value.clone())))
}

/// What a search in `folder` has found, if it has ended.
pub fn read(folder: &Path) -> Result<Option<Searched>> {
    read_json(&folder.join("trials.json"))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(path).map_err(|e| tastemaker_core::Error::read(path, e))?;
    let broken = |error: serde_json::Error| Error::Run {
        path: path.to_owned(),
        problem: format!("this is nothing that a search has written: {error}"),
    };
    Ok(Some(serde_json::from_str(&text).map_err(broken)?))
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Serialise(e.to_string()))?;
    Ok(write_atomically(path, |out| writeln!(out, "{text}"))?)
}

impl Searcher<'_> {
    fn run(&self) -> Result<Searched> {
        if let Some(searched) = read(&self.folder)? {
            if searched.hash == self.hash {
                return Ok(searched);
            }
            let problem = "it is the search of another study; give the study another name or delete the folder";
            return Err(Error::Run { path: self.folder.clone(), problem: problem.to_owned() });
        }
        let trials = match self.search.strategy {
            Strategy::Random {} => self.one_by_one(usize::MAX)?,
            Strategy::Tpe { startup } => self.one_by_one(startup)?,
            Strategy::Halving { eta } => self.halving(eta)?,
        };
        // Of a search by halving, those with all epochs.
        let last = trials.last().and_then(|trial| trial.epochs);
        let whole = (0..trials.len()).filter(|&i| trials[i].epochs == last);
        let better = |a: usize, b: usize| {
            if self.goodness(&trials[b]) > self.goodness(&trials[a]) { b } else { a }
        };
        let best = whole.reduce(better).unwrap_or(0);
        let searched = Searched { hash: self.hash.clone(), trials, best };
        write_json(&self.folder.join("trials.json"), &searched)?;
        Ok(searched)
    }

    /// Larger is better.
    fn goodness(&self, trial: &Trial) -> f64 {
        self.search.metric.as_dyn().better().sign() * trial.validation
    }

    /// The worst value that the metric can have, or next to it.
    fn worst(&self) -> f64 {
        let metric = self.search.metric.as_dyn();
        match metric.better() {
            Better::Higher => metric.range().0.max(f64::MIN),
            Better::Lower => metric.range().1.min(f64::MAX),
        }
    }

    /// What draws the settings of trial `i`.
    fn rng(&self, i: usize) -> ChaCha8Rng {
        let seeds = self.context.seeds.child("search").child(&self.arm.name);
        seeds.child(&format!("trial {i}")).rng()
    }

    /// Where in the space trial `i` is that is drawn at random: a share for each setting.
    fn drawn(&self, i: usize) -> Vec<f64> {
        let mut rng = self.rng(i);
        self.arm.space.keys().map(|_| rng.random()).collect()
    }

    fn settings(&self, shares: &[f64]) -> BTreeMap<String, toml::Value> {
        let space = self.arm.space.iter().zip(shares);
        space.map(|((keys, space), share)| (keys.clone(), space.at(*share))).collect()
    }

    /// One trial after the other, at random up to the one of this number.
    fn one_by_one(&self, startup: usize) -> Result<Vec<Trial>> {
        let mut trials = vec![self.trial(0, BTreeMap::new(), None)?];
        let mut points: Vec<Vec<f64>> = Vec::new();
        for i in 1..self.search.trials {
            let shares =
                if i < startup { self.drawn(i) } else { self.suggested(i, &points, &trials) };
            trials.push(self.trial(i, self.settings(&shares), None)?);
            points.push(shares);
        }
        Ok(trials)
    }

    /// Where the trials so far make the next one likely to be good.
    fn suggested(&self, i: usize, points: &[Vec<f64>], trials: &[Trial]) -> Vec<f64> {
        let mut rng = self.rng(i);
        let of_setting = |(j, space): (usize, &crate::study::Space)| {
            // The first trial is the arm as it was written and has no place in the space.
            let tried = points.iter().zip(&trials[1..]);
            let tried: Vec<(f64, f64)> =
                tried.map(|(point, trial)| (point[j], self.goodness(trial))).collect();
            tpe::suggest(&tried, space.categories(), &mut rng)
        };
        self.arm.space.values().enumerate().map(of_setting).collect()
    }

    /// All trials with few epochs, the best of them with more, and so on.
    fn halving(&self, eta: usize) -> Result<Vec<Trial>> {
        let drawn = (1..self.search.trials).map(|i| self.settings(&self.drawn(i)));
        let mut left: Vec<_> = std::iter::once(BTreeMap::new()).chain(drawn).collect();
        let mut trials = Vec::new();
        for epochs in self.rungs(eta) {
            let mut rung = Vec::new();
            for settings in &left {
                rung.push(self.trial(trials.len() + rung.len(), settings.clone(), epochs)?);
            }
            let mut order: Vec<&Trial> = rung.iter().collect();
            order.sort_by(|a, b| self.goodness(b).total_cmp(&self.goodness(a)));
            let kept = (left.len() / eta).max(1);
            left = order[..kept].iter().map(|trial| trial.settings.clone()).collect();
            trials.append(&mut rung);
        }
        Ok(trials)
    }

    /// The epochs of each rung of a halving search, ascending to those of the arm.
    fn rungs(&self, eta: usize) -> Vec<Option<usize>> {
        let Some((_, all)) = self.epochs() else { return vec![None] };
        let (mut rungs, mut epochs, mut left) = (vec![], all, self.search.trials);
        while left > 1 && epochs >= 1 {
            rungs.push(Some(epochs));
            (epochs, left) = (epochs / eta, left / eta);
        }
        if rungs.is_empty() {
            rungs.push(Some(all));
        }
        rungs.reverse();
        rungs
    }

    /// The keys by which the arm says its epochs, and how many.
    fn epochs(&self) -> Option<(&'static str, usize)> {
        EPOCHS.into_iter().find_map(|keys| {
            Some((keys, usize::try_from(self.arm.setting(keys)?.as_integer()?).ok()?))
        })
    }

    /// Learns with these settings and validates, unless that was done before.
    fn trial(
        &self,
        i: usize,
        settings: BTreeMap<String, toml::Value>,
        epochs: Option<usize>,
    ) -> Result<Trial> {
        let path = self.folder.join(format!("trial-{i:03}.json"));
        let before: Option<(String, Trial)> = read_json(&path)?;
        if let Some((hash, trial)) = before
            && hash == self.hash
        {
            return Ok(trial);
        }
        let mut all: Vec<(&str, toml::Value)> =
            settings.iter().map(|(keys, value)| (&keys[..], value.clone())).collect();
        if let (Some(epochs), Some((keys, _))) = (epochs, self.epochs()) {
            all.push((keys, toml::Value::Integer(i64::try_from(epochs).unwrap_or(i64::MAX))));
        }
        let folder = self.folder.join(format!("trial-{i:03}"));
        // Each setting by itself was looked at; two can still not fit together, as widths and heads.
        let (validation, problem) = match self.arm.with(all) {
            Ok(arm) => (self.learn(&arm, &folder)?, None),
            Err(error) => (self.worst(), Some(error.to_string())),
        };
        let trial = Trial { settings, epochs, validation, problem };
        write_json(&path, &(&self.hash, &trial))?;
        // Only an interrupted trial needs its folder.
        if folder.exists() {
            let failed = |source| tastemaker_core::Error::Write { path: folder.clone(), source };
            fs_err::remove_dir_all(&folder).map_err(failed)?;
        }
        (self.told)(&trial);
        Ok(trial)
    }

    /// Learns in `folder`; says the metric over the validation targets.
    fn learn(&self, arm: &Arm, folder: &Path) -> Result<f64> {
        let context = FitContext { checkpoints: Some(folder), ..self.context };
        let recommender = arm.recommender.as_dyn().fit(&context)?;
        let metrics = vec![self.search.metric.clone()];
        let (data, split, seeds) = (context.data, context.split, &context.seeds);
        let evaluate = Evaluate { metrics, ..self.study.evaluate.clone() };
        let evaluator = evaluate.evaluator_over(data, context.pretrained)?;
        let evaluation = evaluator.evaluate(&*recommender, data, split, Part::Validation, seeds)?;
        Ok(evaluation.summary.metrics[0].mean)
    }
}
