//! What is audited: runs, the recommenders of studies, lists of other tools; and audits from before.

use std::io::Read;
use std::path::{Path, PathBuf};

use tastemaker::core::lists::Columns;
use tastemaker::study::{RunFolder, Study};
use tastemaker::{AuditOf, AuditOptions, Audited, ListsOf, report};

use super::super::evaluate::ListColumns;
use super::super::selection::{Chosen, Selection};

/// What of a study is audited.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Studies")]
pub(super) struct Studies {
    #[command(flatten)]
    chosen: Chosen,
    /// Where the folders of the runs are, and where answers of endpoints are kept
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    below: PathBuf,
}

/// How lists are read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Lists of other tools")]
pub(super) struct Elsewhere {
    /// Of what lists are: the folder of a run, a study file, or data to divide as usual; the first run or
    /// study that is audited too where absent
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    #[command(flatten)]
    columns: ListColumns,
}

impl Elsewhere {
    pub(super) fn columns(&self) -> Columns {
        self.columns.columns()
    }
}

/// What is audited, in the order of the command line.
pub(super) struct Subjects {
    all: Vec<Subject>,
    /// Where the runs of studies are.
    below: PathBuf,
    columns: Columns,
    /// Of what lists are, where that is not among the subjects.
    of: Option<Of>,
}

enum Subject {
    Run(PathBuf),
    /// A study of one arm and one seed.
    Arm(Box<Study>),
    Lists(PathBuf),
    /// What was audited before.
    Before(Vec<Audited>),
}

/// Of what lists are.
enum Of {
    Run(PathBuf),
    Study(Box<Study>),
}

impl Subjects {
    /// Looks at what each path is. `lists_beside` says whether lists are read that are not audited.
    pub(super) fn read(
        paths: &[PathBuf],
        studies: &Studies,
        elsewhere: &Elsewhere,
        lists_beside: bool,
    ) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for path in paths {
            if is_study(path) {
                for study in studies.resolve(Some(path), None)? {
                    let seeds = study.study.seeds.iter();
                    let runs = seeds.flat_map(|&seed| study.arm.iter().map(move |arm| (arm, seed)));
                    all.extend(
                        runs.map(|(arm, seed)| Subject::Arm(Box::new(study.one(arm, seed)))),
                    );
                }
            } else if is_audit(path)? {
                all.push(Subject::Before(report::read_audits(path)?));
            } else if path.is_file() {
                all.push(Subject::Lists(path.clone()));
            } else if !path.exists() {
                anyhow::bail!("{}: there is no such file or folder", path.display());
            } else {
                all.push(Subject::Run(path.clone()));
            }
        }
        let any_lists = all.iter().any(Subject::is_lists);
        refuse_what_says_nothing(paths, [any_lists, lists_beside], studies, elsewhere)?;
        let of = elsewhere.data.as_deref().map(|data| of(data, studies)).transpose()?;
        let columns = elsewhere.columns();
        let subjects = Self { all, below: studies.below.clone(), columns, of };
        if let Some(Subject::Lists(path)) = subjects.all.iter().find(|one| one.is_lists())
            && subjects.of().is_none()
        {
            anyhow::bail!(
                "nothing says of what data the lists of {} are; give --data (the folder of a run, a study file, \
                 or data), or a run beside them",
                path.display()
            );
        }
        Ok(subjects)
    }

    /// Whether there is any among them that cannot be asked again.
    pub(super) fn any_unasked(&self) -> bool {
        self.all.iter().any(|one| matches!(one, Subject::Lists(_) | Subject::Before(_)))
    }

    /// How many are audited now.
    pub(super) fn n_audited(&self) -> usize {
        self.all.iter().filter(|subject| !matches!(subject, Subject::Before(_))).count()
    }

    /// Audits each.
    pub(super) fn audit(&self, options: &AuditOptions) -> anyhow::Result<Vec<Audited>> {
        let mut audited = Vec::new();
        for subject in &self.all {
            let of = match (subject, self.of()) {
                (Subject::Run(folder), _) => AuditOf::Run(folder),
                (Subject::Arm(study), _) => AuditOf::Arm(study, &self.below),
                (Subject::Lists(path), Some(of)) => {
                    AuditOf::Lists { path, columns: &self.columns, of }
                }
                (Subject::Before(before), _) => {
                    audited.extend(before.iter().cloned());
                    continue;
                }
                // Refused when the subjects were read.
                (Subject::Lists(_), None) => continue,
            };
            audited.push(tastemaker::audit(of, options)?);
        }
        Ok(audited)
    }

    /// Of what lists are.
    fn of(&self) -> Option<ListsOf<'_>> {
        let first = self.all.iter().find_map(|subject| match subject {
            Subject::Run(folder) => Some(ListsOf::Run(folder)),
            Subject::Arm(study) => Some(ListsOf::Study(study)),
            Subject::Lists(_) | Subject::Before(_) => None,
        });
        match &self.of {
            Some(Of::Run(folder)) => Some(ListsOf::Run(folder)),
            Some(Of::Study(study)) => Some(ListsOf::Study(study)),
            None => first,
        }
    }
}

