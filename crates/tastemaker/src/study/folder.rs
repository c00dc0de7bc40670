//! A run's folder: everything that its result says, and everything needed to repeat it.
//!
//! | file | holds |
//! |---|---|
//! | `study.toml` | the resolved study with this arm and seed only |
//! | `data/` | the prepared data, hard links to the study's where the file system has them |
//! | `events.jsonl` | what happened in training, a line an event |
//! | `checkpoint.safetensors` | where an interrupted training goes on; gone afterwards |
//! | `checkpoint.costs.json` | what training took until then; gone afterwards |
//! | `model.safetensors` | a trained language model (controls are learnt again from `data/`) |
//! | `adapters.safetensors` | what was put into it: adapters, prompts, heads |
//! | `shards/` | of recommender `sharded` a folder a shard, with all of this that learning leaves |
//! | `metrics.json` | the result; written last, so that a run that has it has ended |
//! | `costs.json` | what each stage took; only costs depend on the machine's load |
//! | `users.parquet` | the test metrics of every user |
//!
//! Beside the arms' folders stand `data/`, the prepared data, and `pretrained/`, the models that
//! several runs begin with, each in a folder named after everything that it follows from. A run that
//! shares nothing with others (`tastemaker unlearn`) has a `pretrained/` of its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tastemaker_core::artifact::{lock, write_atomically};
use tastemaker_core::prepare::{self, Prepared};
use tastemaker_eval::{Evaluation, Summary};

use super::{Arm, Study, UserValues, costs, events, users};
use crate::recommenders::shard_folder;
use crate::train::{Event, StageCost};
use crate::{Error, Result};

/// The study of a run, in its folder.
const STUDY_FILE: &str = "study.toml";

/// The result of a run, in its folder.
const METRICS_FILE: &str = "metrics.json";

/// The test metrics of every user, in its folder.
const USERS_FILE: &str = "users.parquet";

/// The version of `metrics.json`; raised when its meaning changes.
const VERSION: u32 = 1;

/// What came out of a run. It holds no clock and no machine, so a repeated run gives the same
/// bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RunResult {
    /// The version of this file.
    pub version: u32,
    /// The version of tastemaker that made it.
    pub tastemaker: String,
    /// The arm.
    pub arm: String,
    /// The recommender's name.
    pub recommender: String,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of the resolved study of this run.
    pub study_hash: String,
    /// SHA-256 of the data.
    pub data_hash: String,
    /// SHA-256 of the split.
    pub split_hash: String,
    /// The metrics over the validation targets, which chose.
    pub validation: Summary,
    /// The metrics over the test targets, which were looked at once.
    pub test: Summary,
}

/// The folder of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
    /// The folder of what the runs of a study share.
    shared: PathBuf,
}

/// The folder of the runs of a study, or of one of its regimes, below `out`.
pub fn study_folder(out: &Path, study: &Study) -> PathBuf {
    let folder = out.join(&study.study.name);
    study.study.regime.iter().fold(folder, |folder, regime| folder.join(regime))
}

impl RunFolder {
    /// The folder of a study's arm and seed below `out`.
    pub fn of(out: &Path, study: &Study, arm: &Arm, seed: u64) -> Self {
        let path = study_folder(out, study).join(&arm.name).join(format!("seed-{seed}"));
        Self { path, shared: out.join(&study.study.name) }
    }

    /// The folder at `path` of a run that shares nothing with others.
    pub(crate) fn alone(path: &Path) -> Self {
        Self { path: path.to_owned(), shared: path.to_owned() }
    }

    /// Begins a run that shares nothing with others, with its data.
    pub(crate) fn begin_alone(&self, data: &Prepared) -> Result<()> {
        prepare::write(data, &self.file("data"), false)?;
        let path = self.pretrained();
        let made = fs_err::create_dir_all(&path);
        Ok(made.map_err(|source| tastemaker_core::Error::Write { path, source })?)
    }

