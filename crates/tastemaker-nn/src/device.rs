//! Where a model learns.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where a model learns. It is evaluated and serves on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// On the CPU, by the fused operations.
    #[default]
    Cpu,
    /// On the first CUDA device, by [`crate::composite`] in f32, with the optimiser on the CPU.
    /// Needs the cargo feature `cuda`.
    Cuda,
}

impl Device {
    /// The tensor library's device.
    ///
    /// # Errors
    /// If this build does not know it or the machine does not have it.
    pub fn open(self) -> Result<candle_core::Device> {
        match self {
            Self::Cpu => Ok(candle_core::Device::Cpu),
            Self::Cuda if cfg!(feature = "cuda") => candle_core::Device::new_cuda(0)
                .map_err(|error| Error::setting("device", "cuda", format!("cpu, for {error}"))),
            Self::Cuda => {
                let expected = "cpu: this tastemaker was built without the cargo feature `cuda`";
                Err(Error::setting("device", "cuda", expected))
            }
        }
    }
}
