//! Recommenders that are audited without a run, since they learn nothing, or in seconds.

use std::path::Path;

use super::super::training::{read, suits};
use super::super::{Ended, Run};
use crate::recommenders::{AnyRecommender, Others};
use crate::study::{RunFolder, Study};
use crate::{Error, Result};

/// The recommender of `study`, which has one arm and one seed: of its run below `out`, or made now. What is
/// asked of an endpoint is kept, and counted, as that run would.
pub(super) fn ended(study: &Study, out: &Path) -> Result<Ended> {
    let (Some(arm), Some(&seed)) = (study.arm.first(), study.study.seeds.first()) else {
        let problem = "its study has no arm or no seed".to_owned();
        return Err(Error::Run { path: out.to_owned(), problem });
    };
    let folder = RunFolder::of(out, study, arm, seed);
    if folder.is_of(study) {
        return Ended::read(&folder);
    }
    let takes_long = match &arm.recommender {
        AnyRecommender::LanguageModel(_) | AnyRecommender::TextToText(_) => true,
        AnyRecommender::TextLanguageModel(model) => model.tuning.is_some(),
        _ => false,
    };
    if takes_long {
        let problem = format!(
            "there is no run of it that has ended, and an audit trains nothing that takes long; train {} \
             first",
            arm.name
        );
        return Err(Error::Run { path: folder.path().to_owned(), problem });
    }
    let (data, split) = read(study)?;
    suits(study, (&data, &split, &Others::default()))?;
    let pretrained = Some(folder.pretrained());
    Ended::of(Run { folder, pretrained, study: study.clone(), seed, data, split })
}
