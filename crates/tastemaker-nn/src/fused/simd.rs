//! Element-wise arithmetic that the compiler can put into the widest registers there are.

use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};

/// Defines a function that calls another, compiled for the best instruction set of this machine.
///
/// The other is to be marked `#[inline(always)]`, and so are those that it calls: what is not
/// inlined gains nothing. (That is also why this is a macro: a call through a function's generic
/// type is not inlined.) Multiplications and additions are not contracted, so the results are the
/// same everywhere.
macro_rules! vectorised {
    ($vis:vis fn $name:ident<$l:lifetime>($($arg:ident: $type:ty),* $(,)?) -> $output:ty = $f:path;) => {
        $vis fn $name<$l>($($arg: $type),*) -> $output {
            struct Arguments<$l> {
                $($arg: $type),*
            }

            impl<$l> pulp::WithSimd for Arguments<$l> {
                type Output = $output;

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _simd: S) -> Self::Output {
                    $f($(self.$arg),*)
                }
            }

            pulp::Arch::new().dispatch(Arguments { $($arg),* })
        }
    };
}
pub(crate) use vectorised;

/// Numbers handled at a time in reductions; fixed, so that sums do not depend on the machine.
pub(crate) const WIDTH: usize = 16;

/// e to the `x`, within 2 units in the last place, for any finite `x`.
///
/// Cephes' polynomial on the remainder of division by ln 2 (Moshier, `expf.c`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 × 2²³: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first short enough that n times it is exact
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = (shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23;
    y * f32::from_bits(exponent)
}

/// GELU and its derivative at `x`: x Φ(x), with Φ the normal distribution function to 1.5e-7
/// (Abramowitz and Stegun 7.1.26).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let e = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t
        + 0.254_829_6)
        * t;
    let phi = 0.5 * (1.0 + (1.0 - p * e).copysign(x));
    (x * phi, phi + x * e * 0.398_942_3)
}

/// The approximation to GELU that Hendrycks and Gimpel give beside it, and its derivative at `x`:
/// x/2 (1 + tanh u) = x / (1 + e⁻²ᵘ) with u = √(2/π) (x + 0.044715 x³).
#[inline(always)]
pub(crate) fn gelu_by_tanh(x: f32) -> (f32, f32) {
    // √(2/π) = (2/√π) / √2.
    const SCALE: f32 = FRAC_2_SQRT_PI / SQRT_2;
    let u = SCALE * (x + 0.044_715 * x * x * x);
    let share = 1.0 / (1.0 + exp(-2.0 * u));
    let slope_of_u = SCALE * (1.0 + 3.0 * 0.044_715 * x * x);
    (x * share, share + 2.0 * x * share * (1.0 - share) * slope_of_u)
}

/// Sum, in a fixed order.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<WIDTH>();
    let mut lanes = [0.0; WIDTH];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// Dot product, in a fixed order.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
    let mut lanes = [0.0; WIDTH];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..WIDTH {
            lanes[i] += a[i] * b[i];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Largest value; `f32::NEG_INFINITY` of nothing.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, rest) = values.as_chunks::<WIDTH>();
    let mut lanes = [f32::NEG_INFINITY; WIDTH];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| larger(a, b))
}

/// Which activations are dropped: a function of a seed and the place of the activation, so that
/// the backward pass and any number of threads see the same mask.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    seed: u32,
    threshold: u32,
    scale: f32,
}

impl Dropout {
    /// Drops a `share` of activations from 0 up to, not including, 1 and scales up the others.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share below 1 of 2^32 fits, and half a seed is seed enough"
    )]
    pub fn new(share: f32, seed: u64) -> Self {
        Self {
            seed: (seed ^ (seed >> 32)) as u32,
            threshold: (f64::from(share) * 4_294_967_296.0) as u32,
            scale: 1.0 / (1.0 - share),
        }
    }

    /// Drops nothing.
    pub fn none() -> Self {
        Self::new(0.0, 0)
    }

    /// The same share at another place of the model.
    #[must_use]
    pub fn at(self, site: u32) -> Self {
        Self { seed: self.seed.wrapping_add(site.wrapping_mul(0x9E37_79B9)), ..self }
    }

    /// Whether nothing is dropped.
    pub fn is_none(self) -> bool {
        self.threshold == 0
    }

    /// The factor of activation `index`: 0, or the scale.
    #[inline(always)]
    pub(crate) fn factor(self, index: u32) -> f32 {
        let kept = mix(self.seed.wrapping_add(mix(index))) >= self.threshold;
        if kept { self.scale } else { 0.0 }
    }
}

/// A permutation of 32-bit numbers without visible pattern (Ettinger's lowbias32).
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -8700_i16..8800 {
            let x = f32::from(i) / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn the_slope_of_gelu_is_its_difference_quotient() {
        for i in -50..50 {
            let (x, h) = (i as f32 / 10.0, 1e-2);
            for gelu in [gelu, gelu_by_tanh] {
                let quotient = (gelu(x + h).0 - gelu(x - h).0) / (2.0 * h);
                assert!((gelu(x).1 - quotient).abs() < 1e-4, "at {x}");
            }
            assert!((gelu(x).0 - gelu_by_tanh(x).0).abs() < 1e-3, "at {x}");
        }
    }

    #[test]
    fn dropout_drops_its_share_and_keeps_the_mean() {
        let dropout = Dropout::new(0.2, 42);
        let n = 1_000_000;
        let mean = (0..n).map(|i| f64::from(dropout.factor(i))).sum::<f64>() / f64::from(n);
        assert!((mean - 1.0).abs() < 3e-3, "{mean}");
    }
}
