//! What was asked and answered.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err::OpenOptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tastemaker_core::{Error, artifact};

use crate::Result;
use crate::client::Answer;

/// A file of questions and answers, a line each, and what stands in it.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    known: HashMap<String, Answer>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    /// SHA-256 of the question.
    question: String,
    asked: Value,
    answer: Answer,
}

impl Record {
    /// Reads the file, if it is there. Half a line at its end, which was being written when a run was
    /// killed, is taken out.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut known = HashMap::new();
        if path.exists() {
            let text = fs_err::read_to_string(path).map_err(|source| Error::read(path, source))?;
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            for (number, line) in (1..).zip(text[..whole].lines()) {
                let line: Line = serde_json::from_str(line).map_err(|error| {
                    Error::line(path, number, format!("this is no answer of ours: {error}"))
                })?;
                known.insert(line.question, line.answer);
            }
            if whole < text.len() {
                let kept = &text[..whole];
                artifact::write_atomically(path, |out| out.write_all(kept.as_bytes()))?;
            }
        }
        Ok(Self { path: path.to_owned(), known })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was answered to this before.
    pub(crate) fn find(&self, asked: &Value) -> Option<&Answer> {
        self.known.get(&question(asked))
    }

    /// Keeps an answer.
    pub(crate) fn keep(&mut self, asked: &Value, answer: &Answer) -> Result<()> {
        let line = Line { question: question(asked), asked: asked.clone(), answer: answer.clone() };
        let failed = |source: std::io::Error| Error::Write { path: self.path.clone(), source };
        if let Some(folder) = self.path.parent() {
            fs_err::create_dir_all(folder).map_err(failed)?;
        }
        let mut text = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        // In one piece, so that what is there is whole lines, but for the last one of a killed run.
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
        self.known.insert(line.question, line.answer);
        Ok(())
    }
}

fn question(asked: &Value) -> String {
    artifact::sha256(asked.to_string().as_bytes())
}
