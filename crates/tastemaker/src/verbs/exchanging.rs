//! Evaluate lists of other tools, and write ours for them.

use std::collections::BTreeSet;
use std::path::Path;

use tastemaker_core::lists::{
    Columns, Items, ListedRow, Lists, Order, read_lists, read_relevant, write_lists, write_qrels,
};
use tastemaker_core::splits::{EvalCase, Part};
use tastemaker_core::{ItemId, RankOptions, RecQuery, SeedTree, TieOrder, UserId};
use tastemaker_eval::metrics::AnyMetric;
use tastemaker_eval::{Candidates, Evaluator, Ground, Summary, Targets, USERS_A_BLOCK};

use super::{Ended, Run};
use crate::error::setting;
use crate::study::{Evaluate, RunFolder};
use crate::{Error, Result};

/// What lists should have held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relevance<'a> {
    /// The targets of this part of the run in a folder.
    Run(&'a Path, Part),
    /// What a file says.
    File {
        /// The file.
        path: &'a Path,
        /// How many items the catalog has, where that is known.
        items: Option<usize>,
    },
}

/// Evaluates the lists in the file `lists`, as `settings` say or, where they say nothing, by the
/// metrics of the run's study, or the usual ones, as far as they can be taken.
pub fn evaluate_lists(
    lists: &Path,
    columns: &Columns,
    relevance: Relevance<'_>,
    settings: Option<&Evaluate>,
) -> Result<Summary> {
    if settings.is_some_and(|settings| settings.sampled > 0 || settings.candidates.is_some()) {
        let found = settings.map_or(0, |settings| settings.sampled);
        return Err(setting("sampled", found, "0: lists from elsewhere are as they are"));
    }
    let name = lists.file_name().unwrap_or_default().to_string_lossy();
    match relevance {
        Relevance::Run(folder, part) => {
            let run = Run::read(&RunFolder::open(folder)?)?;
            let data = &run.data.dataset;
            let usual =
                Evaluate { sampled: 0, candidates: None, noise: 0.0, ..run.study.evaluate.clone() };
            let asked = settings.unwrap_or(&usual);
            let problems = asked.unsuitable(data);
            if !problems.is_empty() {
                return Err(Error::Study(problems));
            }
            let embedded = asked.embedded(data, run.pretrained.as_deref())?;
            let ground = Ground::new(data, &run.split).embedded(embedded);
            let evaluator = evaluator(settings, &usual, &ground)?;
            let seeds = SeedTree::new(run.seed);
            let lists = read_lists(lists, columns, &data.users, Items::Catalog(&data.items))?;
            // Those are asked about whom the run was: who has candidates, where it was told some.
            let Evaluate { sampled, candidates, .. } = run.study.evaluate.clone();
            let of_run = Evaluate { sampled, candidates, ..asked.clone() };
            let of_run = of_run.evaluator(of_run.candidates_of(data)?)?;
            let (cases, whose) = of_run.cases(data, &run.split, part, &seeds)?;
            let (part, split, hash) = (part.name(), run.split.name(), run.split.hash());
            let of = format!("{part} targets of the {split} split ({hash}){whose}");
            let given = Given { name: &name, of, lists, ground, cases };
            given.evaluate(&evaluator, &seeds)
        }
        Relevance::File { path, items } => {
            check_alone(settings)?;
            let mut relevant = read_relevant(path, columns)?;
            let any = Items::Any(&mut relevant.items);
            let lists = read_lists(lists, columns, &relevant.users, any)?;
            let named = relevant.items.len();
            if let Some(items) = items
                && items < named
            {
                let expected = format!("at least {named}, as many as the two files name");
                return Err(setting("the number of items", items, expected));
            }
            let ground = Ground::of_lists(items.unwrap_or(named), items.is_some());
            let evaluator = evaluator(settings, &Evaluate::default(), &ground)?;
            let case = |user: u32| EvalCase {
                user: UserId(user),
                history: &[],
                targets: relevant.lists.items(user as usize),
            };
            let cases = (0..).map(case).take(relevant.users.len()).collect();
            let of = format!("what {} says is relevant", path.display());
            Given { name: &name, of, lists, ground, cases }.evaluate(&evaluator, &SeedTree::new(0))
        }
    }
}

/// Lists and what they should have held.
struct Given<'a> {
    name: &'a str,
    of: String,
    lists: Lists,
    ground: Ground,
    cases: Vec<EvalCase<'a>>,
}

impl Given<'_> {
    fn evaluate(self, evaluator: &Evaluator, seeds: &SeedTree) -> Result<Summary> {
        let Self { name, of, lists, ground, cases } = self;
        let ties = TieOrder::new(ground.n_items(), &seeds.child("ties"));
        let order = order(&lists);
        let n_lists = lists.lengths().filter(|&n| n > 0).count();
        let without = cases.iter().filter(|case| lists.items(case.user.index()).is_empty()).count();
        let left_out = n_lists - (cases.len() - without) + lists.unknown_users();
        let protocol = format!(
            "lists of {name} {order}; {of}; {without} of {} users have no list, which counts as an empty \
             one; lists of {left_out} users who are not asked about are left out",
            cases.len()
        );
        let list = |place: usize, list: &mut _| {
            let user: &EvalCase<'_> = &cases[place];
            lists.ranked(user.user.index(), &ties, list);
        };
        Ok(evaluator.evaluate_lists(&cases, list, &ground, protocol)?.summary)
    }
}

