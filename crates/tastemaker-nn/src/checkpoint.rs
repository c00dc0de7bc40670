//! Model files: safetensors, never anything that could run.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

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
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
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
        let bytes =
            fs_err::read(path).map_err(|source| tastemaker_core::Error::read(path, source))?;
        let whole = |error: safetensors::SafeTensorError| {
            failed(format!("this is no whole safetensors file ({} bytes: {error})", bytes.len()))
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(whole)?;
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
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes).map_err(whole)?.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(failed(format!("tensor {name} is {:?}, expected F32", view.dtype())));
            }
            // The bytes need not be aligned for f32, so they are copied one number at a time.
            let (numbers, _) = view.data().as_chunks::<4>();
            let values = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            tensors.insert(name, (view.shape().to_vec(), values));
        }
        Ok(Self { about, tensors })
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
