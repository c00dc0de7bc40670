//! Recommenders that are audited without a run, since they learn nothing, or in seconds.

use std::path::Path;

use super::super::training::{read, suits};
use super::super::{Ended, Run};
use crate::recommenders::Others;
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
    if arm.recommender.keeps_weights() {
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
    Ended::of(Run { folder, ended: false, pretrained, study: study.clone(), seed, data, split })
}
