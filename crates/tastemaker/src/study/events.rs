//! What happened in training, a line an event.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use tastemaker_core::artifact::write_atomically;

use crate::train::{Event, Meter, Observer};
use crate::{Error, Result};

/// Writes the events of a run to a file and passes them on.
///
/// The steps of an epoch are written with its end. A stage that goes on from a checkpoint takes
/// back what is told again, so the file of an interrupted run ends in the same bytes.
pub struct EventLog<'a> {
    path: PathBuf,
    next: &'a dyn Observer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What an earlier run left, once it was looked at.
    earlier: Option<Vec<String>>,
    stage: Option<String>,
    lines: Vec<String>,
    unwritten: usize,
    failure: Option<Error>,
}

/// As much of an event as tells its epoch.
#[derive(Deserialize)]
struct OfEpoch {
    epoch: Option<usize>,
    event: String,
    stage: Option<String>,
}

/// What the file at `path` tells, event by event; nothing where there is none, as of controls.
pub(crate) fn read(path: &Path) -> Result<Vec<Event>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs_err::read_to_string(path)
        .map_err(|source| tastemaker_core::Error::read(path, source))?;
    let event = |(number, line): (u64, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let problem = format!("{error}; expected an event of ours");
            tastemaker_core::Error::line(path, number, problem).into()
        })
    };
    (1..).zip(text.lines()).map(event).collect()
}

impl<'a> EventLog<'a> {
    /// Writes to `path` and passes on to `next`.
    pub fn new(path: &Path, next: &'a dyn Observer) -> Self {
        Self { path: path.to_owned(), next, state: Mutex::default() }
    }

    /// Writes what is left; fails if any event could not be written.
    pub fn finish(self) -> Result<()> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_none() && state.unwritten > 0 {
            state.write(&self.path);
        }
        state.failure.map_or(Ok(()), Err)
    }
}

impl State {
    /// Takes over an earlier run's events of this stage before `epoch`.
    fn resume(&mut self, epoch: usize) {
        let mut stage = None;
        for line in self.earlier.iter().flatten() {
            let Ok(of) = serde_json::from_str::<OfEpoch>(line) else { continue };
            if of.event == "stage" {
                stage = of.stage;
            } else if stage == self.stage
                && (of.event == "started" || of.epoch.is_some_and(|of| of < epoch))
            {
                self.lines.push(line.clone());
            }
        }
    }

    fn write(&mut self, path: &Path) {
        let lines = &self.lines;
        let written =
            write_atomically(path, |out| lines.iter().try_for_each(|line| writeln!(out, "{line}")));
        self.unwritten = 0;
        if let Err(error) = written {
            self.failure.get_or_insert(error.into());
        }
    }
}

impl Observer for EventLog<'_> {
    fn meter(&self) -> Option<&dyn Meter> {
        self.next.meter()
    }

    fn beneath(&self) -> Option<&dyn Observer> {
        Some(self.next)
    }

    fn observe(&self, event: &Event) {
        self.next.observe(event);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.earlier.is_none() {
            let text = fs_err::read_to_string(&self.path).unwrap_or_default();
            state.earlier = Some(text.lines().map(str::to_owned).collect());
        }
        match event {
            Event::Stage { stage } => state.stage = Some(stage.clone()),
            Event::Started { epoch, .. } if *epoch > 0 => return state.resume(*epoch),
            _ => {}
        }
        match serde_json::to_string(event) {
            Ok(line) => state.lines.push(line),
            Err(error) => {
                state.failure.get_or_insert(Error::Serialise(error.to_string()));
            }
        }
        state.unwritten += 1;
        if !matches!(event, Event::Step { .. }) {
            state.write(&self.path);
        }
    }
}
