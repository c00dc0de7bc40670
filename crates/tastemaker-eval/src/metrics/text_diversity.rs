//! How different the items of a list are by what a language model makes of their texts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tastemaker_core::{ItemId, RankedList};

use super::{Metric, Need};
use crate::About;
use crate::similarity::list_diversity;

/// How different the items of a list are by embeddings of their texts.
///
/// # What it measures
/// Whether a list is more of the same, where no categories say so or few do.
///
/// # Formula
/// The mean over users of [`list_diversity`] of the first k: the mean over pairs of items of 1 − the
/// cosine of their embeddings. An item of which nothing is written is as far from all others as one that
/// has nothing in common with them, 1.
///
/// # When not to use it
/// Between encoders, whose cosines are of other sizes. It says how alike texts are, not how alike items
/// are.
///
/// # References
/// Intra-list diversity: Ziegler et al. 2005; `IntraListDiversity` of `RecTools` with this distance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TextDiversity {
    /// The cut-off.
    pub k: usize,
    /// The folder of the sentence encoder.
    #[serde(default = "usual_model")]
    pub model: PathBuf,
}

fn usual_model() -> PathBuf {
    "models/all-minilm-l6-v2".into()
}

impl TextDiversity {
    /// By the usual encoder.
    pub fn of(k: usize) -> Self {
        Self { k, model: usual_model() }
    }
}

impl Metric for TextDiversity {
    fn label(&self) -> String {
        match self.model.file_name() {
            Some(model) if self.model != usual_model() => {
                format!("ILD@{} texts ({})", self.k, model.to_string_lossy())
            }
            _ => format!("ILD@{} texts", self.k),
        }
    }

    fn k(&self) -> usize {
        self.k
    }

    fn needs(&self) -> Need<'_> {
        Need::Embeddings(&self.model)
    }

    fn range(&self) -> (f64, f64) {
        (0.0, 2.0)
    }

    fn of_user(&self, list: &RankedList, _: &[ItemId], about: &About<'_>) -> Option<f64> {
        let embeddings = about.ground.embeddings(&self.model)?;
        let items = list.items.iter().take(self.k);
        let items: Vec<&[f32]> = items.map(|item| embeddings.of(*item)).collect();
        Some(list_diversity(&items))
    }
}
