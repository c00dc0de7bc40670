//! Ask whether a pre-trained language model knows the data by heart.

use std::path::Path;

use super::Run;
use crate::memorisation::{MemorisationProbe, Memorised};
use crate::recommenders::Others;
use crate::study::RunFolder;
use crate::{Error, Result};

/// What the model of the run in `folder` knows of the run's data by heart.
pub fn probe(folder: &Path, probe: &MemorisationProbe) -> Result<Memorised> {
    let folder = RunFolder::open(folder)?;
    let run = Run::read(&folder)?;
    let (others, recommender) = (Others::default(), &run.arm().recommender);
    recommender.as_dyn().memorised(&run.context(&others), probe)?.ok_or_else(|| {
        let problem = format!("{} reads no pre-trained language model", recommender.name());
        Error::Run { path: folder.path().to_owned(), problem }
    })
}
