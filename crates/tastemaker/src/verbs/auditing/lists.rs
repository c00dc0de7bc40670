//! Audit lists that were made elsewhere.

use std::collections::BTreeSet;
use std::path::Path;

use tastemaker_audit::{Evidence, Scope, Subject};
use tastemaker_core::lists::{Columns, Items, Lists, Order, read_lists};
use tastemaker_core::prepare::Prepared;
use tastemaker_core::splits::{Part, SplitSets};
use tastemaker_core::{Dataset, RankedList, SeedTree, TieOrder, UserId};
use tastemaker_eval::Candidates;

use super::super::{Run, exchanging::order, training};
use super::{AuditOptions, Audited, ListsOf, auditor, facts, later, written};
use crate::Result;
use crate::report::cards;
use crate::study::RunFolder;

/// Audits the lists in the file at `path`: who has none is left out, and so is who is not in the data.
pub(super) fn audit(
    path: &Path,
    columns: &Columns,
    of: ListsOf<'_>,
    options: &AuditOptions,
) -> Result<Audited> {
    let (data, split, seed) = divided(of)?;
    let (dataset, seeds) = (&data.dataset, SeedTree::new(seed));
    options.unknown_attribute(dataset).map_or(Ok(()), Err)?;
    let read = read_lists(path, columns, &dataset.users, Items::Catalog(&dataset.items))?;
    let lists = ranked(&read, dataset, &seeds);
    if lists.is_empty() {
        let known = dataset.users.id(0).unwrap_or_default();
        let problem = format!("names no user of the data, expected ids such as {known:?}");
        return Err(tastemaker_core::Error::file(path, problem).into());
    }
    let (part, k, candidates) = (options.part, options.k, Candidates::Full);
    // What lists hold is for the tool to say that made them.
    let allow_seen = true;
    let scope = Scope { data: dataset, split: &split, part, k, candidates, allow_seen };
    let lists = drawn(lists, options.users, &seeds);
    let name = path.display().to_string();
    let record = facts::record_of_data(&data, &split).into_iter().chain(options.record.clone());
    let evidence = Evidence {
        explanations: written::given(options, dataset)?,
        provenance: record.collect(),
        ..Evidence::default()
    };
    let subject = Subject::of_lists(scope, &name, lists, &seeds)?;
    let evidence = Evidence { snapshots: later::given(options, &subject, &seeds)?, ..evidence };
    let subject = subject.with(evidence)?;
    let mut audit = auditor(options).audit(&subject, &seeds.child("audit"))?;
    audit.protocol =
        format!("{}; {}", audit.protocol, told(&read, (dataset, &split), options.part));
    let record = subject.evidence.provenance;
    let cards = cards(&facts::of_data(&data, &split, &audit, &record), &record);
    Ok(Audited { audit, record, trade_offs: vec![], answers: vec![], cards })
}

/// The data, its split, and the seed by which ties are settled.
fn divided(of: ListsOf<'_>) -> Result<(Prepared, SplitSets, u64)> {
    match of {
        ListsOf::Run(folder) => {
            let Run { data, split, seed, .. } = Run::read(&RunFolder::open(folder)?)?;
            Ok((data, split, seed))
        }
        ListsOf::Study(study) => {
            let (data, split) = training::read(study)?;
            Ok((data, split, study.study.seeds.first().copied().unwrap_or_default()))
        }
    }
}

/// The list of each user who has one, in the order of the data.
fn ranked(lists: &Lists, data: &Dataset, seeds: &SeedTree) -> Vec<(UserId, RankedList)> {
    let ties = TieOrder::new(data.n_items(), &seeds.child("ties"));
    let users = data.interactions.users().filter(|user| !lists.items(user.index()).is_empty());
    users.map(|user| (user, list(lists, user, &ties))).collect()
}

/// The list of `user`, empty where there is none.
pub(super) fn list(lists: &Lists, user: UserId, ties: &TieOrder) -> RankedList {
    let mut list = RankedList::default();
    lists.ranked(user.index(), ties, &mut list);
    // Ranks and places say nothing of how sure somebody was.
    if !matches!(lists.order(), Order::Score(_)) {
        list.scores.clear();
    }
    list
}

/// `n` of the lists, drawn as users of a run are; all where it is 0 or there are no more.
fn drawn(
    mut lists: Vec<(UserId, RankedList)>,
    n: usize,
    seeds: &SeedTree,
) -> Vec<(UserId, RankedList)> {
    if (1..lists.len()).contains(&n) {
        let draw = rand::seq::index::sample(&mut seeds.child("users").rng(), lists.len(), n);
        let drawn: BTreeSet<usize> = draw.into_iter().collect();
        let mut place = 0..;
        lists.retain(|_| place.next().is_some_and(|place| drawn.contains(&place)));
    }
    lists
}

/// In what order the items of lists are, and who is left out.
fn told(lists: &Lists, (data, split): (&Dataset, &SplitSets), part: Part) -> String {
    let cases = split.cases(data, part);
    let without = cases.iter().filter(|case| lists.items(case.user.index()).is_empty()).count();
    format!(
        "{}; {without} of the {} users of the {} part have no list and are left out, and so are lists of \
         {} users who are not in the data",
        order(lists),
        cases.len(),
        part.name(),
        lists.unknown_users()
    )
}
