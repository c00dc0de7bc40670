//! Items as pre-trained language models read their texts.

use std::path::Path;

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::{evd, svd};
use faer::{Accum, Mat, Par, Spec};
use tastemaker_core::catalog::Catalog;
use tastemaker_core::{Error, ItemId, artifact};
use tastemaker_nn::checkpoint::Checkpoint;
use tastemaker_nn::fused::{Precision, View, multiply};
use tastemaker_nn::text::TextEncoder;

use crate::Result;
use crate::error::setting;

/// Embeddings of the items of a catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEmbeddings {
    /// Width of an embedding.
    pub width: usize,
    /// [items, width]; zeros for an item of which nothing is written.
    pub values: Vec<f32>,
    /// SHA-256 of the encoder and of the texts.
    pub identity: String,
}

/// Whether there is anything at `model`, a pre-trained model's file or folder.
pub(crate) fn is_there(model: &Path) -> Result<()> {
    if model.exists() {
        return Ok(());
    }
    let expected = "a file or folder that is there; scripts/fetch-models.sh fetches the models that are used \
                    if nothing else is said, and tastemaker fetch others";
    Err(setting("model", format!("{:?}", model.display().to_string()), expected))
}

/// The encoder at `model`, with the error of [`is_there`] where there is nothing.
pub(crate) fn encoder(model: &Path, precision: Precision) -> Result<TextEncoder> {
    is_there(model)?;
    Ok(TextEncoder::read(model, precision)?)
}

/// The name of the tensor in the files that are kept.
const TENSOR: &str = "embeddings";

impl TextEmbeddings {
    /// What the language model at `model` makes of everything that is written about the
    /// `n_items` of `catalog` ([`Catalog::text`]), with the factors of its products rounded to
    /// `precision`.
    ///
    /// They are kept in the folder `kept`, if there is one, under a name that follows from the model
    /// and the texts, and read from there the next time.
    pub fn of_items(
        catalog: &Catalog,
        n_items: usize,
        (model, precision): (&Path, Precision),
        kept: Option<&Path>,
    ) -> Result<Self> {
        let encoder = TextEncoder::read(model, precision)?;
        let items = (0..).map(ItemId).take(n_items);
        let texts: Vec<String> = items.map(|item| catalog.text(item)).collect();
        let identity = identity(&encoder, &texts);
        let path =
            kept.map(|folder| folder.join(format!("embeddings-{}.safetensors", &identity[..16])));
        let (width, dimensions) = (encoder.width(), vec![texts.len(), encoder.width()]);
        if let Some(path) = path.as_ref().filter(|path| path.exists()) {
            let file = Checkpoint::<String>::read(path)?;
            if file.about == identity {
                let values = file.tensor(path, TENSOR, &dimensions)?.to_vec();
                return Ok(Self { width, values, identity });
            }
        }
        let values = embedded(&encoder, &texts)?;
        if let Some(path) = path {
            let tensors = [(TENSOR.to_owned(), (dimensions, values.clone()))].into();
            Checkpoint { about: identity.clone(), tensors }.write(&path)?;
        }
        Ok(Self { width, values, identity })
    }

    /// The embeddings on their `n` first principal axes: [items, n]; zeros for an item of which
    /// nothing is written. An axis points to where its largest number is positive.
    ///
    /// # Panics
    /// If `n` is above the width.
    pub fn principal_components(&self, n: usize) -> Result<Vec<f32>> {
        let Self { width, values, .. } = self;
        assert!(n <= *width, "no more axes than numbers");
        let written = |row: &&[f32]| row.iter().any(|value| *value != 0.0);
        let rows = || values.chunks_exact(*width).filter(written);
        let count = rows().count().max(1) as f32;
        let mut mean = vec![0.0; *width];
        rows().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / count));
        let mut centred = values.clone();
        for row in centred.chunks_exact_mut(*width).filter(|row| written(&&**row)) {
            row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
        }
        let (items, x) = (centred.len() / width, View::rows(&centred, *width));
        let mut covariance = vec![0.0; width * width];
        multiply(&mut covariance, *width, (*width, *width, items), x.transposed(), x);
        let axes = axes(&covariance, *width, n)?;
        let mut components = vec![0.0; items * n];
        multiply(&mut components, n, (items, n, *width), x, View::rows(&axes, n));
        Ok(components)
    }

    /// The embedding of `item`.
    pub fn of(&self, item: ItemId) -> &[f32] {
        &self.values[item.index() * self.width..][..self.width]
    }
}

