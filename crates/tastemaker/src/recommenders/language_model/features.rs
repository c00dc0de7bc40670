//! Items known by their attributes.

use serde::{Deserialize, Serialize};
use tastemaker_core::Dataset;
use tastemaker_nn::fused::Features;

use crate::Error;
use crate::error::setting;
use crate::train::{Categories, category_attributes, feature_attributes, unknown_attribute};

/// What an item is known by beside itself, for what is read and for what is foretold alike.
///
/// # Formula
/// The row of item i in the embedding table is `Eᵢ = Iᵢ + (1/√nᵢ) Σⱼ Fⱼ`, with I the items' own
/// embeddings, F those of features (an attribute and its value), and nᵢ the features of i that
/// count. At first, I and F have half the usual variance each, so that E has it.
///
/// # When not to use it
/// With embeddings of their own, items that nobody met in training are foretold badly all the same:
/// what they have of their own learnt only to be wrong. `own = false` ranks them by their features,
/// and cannot tell two items with the same features apart; one that has none scores 0.
///
/// # References
/// An item as the sum of its own and its features' embeddings is `LightFM`'s (Kula 2015, which adds
/// without dividing); dividing by √n is `StarSpace`'s (Wu et al. 2018, p = ½). FDSA (Zhang et al.
/// 2019) gives features a transformer of their own beside that of items, and scores by items alone.
/// That one table of such sums serves a transformer's input and output is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ItemFeatures {
    /// The attributes whose values are features; of a text, its words. All that hold categories, if
    /// none is named.
    pub attributes: Vec<String>,
    /// Whether an item has an embedding of its own as well.
    pub own: bool,
    /// Values that fewer items have are left out.
    pub min_items: usize,
}

impl Default for ItemFeatures {
    fn default() -> Self {
        Self { attributes: vec![], own: true, min_items: 2 }
    }
}

impl ItemFeatures {
    /// The features of the items of `data`.
    pub(super) fn of(&self, data: &Dataset) -> Categories {
        Categories::of(data, &self.attributes, self.min_items)
    }

    /// Them as a model reads them.
    pub(super) fn rows(&self, data: &Dataset) -> Features {
        let features = self.of(data);
        Features::new(features.of_items(), features.named().len())
    }

    pub(super) fn problem(&self) -> Option<Error> {
        if self.min_items == 0 {
            return Some(setting("min-items", 0, "1 or more"));
        }
        let names = &self.attributes;
        let again = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name));
        again.map(|(_, name)| setting("attributes", format!("{name:?} twice"), "each one once"))
    }

    /// Why the items of `data` cannot be known by them.
    pub(super) fn unsuitable(&self, data: &Dataset) -> Option<String> {
        let known = feature_attributes(data);
        let whose = ("items", "categories or text");
        if let Some(why) = unknown_attribute(&self.attributes, &known, whose) {
            return Some(why);
        }
        if self.attributes.is_empty() && category_attributes(data).is_empty() {
            return Some("the items have no attributes with categories".to_owned());
        }
        let none = self.of(data).named().len() == 0;
        none.then(|| format!("no value is that of {} items, as min-items says", self.min_items))
    }
}

/// The features that two data sets have in common, by their numbers in each.
pub(super) fn shared(there: &Categories, here: &Categories) -> Vec<(usize, usize)> {
    let numbers: std::collections::HashMap<_, usize> =
        there.named().enumerate().map(|(number, named)| (named, number)).collect();
    let common = here.named().enumerate();
    common.filter_map(|(ours, named)| Some((*numbers.get(&named)?, ours))).collect()
}
