//! Model files of llama.cpp.

use std::fmt::Display;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value};

use super::blocks;
use crate::fused::Matrix;
use crate::{Error, Result};

/// A GGUF file: what it says of itself, and tensors that are read when they are asked for.
#[derive(Debug)]
pub(super) struct Gguf {
    path: PathBuf,
    reader: BufReader<fs_err::File>,
    content: Content,
}

impl Gguf {
    /// Opens the file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = fs_err::File::open(path)
            .map_err(|source| tastemaker_core::Error::read(path, source))?;
        let mut reader = BufReader::new(file);
        let content = Content::read(&mut reader).map_err(|error| Error::Checkpoint {
            path: path.to_owned(),
            problem: format!("this is no whole GGUF file: {error}"),
        })?;
        Ok(Self { path: path.to_owned(), reader, content })
    }

    /// An error of this file.
    pub(super) fn failed(&self, problem: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), problem: problem.into() }
    }

    fn value(&self, key: &str) -> Result<&Value> {
        let value = self.content.metadata.get(key);
        value.ok_or_else(|| self.failed(format!("{key} is missing")))
    }

    fn is_not(&self, key: &str, what: &str, error: &dyn Display) -> Error {
        self.failed(format!("{key} is not {what}: {error}"))
    }

    /// A count.
    pub(super) fn count(&self, key: &str) -> Result<usize> {
        let not = |error: &dyn Display| self.is_not(key, "a count", error);
        let value = self.value(key)?;
        if let Ok(value) = value.to_i32() {
            return usize::try_from(value).map_err(|error| not(&error));
        }
        let value = value.to_u64().map_err(|error| not(&error))?;
        usize::try_from(value).map_err(|error| not(&error))
    }

    /// A count, if it is there.
    pub(super) fn count_if_there(&self, key: &str) -> Result<Option<usize>> {
        self.content.metadata.contains_key(key).then(|| self.count(key)).transpose()
    }

    /// A number.
    pub(super) fn number(&self, key: &str) -> Result<f32> {
        self.value(key)?.to_f32().map_err(|error| self.is_not(key, "a number", &error))
    }

    /// Whether something is so, if that is said.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.content.metadata.get(key)?.to_bool().ok()
    }

    /// A list of numbers.
    pub(super) fn numbers(&self, key: &str) -> Result<Vec<f32>> {
        let not = |error: &dyn Display| self.is_not(key, "a list of numbers", error);
        let values = self.value(key)?.to_vec().map_err(|error| not(&error))?;
        values.iter().map(|value| value.to_f32().map_err(|error| not(&error))).collect()
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<&str> {
        let text = self.value(key)?.to_string();
        text.map(String::as_str).map_err(|error| self.is_not(key, "a text", &error))
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let not = |error: &dyn Display| self.is_not(key, "a list of texts", error);
        let values = self.value(key)?.to_vec().map_err(|error| not(&error))?;
        let texts = values.iter().map(|value| value.to_string().map(String::as_str));
        texts.map(|text| text.map_err(|error| not(&error))).collect()
    }

    /// A list of whole numbers.
    pub(super) fn integers(&self, key: &str) -> Result<Vec<i32>> {
        let not = |error: &dyn Display| self.is_not(key, "a list of numbers", error);
        let values = self.value(key)?.to_vec().map_err(|error| not(&error))?;
        values.iter().map(|value| value.to_i32().map_err(|error| not(&error))).collect()
    }

    /// Whether there is such a tensor.
    pub(super) fn has(&self, tensor: &str) -> bool {
        self.content.tensor_infos.contains_key(tensor)
    }

    /// A tensor, as f32 whatever the file keeps it in, and the codes of its rows if the file keeps
    /// it in such.
    pub(super) fn tensor(&mut self, name: &str, dimensions: &[usize]) -> Result<Matrix> {
        if !self.has(name) {
            return Err(self.failed(format!("tensor {name} is missing")));
        }
        let read = self.content.tensor(&mut self.reader, name, &Device::Cpu);
        let failed = |error| self.failed(format!("tensor {name} cannot be read: {error}"));
        let read = read.map_err(failed)?;
        if read.shape().dims() != dimensions {
            let found = read.shape().dims();
            return Err(self.failed(format!("tensor {name} is {found:?}, expected {dimensions:?}")));
        }
        let values = read.dequantize(&Device::Cpu).map_err(failed)?;
        let inputs = dimensions[dimensions.len() - 1];
        let quantised = blocks::quantised(read.dtype(), &read.data()?, inputs);
        Ok(Matrix {
            values: values.flatten_all()?.to_vec1()?,
            quantised: quantised.into_iter().collect(),
        })
    }
}
