//! Lists of later states of what is audited.

use std::path::{Path, PathBuf};

use tastemaker_audit::Subject;
use tastemaker_core::lists::{Columns, Items, read_lists};
use tastemaker_core::{Error, RankedList, SeedTree, TieOrder};

use super::super::Ended;
use super::{AuditOptions, lists};
use crate::Result;
use crate::study::RunFolder;

/// What was made later: folders of runs, and files with lists.
#[derive(Clone, Debug, Default)]
pub struct Later {
    /// The folders and files, the earliest first.
    pub paths: Vec<PathBuf>,
    /// What the columns of the files are called.
    pub columns: Columns,
}

/// For each later state a list for each user of the subject.
pub(super) fn given(
    options: &AuditOptions,
    subject: &Subject<'_>,
    seeds: &SeedTree,
) -> Result<Vec<Vec<RankedList>>> {
    let Later { paths, columns } = &options.later;
    let of = |path: &PathBuf| {
        if path.is_dir() {
            return of_run(path, subject);
        }
        of_file(path, columns, subject, seeds)
    };
    paths.iter().map(of).collect()
}

/// What the run answers to the same questions.
fn of_run(path: &Path, subject: &Subject<'_>) -> Result<Vec<RankedList>> {
    let ended = Ended::read(&RunFolder::open(path)?)?;
    let (data, own) = (&ended.run.data.dataset, subject.scope.data);
    if data.items != own.items || data.users != own.users {
        let problem = "knows other users or items, expected those of what is audited; write its lists to a \
                       file with export --lists, and give that";
        return Err(Error::file(path, problem).into());
    }
    ended.asked_as(subject)
}

/// The lists in the file, of which every user of the subject must have one.
fn of_file(
    path: &Path,
    columns: &Columns,
    subject: &Subject<'_>,
    seeds: &SeedTree,
) -> Result<Vec<RankedList>> {
    let data = subject.scope.data;
    let read = read_lists(path, columns, &data.users, Items::Catalog(&data.items))?;
    let ties = TieOrder::new(data.n_items(), &seeds.child("ties"));
    let mut found = Vec::with_capacity(subject.cases.len());
    for case in &subject.cases {
        let mut list = lists::list(&read, case.user, &ties);
        if list.items.is_empty() {
            let problem = format!(
                "has no list of user {:?}, expected one of each of the {} users who are audited",
                data.users.id(case.user.index()).unwrap_or_default(),
                subject.cases.len(),
            );
            return Err(Error::file(path, problem).into());
        }
        list.items.truncate(subject.scope.k);
        list.scores.truncate(subject.scope.k);
        found.push(list);
    }
    Ok(found)
}