/// By what the items of lists are in order, in words.
pub(super) fn order(lists: &Lists) -> String {
    match lists.order() {
        Order::Rank(column) => format!("in the order of {column:?}"),
        Order::Score(column) => {
            format!("in descending order of {column:?}, ties in a seeded random order")
        }
        Order::File => "in the order of their rows".to_owned(),
    }
}

/// The evaluator that `settings` describe, or `usual` without what cannot be taken.
fn evaluator(settings: Option<&Evaluate>, usual: &Evaluate, ground: &Ground) -> Result<Evaluator> {
    let invalid = |metric: &AnyMetric| matches!(metric, AnyMetric::InvalidRate(_));
    let Some(settings) = settings else {
        let can = |metric: &AnyMetric| !invalid(metric) && ground.lacks(metric).is_none();
        let metrics = usual.metrics.iter().filter(|metric| can(metric)).cloned().collect();
        return Evaluate { metrics, ..usual.clone() }.evaluator(Candidates::Full);
    };
    if settings.metrics.iter().any(invalid) {
        let expected = "another metric: lists of items do not say what else was named";
        return Err(setting("a metric", "invalid-rate", expected));
    }
    settings.evaluator(Candidates::Full)
}

/// Refuses settings that ask for data.
fn check_alone(settings: Option<&Evaluate>) -> Result<()> {
    let Some(settings) = settings else { return Ok(()) };
    let names = [
        ("targets", settings.targets != Targets::All),
        ("users", settings.users > 0),
        ("allow-seen", settings.allow_seen),
    ];
    match names.into_iter().find(|(_, said)| *said) {
        Some((name, _)) => Err(setting(name, "said", "nothing of it without the folder of a run")),
        None => Ok(()),
    }
}

/// Writes the lists of the `n` best items that the run in `folder` recommends to everyone who is
/// asked about in `part`; where `n` is not said, as many as its metrics look at. Returns how many
/// users there are, and `n`.
pub fn export_lists(
    folder: &Path,
    part: Part,
    n: Option<usize>,
    path: &Path,
) -> Result<(usize, usize)> {
    let Ended { run, recommender, .. } = Ended::read(&RunFolder::open(folder)?)?;
    let (data, evaluate) = (&run.data.dataset, &run.study.evaluate);
    if evaluate.noise > 0.0 || evaluate.sampled > 0 {
        let expected = "a run that was told whole histories and asked for the whole catalog";
        return Err(setting("noise or sampled of the run", "said", expected));
    }
    let seeds = SeedTree::new(run.seed);
    let evaluator = evaluate.evaluator(Candidates::Full)?;
    let (cases, _) = evaluator.cases(data, &run.split, part, &seeds)?;
    let most_targets = cases.iter().map(|case| case.targets.len()).max().unwrap_or(1);
    let depth = |metric: &AnyMetric| metric.as_dyn().depth(most_targets);
    let deepest = evaluate.metrics.iter().map(depth).max().unwrap_or(1);
    let n = n.unwrap_or(deepest).min(data.n_items());
    let ties = TieOrder::new(data.n_items(), &seeds.child("ties"));
    let options = RankOptions { n, allow_seen: evaluate.allow_seen, ties: &ties };
    write_lists(path, &run.arm().name, |write| {
        for block in cases.chunks(USERS_A_BLOCK) {
            let mut queries = Vec::with_capacity(block.len());
            for case in block {
                let (user, history) = (Some(case.user), case.history);
                queries.push(RecQuery { user, history, candidates: None });
            }
            for (case, list) in block.iter().zip(recommender.recommend(&queries, &options)?) {
                let user = data.users.id(case.user.index()).unwrap_or_default();
                for (rank, (item, score)) in (1..).zip(list.items.iter().zip(list.scores)) {
                    let item = data.items.id(item.index()).unwrap_or_default();
                    write(ListedRow { user, item, rank, score })?;
                }
            }
        }
        Ok::<(), Error>(())
    })?;
    Ok((cases.len(), n))
}

/// Writes the targets of `part` of the run in `folder` as qrels, each once. Returns how many users
/// they are of.
pub fn export_qrels(folder: &Path, part: Part, path: &Path) -> Result<usize> {
    let run = Run::read(&RunFolder::open(folder)?)?;
    let data = &run.data.dataset;
    let seeds = SeedTree::new(run.seed);
    let evaluate = &run.study.evaluate;
    let evaluator = evaluate.evaluator(evaluate.candidates_of(data)?)?;
    let (cases, _) = evaluator.cases(data, &run.split, part, &seeds)?;
    let pairs = cases.iter().flat_map(|case| {
        let user = data.users.id(case.user.index()).unwrap_or_default();
        let each_once: BTreeSet<ItemId> = case.targets.iter().copied().collect();
        let id = |item: ItemId| data.items.id(item.index()).unwrap_or_default();
        each_once.into_iter().map(move |item| (user, id(item)))
    });
    write_qrels(path, pairs)?;
    Ok(cases.len())
}
