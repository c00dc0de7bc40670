//! From what was read to a [`Dataset`]: filtered, put in order, without repetitions, cut to a
//! k-core, numbered; and the manifest that says all of it.
//!
//! The steps, always in this order:
//! 1. interactions below `min-value` are left out,
//! 2. each user's interactions are put in order of time,
//! 3. repeated user–item pairs are reduced to one,
//! 4. users and items with too few interactions are left out until none is left,
//! 5. users and items are numbered from 0 in the order in which the kept interactions stand in
//!    the source.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::sources::{AnySource, RawData};

mod columns;
mod hash;
mod manifest;
mod options;
mod order;
mod parquet_columns;
mod saved;
mod selection;
mod steps;
mod tables;

pub use manifest::{Counts, InputFile, Manifest, OutputFile, SavedAttribute, Step};
pub use options::{PrepareOptions, Repeats, Ties};
pub use saved::{read, read_manifest, write};
pub use selection::{of_users, without};

/// A data set and how it came to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The data set.
    pub dataset: Dataset,
    /// How it came to be.
    pub manifest: Manifest,
}

/// Reads `source` and prepares it.
///
/// A folder that was prepared before is taken as it is, with its own manifest, when `options`
/// are the default ones; other options are applied to it like to any other source.
pub fn prepare(source: &AnySource, options: &PrepareOptions) -> Result<Prepared> {
    options.check()?;
    if let AnySource::Prepared(prepared) = source
        && *options == PrepareOptions::default()
    {
        return read(&prepared.path);
    }
    let mut raw = source.as_dyn().read()?;
    let inputs = std::mem::take(&mut raw.inputs);
    let mut prepared = prepare_raw(raw, options)?;
    prepared.manifest.inputs = manifest::hash_inputs(&inputs)?;
    prepared.manifest.source = Some(source.clone());
    Ok(prepared)
}

/// Prepares data that was read; the manifest says nothing about source and inputs.
pub fn prepare_raw(raw: RawData, options: &PrepareOptions) -> Result<Prepared> {
    options.check()?;
    check(&raw)?;
    let (rows, steps, order) = steps::run(&raw, options);
    if rows.is_empty() {
        return Err(nothing_left(&steps, options));
    }
    let notes = raw.notes.clone();
    let (format, attribution) = (raw.format.clone(), raw.attribution.clone());
    let dataset = columns::build(raw, &rows, order.seconds);
    let manifest = Manifest {
        order: order.words,
        time: order.unit_words,
        notes,
        attribution,
        options: options.clone(),
        steps,
        ..Manifest::about(&dataset, format)
    };
    Ok(Prepared { dataset, manifest })
}

/// Which step left out the last interaction, and what there was before it.
fn nothing_left(steps: &[Step], options: &PrepareOptions) -> Error {
    let empties = |step: &Step| step.left.interactions == 0;
    let first = steps.iter().position(empties).unwrap_or(0);
    let PrepareOptions { user_core, item_core, .. } = options;
    let (name, found) = match steps[first].step.as_str() {
        "core" => ("the k-core", format!("user-core {user_core} and item-core {item_core}")),
        "min-value" => ("min-value", options.min_value.unwrap_or_default().to_string()),
        _ => ("the data", "without an interaction".to_owned()),
    };
    let expected = match first.checked_sub(1).map(|before| steps[before].left) {
        Some(Counts { users, items, interactions }) => format!(
            "a lower one: of {interactions} interactions of {users} users with {items} items it \
             leaves none"
        ),
        None => "one or more".to_owned(),
    };
    Error::Setting { name: name.to_owned(), found, expected }
}

/// Checks what a source outside this crate may get wrong.
fn check(raw: &RawData) -> Result<()> {
    if u32::try_from(raw.len()).is_err() {
        return Err(Error::Setting {
            name: "the number of interactions".to_owned(),
            found: raw.len().to_string(),
            expected: "fewer than 2^32".to_owned(),
        });
    }
    let n = raw.user.len();
    let unequal = |what: &str, found: usize, expected: usize| Error::Setting {
        name: format!("the {what} of {}", raw.name),
        found: format!("{found} long"),
        expected: format!("{expected} rows"),
    };
    let columns = [
        ("items", raw.item.len()),
        ("times", raw.times.as_ref().map_or(n, Vec::len)),
        ("values", raw.values.as_ref().map_or(n, Vec::len)),
    ];
    for (what, found) in columns {
        if found != n {
            return Err(unequal(what, found, n));
        }
    }
    for texts in &raw.texts {
        if texts.column.len() != n {
            return Err(unequal(&texts.name, texts.column.len(), n));
        }
    }
    for attribute in raw.catalog.attributes() {
        if attribute.column.len() != raw.items.len() {
            return Err(unequal(&attribute.name, attribute.column.len(), raw.items.len()));
        }
    }
    for known in raw.people.attributes() {
        if known.attribute.column.len() != raw.users.len() {
            return Err(unequal(
                &known.attribute.name,
                known.attribute.column.len(),
                raw.users.len(),
            ));
        }
    }
    let inside = raw.user.iter().all(|&user| (user as usize) < raw.users.len())
        && raw.item.iter().all(|&item| (item as usize) < raw.items.len());
    if !inside {
        return Err(unequal("vocabularies", raw.users.len().min(raw.items.len()), n));
    }
    let finite = raw.times.iter().flatten().all(|time| time.is_finite())
        && raw.values.iter().flatten().all(|value| value.is_finite());
    if finite {
        Ok(())
    } else {
        Err(Error::Setting {
            name: format!("a time or value of {}", raw.name),
            found: "not a finite number".to_owned(),
            expected: "finite numbers".to_owned(),
        })
    }
}