/// What `encoder` makes of texts: [texts, width]; zeros for an empty one, which is near nothing.
pub(crate) fn embedded(encoder: &TextEncoder, texts: &[String]) -> Result<Vec<f32>> {
    let mut values = encoder.encode(texts)?;
    for (row, text) in values.chunks_exact_mut(encoder.width()).zip(texts) {
        if text.is_empty() {
            row.fill(0.0);
        }
    }
    Ok(values)
}

/// The eigenvectors of the `n` largest eigenvalues of a symmetric matrix [width, width], as columns:
/// [width, n].
fn axes(matrix: &[f32], width: usize, n: usize) -> Result<Vec<f32>> {
    let vectors =
        eigenvectors(width, |i, j| f64::from(matrix[i * width + j])).ok_or_else(|| {
            let reason = "the embeddings of the texts have no principal axes: not all are finite";
            Error::Unsuitable { recommender: "language-model", reason: reason.to_owned() }
        })?;
    let mut axes = vec![0.0; width * n];
    for (axis, vector) in vectors.iter().take(n).enumerate() {
        let largest = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let sign = largest.unwrap_or(1.0).signum();
        for (i, value) in vector.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "embeddings are f32")]
            let value = (value * sign) as f32;
            axes[i * n + axis] = value;
        }
    }
    Ok(axes)
}

/// All eigenvectors of a symmetric matrix [width, width], that of the largest eigenvalue first; `None`
/// if not all of it is finite. On the calling thread, so that they do not depend on the number of
/// threads.
pub(crate) fn eigenvectors(
    width: usize,
    matrix: impl Fn(usize, usize) -> f64,
) -> Option<Vec<Vec<f64>>> {
    let matrix = Mat::from_fn(width, width, matrix);
    let (mut values, mut vectors) = (Diag::zeros(width), Mat::zeros(width, width));
    let (par, params) = (Par::Seq, Spec::default());
    let scratch =
        evd::self_adjoint_evd_scratch::<f64>(width, evd::ComputeEigenvectors::Yes, par, params);
    let mut memory = MemBuffer::new(scratch);
    let (values, out) = (values.as_mut(), Some(vectors.as_mut()));
    let stack = MemStack::new(&mut memory);
    evd::self_adjoint_evd(matrix.as_ref(), values, out, par, stack, params).ok()?;
    // Eigenvalues ascend.
    let vector = |axis: usize| vectors.col(width - 1 - axis).iter().copied().collect();
    Some((0..width).map(vector).collect())
}

/// The rotation R of rows x with which Σ ‖x R − y‖² is least, by the product Σ xᵀ y [width, width]: U Vᵀ
/// of its singular vectors (Schönemann 1966, the orthogonal Procrustes problem). On the calling thread.
pub(crate) fn nearest_rotation(product: &[f32], width: usize) -> Result<Vec<f32>> {
    let matrix = Mat::from_fn(width, width, |i, j| f64::from(product[i * width + j]));
    let [mut u, mut v] = [(); 2].map(|()| Mat::<f64>::zeros(width, width));
    let (mut values, par, params) = (Diag::zeros(width), Par::Seq, Spec::default());
    let both = svd::ComputeSvdVectors::Full;
    let mut memory = MemBuffer::new(svd::svd_scratch::<f64>(width, width, both, both, par, params));
    let stack = MemStack::new(&mut memory);
    let found = svd::svd(
        matrix.as_ref(),
        values.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        par,
        stack,
        params,
    );
    if found.is_err() {
        let reason = "the embeddings of the texts cannot be rotated: not all are finite";
        let reason = reason.to_owned();
        return Err(Error::Unsuitable { recommender: "language-model", reason }.into());
    }
    let mut rotation = Mat::<f64>::zeros(width, width);
    matmul(rotation.as_mut(), Accum::Replace, u.as_ref(), v.transpose(), 1.0, par);
    let at = |place: usize| rotation[(place / width, place % width)];
    #[expect(clippy::cast_possible_truncation, reason = "embeddings are f32")]
    Ok((0..width * width).map(|place| at(place) as f32).collect())
}

/// SHA-256 of everything that embeddings follow from.
fn identity(encoder: &TextEncoder, texts: &[String]) -> String {
    // With their lengths, so that texts cannot run into each other.
    let texts = texts.iter().map(|text| format!("{} {text}", text.len()));
    let all: Vec<String> = std::iter::once(encoder.hash().to_owned()).chain(texts).collect();
    artifact::sha256(all.join("\n").as_bytes())
}
