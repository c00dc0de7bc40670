//! What is written: explanations of what is recommended, by a model over text or in a file, and titles that
//! a model goes on with.

use tastemaker_audit::{Explanation, Extraction, Subject};
use tastemaker_core::answers::{Explained, read_explanations};
use tastemaker_core::{Dataset, ItemId, RecQuery, SeedTree};

use super::super::Run;
use super::AuditOptions;
use crate::Result;
use crate::memorisation::MemorisationProbe;
use crate::recommenders::{AnyRecommender, Others};

/// Users to whom what comes first is explained, drawn at random.
const EXPLAINED: usize = 100;

/// Items whose titles a model is asked to go on with.
const EXTRACTED: usize = 50;

impl Run {
    /// How the model explains what comes first in its lists; nothing of what writes no texts.
    pub(super) fn explanations(
        &self,
        subject: &Subject<'_>,
        others: &Others,
    ) -> Result<Vec<Explanation>> {
        let users = subject.draw(EXPLAINED, &SeedTree::new(self.seed).child("explained"));
        let first = |at: &usize| Some((*at, *subject.lists[*at].items.first()?));
        let asked: Vec<(usize, ItemId)> = users.iter().filter_map(first).collect();
        let query =
            |&(at, item): &(usize, ItemId)| (subject.query(at, subject.cases[at].history), item);
        let queries: Vec<(RecQuery<'_>, ItemId)> = asked.iter().map(query).collect();
        let recommender = self.arm().recommender.as_dyn();
        let texts = recommender.explain(&self.context(others), &queries)?.unwrap_or_default();
        let explained = |((at, item), text): ((usize, ItemId), String)| Explanation {
            user: subject.cases[at].user,
            item,
            text,
            cited: None,
        };
        Ok(asked.into_iter().zip(texts).map(explained).collect())
    }

    /// How the model goes on with lines of ids and titles; nothing of what is no model over text. For an
    /// audit of `most` users, if it is not 0, no more titles are asked for.
    pub(super) fn extractions(&self, others: &Others, most: usize) -> Result<Vec<Extraction>> {
        let items = if most == 0 { EXTRACTED } else { most.min(EXTRACTED) };
        let probe = MemorisationProbe { items, others: 1, ..MemorisationProbe::default() };
        let catalog = &self.data.dataset.catalog;
        let titled = (0..).map(ItemId).take(self.data.dataset.n_items());
        let titled = titled.filter(|item| catalog.title(*item).is_some()).count();
        if titled <= probe.examples + probe.others {
            return Ok(vec![]);
        }
        let recommender = &self.arm().recommender;
        if !matches!(recommender.learner(), AnyRecommender::TextLanguageModel(_)) {
            return Ok(vec![]);
        }
        let found = recommender.as_dyn().memorised(&self.context(others), &probe)?;
        let written = found.map(|found| found.written).unwrap_or_default();
        let extraction = |(truth, continued)| Extraction { truth, continued };
        Ok(written.into_iter().map(extraction).collect())
    }
}

/// The explanations in the file that the options name.
pub(super) fn given(options: &AuditOptions, data: &Dataset) -> Result<Vec<Explanation>> {
    let Some(path) = &options.explanations else { return Ok(vec![]) };
    let rows = read_explanations(path, &data.users, &data.items)?;
    let explanation = |row| {
        let Explained { user, item, text, cited } = row;
        Explanation { user, item, text, cited }
    };
    Ok(rows.into_iter().map(explanation).collect())
}
