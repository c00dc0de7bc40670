//! Runs of a study as processes, several at once, within a budget of memory.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tastemaker::study::RunFolder;

/// What a run is taken to need of which nothing is known, in bytes.
const UNKNOWN: f64 = 1.0e9;

/// How long to wait before looking again whether a run has ended.
const PAUSE: Duration = Duration::from_millis(100);

/// A run.
pub(crate) struct Job {
    /// As it is told.
    pub(crate) name: String,
    /// The folder of its arm, with the runs of other seeds.
    pub(crate) arm: PathBuf,
    /// Whether it has ended before.
    pub(crate) ended: bool,
    /// What the program is asked for.
    pub(crate) arguments: Vec<String>,
}

/// How jobs are run.
pub(crate) struct Jobs {
    /// How many at once.
    pub(crate) at_once: usize,
    /// Threads of each.
    pub(crate) threads: usize,
    /// Bytes that they may take together.
    pub(crate) memory: f64,
}

struct Running {
    name: String,
    child: Child,
    memory: f64,
    /// Passes on what it says.
    relay: JoinHandle<()>,
}

impl Drop for Running {
    /// What was begun for a study that ends in an error is not left behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Jobs {
    /// Runs those that have not ended; says which could not be done.
    pub(crate) fn run(&self, jobs: Vec<Job>) -> anyhow::Result<Vec<String>> {
        let all = jobs.len();
        let mut waiting: VecDeque<Job> = jobs.into_iter().filter(|job| !job.ended).collect();
        tracing::info!("{all} runs, {} of them have ended before", all - waiting.len());
        let (mut running, mut failed): (Vec<Running>, Vec<String>) = (Vec::new(), Vec::new());
        loop {
            while running.len() < self.at_once
                && let Some(job) = waiting.front()
            {
                let memory = memory(job);
                let taken: f64 = running.iter().map(|running| running.memory).sum();
                // Where nothing says how much there is, there is no budget.
                if !running.is_empty() && self.memory > 0.0 && taken + memory > self.memory {
                    break;
                }
                if let Some(job) = waiting.pop_front() {
                    running.push(self.start(job, memory)?);
                }
            }
            if running.is_empty() {
                return Ok(failed);
            }
            std::thread::sleep(PAUSE);
            for i in (0..running.len()).rev() {
                let Some(status) = running[i].child.try_wait()? else { continue };
                let ended = running.remove(i);
                while !ended.relay.is_finished() {
                    std::thread::sleep(PAUSE / 10);
                }
                let done = all - waiting.len() - running.len();
                if status.success() {
                    tracing::info!("{done} of {all}  {}", ended.name);
                } else {
                    tracing::error!("{done} of {all}  {} failed ({status})", ended.name);
                    failed.push(ended.name.clone());
                }
            }
        }
    }

    fn start(&self, job: Job, memory: f64) -> anyhow::Result<Running> {
        let program = std::env::current_exe().context("this program is not found any more")?;
        let mut command = Command::new(program);
        // Of many runs at once the epochs of each are too much to read; errors are passed on.
        command.args(["--quiet", "--threads", &self.threads.to_string()]);
        command.args(job.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("a run cannot be started")?;
        let said = child.stderr.take().context("a run says nothing")?;
        let name = job.name.clone();
        let relay = std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                tracing::error!("{name}: {line}");
            }
        });
        Ok(Running { name: job.name, child, memory, relay })
    }
}

/// Bytes that a run is likely to need: the most that a run of its arm took, if one has ended.
fn memory(job: &Job) -> f64 {
    let of_arm = |arm: &PathBuf| {
        let runs = fs_err::read_dir(arm).into_iter().flatten().flatten();
        let folders = runs.filter_map(|run| RunFolder::open(&run.path()).ok());
        let costs = folders.filter_map(|folder| folder.costs().ok()).flatten();
        costs.map(|stage| stage.cost.peak_memory as f64).reduce(f64::max)
    };
    of_arm(&job.arm).unwrap_or(UNKNOWN)
}
