//! Model files: safetensors, never anything that could run.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tastemaker_core::artifact;

use crate::{Error, Result};

/// The key of our own description in a file's metadata. One key only: more would be written in
/// an order that changes from run to run.
const KEY: &str = "tastemaker";

/// Named tensors and what they belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<M> {
    /// What the tensors belong to.
    pub about: M,
    /// Dimensions and numbers, by name.
    pub tensors: Tensors,
}

impl<M: Serialize + DeserializeOwned> Checkpoint<M> {
    /// Writes the file whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |problem: String| Error::Checkpoint { path: path.to_owned(), problem };
        let about =
            serde_json::to_string(&self.about).map_err(|error| failed(error.to_string()))?;
        let mut views = Vec::with_capacity(self.tensors.len());
        for (name, (dimensions, values)) in &self.tensors {
            let bytes = bytemuck::cast_slice(values);
            let view = TensorView::new(Dtype::F32, dimensions.clone(), bytes);
            views.push((name, view.map_err(|error| failed(error.to_string()))?));
        }
        let metadata = HashMap::from([(KEY.to_owned(), about)]);
        let bytes = safetensors::serialize(views, Some(metadata))
            .map_err(|error| failed(error.to_string()))?;
        Ok(artifact::write_atomically(path, |file| file.write_all(&bytes))?)
    }

    /// Reads a file that [`Checkpoint::write`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |problem: String| Error::Checkpoint { path: path.to_owned(), problem };
        let bytes = read(path)?;
        let metadata = SafeTensors::read_metadata(&bytes);
        let (_, metadata) = metadata.map_err(|error| not_whole(path, &bytes, &error))?;
        let about = metadata
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(KEY))
            .ok_or_else(|| {
                failed(format!(
                    "there is no {KEY:?} in the file's metadata; it was not written by tastemaker"
                ))
            })?;
        let about = serde_json::from_str(about)
            .map_err(|error| failed(format!("the file's description cannot be read: {error}")))?;
        Ok(Self { about, tensors: tensors(path, &bytes, false)? })
    }

    /// The numbers of tensor `name`, which must have these dimensions.
    pub fn tensor(&self, path: &Path, name: &str, dimensions: &[usize]) -> Result<&[f32]> {
        let failed = |problem: String| Error::Checkpoint { path: path.to_owned(), problem };
        match self.tensors.get(name) {
            None => Err(failed(format!("tensor {name} is missing"))),
            Some((found, _)) if found != dimensions => {
                Err(failed(format!("tensor {name} is {found:?}, expected {dimensions:?}")))
            }
            Some((_, values)) => Ok(values),
        }
    }
}

impl Checkpoint<()> {
    /// What stands in the `bytes` of the file at `path`, which another program wrote and whose
    /// numbers may have half the precision.
    pub fn foreign(path: &Path, bytes: &[u8]) -> Result<Self> {
        Ok(Self { about: (), tensors: tensors(path, bytes, true)? })
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(fs_err::read(path).map_err(|source| tastemaker_core::Error::read(path, source))?)
}

fn not_whole(path: &Path, bytes: &[u8], error: &safetensors::SafeTensorError) -> Error {
    let problem = format!("this is no whole safetensors file ({} bytes: {error})", bytes.len());
    Error::Checkpoint { path: path.to_owned(), problem }
}

/// Dimensions and numbers, by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The tensors of a file; one that is not `foreign` holds f32 alone.
fn tensors(path: &Path, bytes: &[u8], foreign: bool) -> Result<Tensors> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| not_whole(path, bytes, &error))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        // The bytes need not be aligned, so they are copied one number at a time.
        let halves = || view.data().as_chunks::<2>().0.iter();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => {
                view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            Dtype::F16 if foreign => halves().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::BF16 if foreign => halves().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            // Some models keep the numbers of places, which say nothing.
            Dtype::I64 if foreign => continue,
            other => {
                let expected = if foreign { "F32, F16 or BF16" } else { "F32" };
                let problem = format!("tensor {name} is {other:?}, expected {expected}");
                return Err(Error::Checkpoint { path: path.to_owned(), problem });
            }
        };
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(tensors)
}
