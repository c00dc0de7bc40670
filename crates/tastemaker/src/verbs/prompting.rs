//! Show what a language model over text is told.

use std::path::Path;

use serde::Serialize;
use tastemaker_core::splits::Part;
use tastemaker_core::{ItemId, RecQuery, SeedTree};

use super::{Run, TitleIndex, Whose};
use crate::prompts::Shown;
use crate::recommenders::Others;
use crate::study::RunFolder;
use crate::{Error, Result};

/// A prompt, and whose it is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PromptOf {
    /// The user, if it was one of the data's.
    pub user: Option<String>,
    /// What it is shown.
    #[serde(flatten)]
    pub shown: Shown,
    /// Its tokens; not known of a model behind an endpoint.
    pub n_tokens: Option<usize>,
}

/// The prompt that the run in `folder` tells of a user: as the evaluation of the test tells it, with
/// the same history and candidates; of a user without a test target, or of anybody, the history as
/// it is and no candidates. Of a prompt for each candidate, that of the first.
pub fn prompt(folder: &Path, whose: &Whose) -> Result<PromptOf> {
    let folder = RunFolder::open(folder)?;
    let run = Run::read(&folder)?;
    let data = &run.data.dataset;
    let (others, seeds) = (Others::default(), SeedTree::new(run.seed));
    let (user, history, candidates): (_, Vec<ItemId>, Option<Vec<ItemId>>) = match whose {
        Whose::User(id) => {
            let user = super::user_called(data, id)?;
            let cases = run.split.cases(data, Part::Test);
            match cases.iter().find(|case| case.user == user) {
                Some(case) => {
                    let evaluate = &run.study.evaluate;
                    let among = evaluate.candidates_of(data)?;
                    let candidates = among.of(case, data.n_items(), evaluate.allow_seen, &seeds);
                    (Some(user), case.history.to_vec(), candidates)
                }
                None => (Some(user), data.interactions.sequence(user).to_vec(), None),
            }
        }
        Whose::History(entries) => {
            let found = TitleIndex::new(data).find_all(entries).map_err(Error::History)?;
            (None, found.into_iter().map(|matched| matched.item).collect(), None)
        }
    };
    let query = RecQuery { user, history: &history, candidates: candidates.as_deref() };
    let arm = run.arm();
    let context = run.context(&others);
    let Some(shown) = arm.recommender.as_dyn().prompt(&context, &query)? else {
        let problem =
            format!("{} is told nothing in words, so it has no prompt", arm.recommender.name());
        return Err(Error::Run { path: folder.path().to_owned(), problem });
    };
    let user = user.and_then(|user| data.users.id(user.index())).map(str::to_owned);
    Ok(PromptOf { user, n_tokens: Some(shown.tokens.len()).filter(|n| *n > 0), shown })
}