    /// The folder at `path`, which must be one of ours.
    pub fn open(path: &Path) -> Result<Self> {
        if is_run(path) {
            let run = Self::alone(path);
            if run.pretrained().is_dir() {
                return Ok(run);
            }
            let depth = if run.study()?.study.regime.is_some() { 3 } else { 2 };
            let shared = path.ancestors().nth(depth).unwrap_or(path).to_owned();
            return Ok(Self { shared, ..run });
        }
        let inside = runs_below(path);
        let problem = match (path.is_dir(), inside.first()) {
            (false, _) => "there is no such folder, expected the folder of a run".to_owned(),
            (true, None) => {
                format!("there is no {STUDY_FILE} with data/ in it, expected the folder of a run")
            }
            (true, Some(first)) => format!(
                "this is not the folder of a run; it holds those of {}, such as {}",
                inside.len(),
                first.display()
            ),
        };
        Err(Error::Run { path: path.to_owned(), problem })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the events are told.
    pub fn events(&self) -> PathBuf {
        self.file("events.jsonl")
    }

    /// What was told while it learnt.
    pub(crate) fn told(&self) -> Result<Vec<Event>> {
        events::read(&self.events())
    }

    /// Writes what is known before the run: its study and its data.
    pub fn begin(&self, study: &Study, data: &Prepared) -> Result<()> {
        let text = study.to_toml()?;
        let file = self.file(STUDY_FILE);
        if file.exists() && fs_err::read_to_string(&file).is_ok_and(|before| before != text) {
            let problem = format!(
                "it is the run of another study (its {STUDY_FILE} differs); give the study another name or \
                 delete the folder"
            );
            return Err(Error::Run { path: self.path.clone(), problem });
        }
        let own = self.file("data");
        if !own.exists() {
            let hash = &data.dataset.hash;
            let shared = self.shared.join("data").join(&hash[..16.min(hash.len())]);
            // Other processes that run the same study wait, and find it.
            let lock = lock(&self.shared.join("data").join("lock"))?;
            if !shared.exists() {
                prepare::write(data, &shared, false)?;
            }
            drop(lock);
            link(&shared, &own)?;
        }
        Ok(write_atomically(&file, |out| out.write_all(text.as_bytes()))?)
    }

    /// The folder of the study's pre-trained models.
    pub fn pretrained(&self) -> PathBuf {
        self.shared.join("pretrained")
    }

    /// The study of the run.
    pub fn study(&self) -> Result<Study> {
        super::read(&self.file(STUDY_FILE), &[])
    }

    /// The data of the run.
    pub fn data(&self) -> Result<Prepared> {
        Ok(prepare::read(&self.file("data"))?)
    }

    /// Whether no other run than that of this study with one arm and one seed has begun here.
    pub(crate) fn has_room_for(&self, one: &Study) -> bool {
        !self.file(STUDY_FILE).exists() || self.study().is_ok_and(|own| own == *one)
    }

    /// Whether it is of this study with one arm and one seed, and has ended.
    pub fn is_of(&self, one: &Study) -> bool {
        let same = self.study().is_ok_and(|own| own == *one);
        same && self.file(METRICS_FILE).exists()
    }

    /// The result, if the run has ended.
    pub fn result(&self) -> Result<Option<RunResult>> {
        let path = self.file(METRICS_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs_err::read_to_string(&path)
            .map_err(|source| tastemaker_core::Error::read(&path, source))?;
        let broken = |problem: String| Error::Run { path: path.clone(), problem };
        let result: RunResult = serde_json::from_str(&text)
            .map_err(|error| broken(format!("this is no result of ours: {error}")))?;
        if result.version != VERSION {
            return Err(broken(format!(
                "this is version {} of a result, expected {VERSION}",
                result.version
            )));
        }
        Ok(Some(result))
    }

    /// Writes the result; the run has ended.
    pub fn end(&self, result: &RunResult) -> Result<()> {
        let text = serde_json::to_string_pretty(result)
            .map_err(|error| Error::Serialise(error.to_string()))?;
        Ok(write_atomically(&self.file(METRICS_FILE), |out| writeln!(out, "{text}"))?)
    }

    /// What each stage of the run took, where that was measured.
    pub fn costs(&self) -> Result<Vec<StageCost>> {
        costs::read(&self.path)
    }

    /// The seconds of all of them together.
    pub(crate) fn seconds(&self) -> Result<Option<f64>> {
        let costs = self.costs()?;
        let seconds: f64 = costs.iter().map(|stage| stage.cost.seconds).sum();
        Ok((!costs.is_empty()).then_some(seconds))
    }

    /// Gives `new` the recommender of a shard as it is, which takes nothing.
    pub(crate) fn copy_shard(&self, number: usize, new: &Self) -> Result<()> {
        let (from, to) = (shard_folder(&self.path, number), shard_folder(&new.path, number));
        if from.exists() && !to.exists() {
            link(&from, &to)?;
            costs::remove(&to)?;
        }
        Ok(())
    }

    /// Takes over what a run of another regime has learnt that learns the same as `one`, of one arm and one
    /// seed: from the same data and split, and differs in how it is evaluated alone. What the models say of
    /// themselves is checked as they are read.
    pub(crate) fn take_learnt(&self, one: &Study, (data, split): (&str, &str)) -> Result<()> {
        let Some(arm) = one.arm.first().filter(|arm| arm.recommender.keeps_weights()) else {
            return Ok(());
        };
        let learns_the_same = |other: &Study| {
            let same = other.arm.first().is_some_and(|other| other.recommender == arm.recommender);
            same && other.evaluate.allow_seen == one.evaluate.allow_seen
        };
        for other in self.of_other_regimes() {
            let Ok(Some(result)) = other.result() else { continue };
            if (&*result.data_hash, &*result.split_hash) == (data, split)
                && other.study().is_ok_and(|study| learns_the_same(&study))
            {
                return copy_learnt(&other.path, &self.path);
            }
        }
        Ok(())
    }

    /// The folders of the same arm and seed in other regimes of the study.
    fn of_other_regimes(&self) -> Vec<Self> {
        let mut names = self.path.iter().rev();
        let (Some(seed), Some(arm)) = (names.next(), names.next()) else { return vec![] };
        let regimes = fs_err::read_dir(&self.shared).into_iter().flatten().flatten();
        let paths = regimes.map(|regime| regime.path().join(arm).join(seed));
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| is_run(path) && *path != self.path).collect();
        paths.sort();
        paths.into_iter().map(|path| Self { path, shared: self.shared.clone() }).collect()
    }

    /// The file with the test metrics of every user, written just before the result.
    pub(crate) fn users(&self) -> PathBuf {
        self.file(USERS_FILE)
    }

    /// The test metrics of every user.
    pub fn user_values(&self) -> Result<UserValues> {
        users::read(&self.users())
    }

    /// Writes the test metrics of every user.
    pub(crate) fn write_users(&self, data: &Prepared, evaluation: &Evaluation) -> Result<()> {
        users::write(&self.users(), data, evaluation)
    }
}

impl RunResult {
    /// The version that is written now.
    pub(crate) const VERSION: u32 = VERSION;
}

/// Gives the files of folder `from` a second name in `to`, or copies them where that cannot be.
fn link(from: &Path, to: &Path) -> Result<()> {
    let failed =
        |source: std::io::Error| tastemaker_core::Error::Write { path: to.to_owned(), source };
    let staged = to.with_file_name(".tastemaker-data");
    if staged.exists() {
        fs_err::remove_dir_all(&staged).map_err(failed)?;
    }
    fs_err::create_dir_all(&staged).map_err(failed)?;
    for entry in fs_err::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = staged.join(entry.file_name());
        if fs_err::hard_link(entry.path(), &target).is_err() {
            fs_err::copy(entry.path(), &target).map_err(failed)?;
        }
    }
    fs_err::rename(&staged, to).map_err(failed)?;
    Ok(())
}

