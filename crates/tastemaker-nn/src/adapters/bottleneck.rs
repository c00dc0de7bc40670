//! A small network after each block.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::vectors::{bottleneck, bottleneck_parameters};
use super::{Adapter, Added, Own, check_count};
use crate::Result;
use crate::backbones::Shape;
use crate::parameters::Group;
use crate::transformer::blocks;

/// A small network after each block, beside the residual stream.
///
/// # Formula
/// x′ = x + `W_up` gelu(`W_down` norm(x) + `b_down`) + `b_up`, with `W_up` zero at first. The norm
/// is there because nothing bounds the residual stream of a pre-norm transformer.
///
/// # References
/// Houlsby et al. 2019, *Parameter-efficient transfer learning for NLP*; one a block, as Pfeiffer
/// et al. 2021; for item sequences Yuan et al. 2020, *`PeterRec`*, and Fu et al. 2024,
/// *`Adapter4Rec`*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bottleneck {
    /// Width of the small network.
    pub size: usize,
}

impl Default for Bottleneck {
    fn default() -> Self {
        Self { size: 16 }
    }
}

impl Adapter for Bottleneck {
    fn group(&self) -> Group {
        Group::Adapter
    }

    fn check(&self, _shape: Shape) -> Result<()> {
        check_count("size", self.size, 65_536)
    }

    fn parameters(&self, shape: Shape, _values: usize) -> Vec<Added> {
        let of = |(block, _)| {
            bottleneck_parameters(&format!("{block}."), shape.embedding_size, self.size)
        };
        blocks(shape).flat_map(of).collect()
    }

    fn after_block(&self, own: Own<'_>, block: &str, x: &Tensor) -> Result<Option<Tensor>> {
        bottleneck(own, &format!("{block}."), x).map(Some)
    }
}
