//! A file with several regimes as one document for each: data sets, few shots, noise.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;

/// Sections of a regime that replace the study's; of the others single settings do.
const REPLACED: [&str; 5] = ["dataset", "split", "backbone", "features", "few-shot"];

/// One document for each of the regimes, in their order, or the document itself where there are none.
///
/// `[regime.NAME]` holds sections as a study does. What it says of data, split, backbone, features and few shots
/// stands instead of what the study says, other sections setting by setting; the command line has the
/// last word.
pub(super) fn documents(mut document: Document<'_>) -> Vec<Document<'_>> {
    let Some((key, regimes)) = document.table.remove_entry("regime") else { return vec![document] };
    let DeValue::Table(regimes) = regimes.into_inner() else {
        document.report("regime is no table, expected for example [regime.few-shot]", key.span());
        return vec![document];
    };
    if regimes.is_empty() {
        document.report("there is no regime, expected for example [regime.few-shot]", key.span());
        return vec![document];
    }
    let mut documents = Vec::new();
    for (name, regime) in regimes {
        let span = name.span();
        let mut own = document.clone();
        match regime.into_inner() {
            DeValue::Table(sections) => own.merge(sections),
            _ => own.report(format!("regime.{} is no table of sections", name.get_ref()), span),
        }
        let title = Spanned::new(name.span(), DeValue::String(name.get_ref().clone()));
        if let Some(DeValue::Table(about)) = own.table.get_mut("study").map(Spanned::get_mut) {
            about.insert(Spanned::new(name.span(), Cow::Borrowed("regime")), title);
        }
        own.set_all(|path| !path.starts_with("regime."));
        documents.push(own);
    }
    documents
}

impl<'t> Document<'t> {
    /// Puts the sections of a regime into the study's.
    fn merge(&mut self, sections: DeTable<'t>) {
        for (name, section) in sections {
            let replaced = REPLACED.contains(&name.get_ref().as_ref());
            let there = self.table.get_mut(name.get_ref().as_ref()).map(Spanned::get_mut);
            match (there, section.get_ref()) {
                (Some(DeValue::Table(there)), DeValue::Table(own)) if !replaced => {
                    fill(there, own);
                }
                _ => {
                    self.table.remove(name.get_ref().as_ref());
                    self.table.insert(name, section);
                }
            }
        }
    }
}

/// Puts what `own` says into `table`.
fn fill<'t>(table: &mut DeTable<'t>, own: &DeTable<'t>) {
    for (key, value) in own {
        table.remove(key.get_ref().as_ref());
        table.insert(key.clone(), value.clone());
    }
}