/// Copies what learning leaves from one run's folder to another's, unless it is there.
fn copy_learnt(from: &Path, to: &Path) -> Result<()> {
    let failed =
        |source: std::io::Error| tastemaker_core::Error::Write { path: to.to_owned(), source };
    let entries = fs_err::read_dir(from).map_err(failed)?;
    let mut entries: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().map_err(failed)?;
    // What models leave beside them first: a run goes by its model.
    entries
        .sort_by_key(|path| (path.extension().is_some_and(|of| of == "safetensors"), path.clone()));
    for path in entries {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let own = [STUDY_FILE, METRICS_FILE, USERS_FILE, "data", "lock"];
        let there = to.join(name);
        if own.contains(&name) || there.exists() {
            continue;
        }
        if path.is_dir() {
            fs_err::create_dir_all(&there).map_err(failed)?;
            copy_learnt(&path, &there)?;
        } else {
            let mut file = fs_err::File::open(&path).map_err(failed)?;
            write_atomically(&there, |out| std::io::copy(&mut file, out).map(drop))?;
        }
    }
    Ok(())
}

/// Whether `path` is the folder of a run.
fn is_run(path: &Path) -> bool {
    path.join(STUDY_FILE).is_file() && path.join("data").is_dir()
}

/// The runs in and below `path`, four folders deep (study, regime, arm, seed), by name.
fn runs_below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut level = vec![path.to_owned()];
    for _ in 0..4 {
        let folders =
            level.iter().filter_map(|path| fs_err::read_dir(path).ok()).flatten().flatten();
        let mut next: Vec<PathBuf> =
            folders.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        next.sort();
        found.extend(next.iter().filter(|path| is_run(path)).cloned());
        level = next;
    }
    found
}