impl Subject {
    fn is_lists(&self) -> bool {
        matches!(self, Self::Lists(_))
    }
}

impl Studies {
    /// The study in a file, or the usual one of data; one for each of its regimes.
    fn resolve(&self, study: Option<&Path>, data: Option<&str>) -> anyhow::Result<Vec<Study>> {
        let (study, data) = (study.map(Path::to_owned), data.map(str::to_owned));
        let (chosen, out) = (self.chosen.clone(), self.below.clone());
        Selection { study, data, chosen, out, ..Selection::default() }.resolve()
    }
}

/// Fails where something is said of lists or of studies, and none is audited.
fn refuse_what_says_nothing(
    paths: &[PathBuf],
    [any_lists, lists_beside]: [bool; 2],
    studies: &Studies,
    elsewhere: &Elsewhere,
) -> anyhow::Result<()> {
    let columns = elsewhere.columns() != Columns::default();
    if !any_lists && (elsewhere.data.is_some() || columns && !lists_beside) {
        anyhow::bail!(
            "--data and the names of columns are of lists, and no file with lists is audited"
        );
    }
    let data_is_study = elsewhere.data.as_deref().is_some_and(|data| is_study(Path::new(data)));
    let any_study = data_is_study || paths.iter().any(|path| is_study(path));
    if !any_study && studies.chosen != Chosen::default() {
        anyhow::bail!(
            "--regime, --recommender, --seed and --set are of studies, and no study is audited; a run is \
             what its folder holds"
        );
    }
    Ok(())
}

fn is_study(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// Whether it is what `--out FILE.json` wrote, and not lists as JSON lines.
fn is_audit(path: &Path) -> anyhow::Result<bool> {
    if path.extension().is_none_or(|extension| extension != "json") || !path.is_file() {
        return Ok(false);
    }
    let mut begins = [0; 2];
    let read = fs_err::File::open(path)?.read(&mut begins)?;
    Ok(begins[..read].starts_with(b"[") || begins == *b"{\n")
}

/// Of what lists are, as it is written.
fn of(data: &str, studies: &Studies) -> anyhow::Result<Of> {
    let path = Path::new(data);
    if RunFolder::open(path).is_ok() {
        return Ok(Of::Run(path.to_owned()));
    }
    let all = if is_study(path) {
        studies.resolve(Some(path), None)?
    } else {
        Studies { chosen: Chosen::default(), below: PathBuf::new() }.resolve(None, Some(data))?
    };
    match <[Study; 1]>::try_from(all) {
        Ok([study]) => Ok(Of::Study(Box::new(study))),
        Err(all) => {
            anyhow::bail!("{data} has {} regimes; say with --regime which lists are of", all.len())
        }
    }
}
