//! What several adapters are made of.

use candle_core::Tensor;

use super::{Added, Own};
use crate::Result;
use crate::fused::{Activation, LayerNorm, Linear};
use crate::parameters::Init;

/// Standard deviation of the first weights.
pub(super) const DEVIATION: f64 = 0.02;

/// The parameters of [`bottleneck`], whose names begin with `prefix`.
pub(super) fn bottleneck_parameters(prefix: &str, width: usize, size: usize) -> Vec<Added> {
    let named = |name: &str, dimensions, init| (format!("{prefix}{name}"), dimensions, init);
    vec![
        named("norm.weight", vec![width], Init::Ones),
        named("norm.bias", vec![width], Init::Zeros),
        named("down.weight", vec![size, width], Init::Normal(DEVIATION)),
        named("down.bias", vec![size], Init::Zeros),
        named("up.weight", vec![width, size], Init::Zeros),
        named("up.bias", vec![width], Init::Zeros),
    ]
}

/// x + `W_up` gelu(`W_down` norm(x)), with the biases.
pub(super) fn bottleneck(own: Own<'_>, prefix: &str, x: &Tensor) -> Result<Tensor> {
    let get = |name: &str| own.get(&format!("{prefix}{name}"));
    let linear = |activation| Linear { activation, precision: own.precision };
    let normal = LayerNorm::default().apply(x, get("norm.weight"), get("norm.bias"))?;
    let (weight, bias) = (get("down.weight"), get("down.bias"));
    let down = linear(Activation::Gelu).apply(&normal, weight, bias)?;
    let (weight, bias) = (get("up.weight"), get("up.bias"));
    Ok((x + linear(Activation::None).apply(&down, weight, bias)?)?)
}

/// How a matrix of `n` inputs begins so that what comes out is as large as what goes in.
pub(super) fn fan_in(n: usize) -> Init {
    Init::Normal(1.0 / (n as f64).sqrt())
}

/// The parameters of `n` [`prompt_vectors`]; `inner` is the width of the network that makes them,
/// 0 for vectors of their own.
pub(super) fn prompt_parameters(n: usize, width: usize, inner: usize) -> Vec<Added> {
    let named = |name: &str, dimensions, init| (name.to_owned(), dimensions, init);
    let mut all = vec![named("vectors", vec![n, width], Init::Normal(DEVIATION))];
    if inner > 0 {
        all.push(named("in.weight", vec![inner, width], fan_in(width)));
        all.push(named("in.bias", vec![inner], Init::Zeros));
        all.push(named("out.weight", vec![width, inner], fan_in(inner)));
        all.push(named("out.bias", vec![width], Init::Zeros));
    }
    all
}

/// Vectors that learn; if `inner` is not 0, as `W_out` tanh(`W_in` v + `b_in`) + `b_out` of what
/// learns (Li and Liang 2021, who found vectors of their own hard to train).
pub(super) fn prompt_vectors(own: Own<'_>, inner: usize) -> Result<Tensor> {
    let vectors = own.get("vectors");
    if inner == 0 {
        return Ok(vectors.clone());
    }
    let plain = Linear { activation: Activation::None, precision: own.precision };
    let hidden = plain.apply(vectors, own.get("in.weight"), own.get("in.bias"))?.tanh()?;
    Ok(plain.apply(&hidden, own.get("out.weight"), own.get("out.bias"))?)
}
