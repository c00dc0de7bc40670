//! What noisy steps on drawn users give away, by Rényi differential privacy.

use std::f64::consts::{LN_2, PI, SQRT_2};

use statrs::function::erf::erfc;
use statrs::function::factorial::ln_binomial;

/// The smallest ε for which `steps` steps are (ε, δ)-private, each of which takes every user with
/// probability `rate` and adds normal noise of deviation `noise` to a sum that a user changes by 1 at
/// most; `None` where there is no bound.
///
/// # Formula
/// min over orders α of T·R(α) + log((α−1)/α) − (log δ + log α)/(α−1), not below 0, with R the
/// divergence of a step ([`divergence`]) and T the steps; the orders are those of Opacus. Neighbours
/// are data sets with and without a user.
///
/// # References
/// Mironov, Talwar and Zhang 2019, *Rényi differential privacy of the sampled Gaussian mechanism*; the
/// conversion is that of Canonne, Kamath and Steinke 2020 (Proposition 12) and Balle et al. 2020
/// (Theorem 21); `opacus.accountants.analysis.rdp`.
pub(super) fn epsilon(noise: f64, rate: f64, steps: u64, delta: f64) -> Option<f64> {
    let orders = (1..100_u32).map(|tenth| 1.0 + f64::from(tenth) / 10.0);
    let orders = orders.chain((12..64_u32).map(f64::from));
    let of_order = |order: f64| {
        let spent = steps as f64 * divergence(noise, rate, order);
        spent - (delta.ln() + order.ln()) / (order - 1.0) + ((order - 1.0) / order).ln()
    };
    let bounds = orders.map(of_order).filter(|bound| bound.is_finite());
    bounds.min_by(f64::total_cmp).map(|bound| bound.max(0.0))
}

/// The Rényi divergence of this order of a step.
///
/// # Formula
/// log(A) / (α−1), with A = Σₖ C(α,k) (1−q)^(α−k) q^k e^((k²−k)/2σ²) for whole α, and for others the
/// two series of the paper's section 3.3; α/2σ² where q = 1.
fn divergence(noise: f64, rate: f64, order: f64) -> f64 {
    if noise <= 0.0 {
        return f64::INFINITY;
    }
    if rate >= 1.0 {
        return order / (2.0 * noise * noise);
    }
    let log_a = if order.fract() == 0.0 {
        of_whole(noise, rate, order)
    } else {
        of_fraction(noise, rate, order)
    };
    log_a / (order - 1.0)
}

/// log A of a whole order.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
fn of_whole(noise: f64, rate: f64, order: f64) -> f64 {
    let n = order as u64;
    let term = |k: u64| {
        let (left, taken) = ((n - k) as f64, k as f64);
        let chance = ln_binomial(n, k) + taken * rate.ln() + left * (1.0 - rate).ln();
        chance + (taken * taken - taken) / (2.0 * noise * noise)
    };
    (0..=n).map(term).fold(f64::NEG_INFINITY, log_sum)
}

/// log A of an order that is not whole: each side of the point z₀, at which a user's being there and
/// not being there are as likely, is a series.
fn of_fraction(noise: f64, rate: f64, order: f64) -> f64 {
    let (square, (yes, no)) = (noise * noise, (rate.ln(), (1.0 - rate).ln()));
    let bar = square * (1.0 / rate - 1.0).ln() + 0.5;
    let half = |x: f64| log_erfc(x / (SQRT_2 * noise)) - LN_2;
    let (mut below, mut above) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let (mut coefficient, mut i) = (1.0_f64, 0.0_f64);
    loop {
        let j = order - i;
        let chance = coefficient.abs().ln();
        let power = |k: f64| (k * k - k) / (2.0 * square);
        let first = chance + i * yes + j * no + power(i) + half(i - bar);
        let second = chance + j * yes + i * no + power(j) + half(bar - j);
        let add = if coefficient > 0.0 { log_sum } else { log_difference };
        (below, above) = (add(below, first), add(above, second));
        // As Opacus: what follows is smaller still.
        if first.max(second) < -30.0 {
            return log_sum(below, above);
        }
        coefficient *= j / (i + 1.0);
        i += 1.0;
    }
}

/// log(eᵃ + eᵇ).
fn log_sum(a: f64, b: f64) -> f64 {
    let (least, most) = (a.min(b), a.max(b));
    if least == f64::NEG_INFINITY { most } else { most + (least - most).exp().ln_1p() }
}

/// log(eᵃ − eᵇ).
fn log_difference(a: f64, b: f64) -> f64 {
    if b == f64::NEG_INFINITY { a } else { b + (a - b).exp_m1().ln() }
}

/// log erfc(x), also where erfc(x) is too small for a number.
fn log_erfc(x: f64) -> f64 {
    if x < 20.0 {
        return erfc(x).ln();
    }
    let square = 2.0 * x * x;
    let series = 1.0 - 1.0 / square + 3.0 / square.powi(2) - 15.0 / square.powi(3);
    -x * x - (x * PI.sqrt()).ln() + series.ln()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        noise: f64,
        rate: f64,
        steps: u64,
        delta: f64,
        epsilon: f64,
    }

    #[test]
    fn what_is_spent_is_what_opacus_says() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/golden/privacy.json")).unwrap();
        assert!(cases.len() > 50);
        for Case { noise, rate, steps, delta, epsilon: golden } in cases {
            let found = epsilon(noise, rate, steps, delta).unwrap();
            let what = format!("noise {noise}, rate {rate}, {steps} steps, δ {delta}");
            assert!((found - golden).abs() < 1e-7 * golden, "{what}: {found}, not {golden}");
        }
    }

    #[test]
    fn without_noise_there_is_no_bound_and_without_steps_nothing_is_spent() {
        assert_eq!(epsilon(0.0, 0.1, 10, 1e-5), None);
        assert_eq!(epsilon(1.0, 0.1, 0, 1e-2), Some(0.0));
        // More noise, rarer draws, fewer steps: less is spent.
        let spent = |noise, rate, steps| epsilon(noise, rate, steps, 1e-5).unwrap();
        assert!(spent(2.0, 0.1, 100) < spent(1.0, 0.1, 100));
        assert!(spent(1.0, 0.05, 100) < spent(1.0, 0.1, 100));
        assert!(spent(1.0, 0.1, 50) < spent(1.0, 0.1, 100));
        assert!(spent(1.0, 0.1, 1) < spent(1.0, 1.0, 1));
    }
}
