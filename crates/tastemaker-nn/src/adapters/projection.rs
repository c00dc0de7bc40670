//! A new head.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::vectors::{bottleneck, bottleneck_parameters};
use super::{Adapter, Added, Own, check_count};
use crate::Result;
use crate::backbones::Shape;
use crate::parameters::Group;

/// A new head: a small network between what the backbone finds and the scores of the items.
///
/// # Formula
/// h′ = h + `W_up` gelu(`W_down` norm(h) + `b_down`) + `b_up`, with `W_up` zero at first, so that
/// it begins as the head that was pre-trained.
///
/// # References
/// The new part of "fine-tune the extra part" in Liu et al. 2023, *Pre-train, prompt and
/// recommendation*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Projection {
    /// Width of the small network.
    pub size: usize,
}

impl Default for Projection {
    fn default() -> Self {
        Self { size: 64 }
    }
}

impl Adapter for Projection {
    fn group(&self) -> Group {
        Group::Head
    }

    fn check(&self, _shape: Shape) -> Result<()> {
        check_count("size", self.size, 65_536)
    }

    fn parameters(&self, shape: Shape, _values: usize) -> Vec<Added> {
        bottleneck_parameters("", shape.embedding_size, self.size)
    }

    fn after_norm(&self, own: Own<'_>, x: &Tensor) -> Result<Option<Tensor>> {
        bottleneck(own, "", x).map(Some)
    }
}
