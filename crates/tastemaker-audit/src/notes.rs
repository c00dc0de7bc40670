//! What a harm's probe writes down.

use tastemaker_core::SeedTree;
use tastemaker_core::suggest::hint;
use tastemaker_eval::significance::{around, bootstrap, interval, unseen, widening};

use crate::{Exposed, Horizon, Indicator, NotMeasured, Sign};

/// Below so many, what they show is told to be uncertain.
pub(crate) const FEW: usize = 30;

/// What a harm's probe measured, and what it could not.
///
/// Intervals are of 95 %, from bootstrap samples of users, or of what else was drawn: percentiles for
/// means, and the value ± 1.96 standard deviations for other statistics, within the sign's range. They are
/// wider the fewer were drawn ([`widening`]), and where all are alike as wide as those who were not drawn may
/// make them ([`unseen`]). What is given to [`Notes::defined`] and [`Notes::value`] stands as it is.
#[derive(Clone, Debug)]
pub struct Notes {
    signs: &'static [Sign],
    resamples: usize,
    seeds: SeedTree,
    measured: Vec<Indicator>,
    not_measured: Vec<NotMeasured>,
}

impl Notes {
    /// Nothing yet of `signs`; as many bootstrap samples an interval as `resamples` says.
    pub fn new(signs: &'static [Sign], resamples: usize, seeds: &SeedTree) -> Self {
        let seeds = seeds.child("bootstrap");
        Self { signs, resamples, seeds, measured: vec![], not_measured: vec![] }
    }

    /// The mean of `values`, one a user, as the sign `name`, of `of`. Not measured without any value.
    pub fn mean(&mut self, name: &str, of: &str, values: &[f64]) -> Option<&mut Indicator> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let seeds = self.seeds.child(name).child(of);
        let found = (n > 1).then(|| interval(values, self.resamples, &seeds));
        let interval =
            found.map_or(self.all(name), |found| of_few(mean, found, (n, 1), self.all(name)));
        self.defined(name, of, mean, Some(interval), n)
    }

    /// What `statistic` is of all of `n` units, as the sign `name`, of `of`; the interval is wide enough
    /// for as many `comparisons` as it was chosen from. Not measured where it is no number.
    pub fn statistic(
        &mut self,
        name: &str,
        of: &str,
        n: usize,
        comparisons: usize,
        mut statistic: impl FnMut(&[usize]) -> f64,
    ) -> Option<&mut Indicator> {
        let all: Vec<usize> = (0..n).collect();
        let value = statistic(&all);
        let mut interval = Some(self.all(name));
        if n > 1 && value.is_finite() {
            let seeds = self.seeds.child(name).child(of);
            let draws = bootstrap(n, self.resamples, &seeds, statistic);
            if draws.len() > 1 {
                let found = around(value, &draws, comparisons);
                interval = Some(of_few(value, found, (n, comparisons), self.all(name)));
            }
        }
        self.defined(name, of, value, interval, n)
    }

    /// A value that was taken otherwise, with its interval, which is cut to the sign's range. Not measured
    /// where the value is no number.
    pub fn defined(
        &mut self,
        name: &str,
        of: &str,
        value: f64,
        interval: Option<[f64; 2]>,
        n: usize,
    ) -> Option<&mut Indicator> {
        if value.is_finite() {
            let (low, high) = self.sign(name).range;
            let interval = interval.map(|ends| ends.map(|end| end.clamp(low, high)));
            return Some(self.value(name, of, value, interval, n));
        }
        self.cannot(name, of, "of these lists it is not defined");
        None
    }

    /// A value that was taken otherwise.
    pub fn value(
        &mut self,
        name: &str,
        of: &str,
        value: f64,
        interval: Option<[f64; 2]>,
        n: usize,
    ) -> &mut Indicator {
        let sign = self.sign(name);
        self.measured.push(Indicator {
            name: name.to_owned(),
            of: of.to_owned(),
            value,
            interval,
            better: sign.better,
            threshold: None,
            touches: sign.touches.to_vec(),
            exposed: Exposed::everybody(),
            n,
            protocol: sign.summary.to_owned(),
            horizon: Horizon::Immediate,
            hypothetical: false,
            severity: None,
            suspected: None,
            because: vec![],
        });
        self.measured.last_mut().expect("one was just pushed")
    }

    /// The sign `name`, of `of`, cannot be measured.
    pub fn cannot(&mut self, name: &str, of: &str, reason: impl Into<String>) {
        let name = self.sign(name).name.to_owned();
        self.not_measured.push(NotMeasured { name, of: of.to_owned(), reason: reason.into() });
    }

    /// None of the signs `names` can be measured.
    pub fn cannot_all(&mut self, names: &[&str], of: &str, reason: &str) {
        for name in names {
            self.cannot(name, of, reason);
        }
    }

    /// From the smallest to the largest value that a sign can have.
    fn all(&self, name: &str) -> [f64; 2] {
        let (low, high) = self.sign(name).range;
        [low, high]
    }

    fn sign(&self, name: &str) -> &'static Sign {
        let known = || self.signs.iter().map(|sign| sign.name);
        self.signs
            .iter()
            .find(|sign| sign.name == name)
            .unwrap_or_else(|| panic!("{name} is none of the harm's signs{}", hint(name, known())))
    }

    /// What was measured and what could not be; signs of which nothing was said are among the latter.
    pub fn finish(mut self) -> (Vec<Indicator>, Vec<NotMeasured>) {
        for sign in self.signs {
            let measured = self.measured.iter().any(|indicator| indicator.name == sign.name);
            if !measured && !self.not_measured.iter().any(|not| not.name == sign.name) {
                self.cannot(sign.name, "", "nothing that it could be taken of was there");
            }
        }
        (self.measured, self.not_measured)
    }
}

/// The interval of `value` where bootstrap samples of `n` give `found`, chosen from some comparisons, and it lies
/// between `ends`.
pub(crate) fn of_few(
    value: f64,
    found: [f64; 2],
    (n, comparisons): (usize, usize),
    ends: [f64; 2],
) -> [f64; 2] {
    // But for rounding.
    let alike = found[1] - found[0] <= 1e-9 * value.abs();
    let widened = |side: usize| {
        if alike {
            return match ends[side] {
                end if end.is_finite() => value + (end - value) * unseen(n),
                // Of what has no end everything is possible of few; where many are alike, a tenth may differ.
                end if n < FEW => end,
                _ => value,
            };
        }
        value + (found[side] - value) * widening(n, comparisons)
    };
    [widened(0).max(ends[0]), widened(1).min(ends[1])]
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    const SIGNS: &[Sign] = &[
        Sign::lower("half", (0.0, 1.0), &[], "numbers from 0 to 1"),
        Sign::higher("open", (-1.0, f64::INFINITY), &[], "numbers from -1 on"),
    ];

    /// How often the interval of the mean of `n` numbers that `draw` gives holds `mean`.
    fn coverage(n: usize, mean: f64, draw: fn(f64) -> f64) -> f64 {
        let holds = |seed: u64| {
            let seeds = SeedTree::new(seed);
            let mut rng = seeds.child("values").rng();
            let values: Vec<f64> = (0..n).map(|_| draw(rng.random())).collect();
            let mut notes = Notes::new(SIGNS, 200, &seeds);
            let [low, high] = notes.mean("half", "", &values).unwrap().interval.unwrap();
            u32::from(low <= mean && mean <= high)
        };
        f64::from((0..1000).map(holds).sum::<u32>()) / 1000.0
    }

    #[test]
    fn intervals_of_few_hold_what_they_should() {
        for n in [2, 3, 5, 12, 50] {
            let uniform = coverage(n, 0.5, |u| u);
            let hits = coverage(n, 0.3, |u| f64::from(u8::from(u < 0.3)));
            // Samples of two numbers reach no further than they do.
            let least = if n < 5 { 0.87 } else { 0.91 };
            assert!(uniform > least && hits > least, "of {n}: {uniform}, {hits}");
        }
        // All are alike: who was not drawn may differ.
        let mut notes = Notes::new(SIGNS, 200, &SeedTree::new(1));
        let found = notes.mean("half", "", &[1.0; 20]).unwrap().interval.unwrap();
        assert!((found[0] - 0.05_f64.powf(0.05)).abs() < 1e-12 && found[1] >= 1.0, "{found:?}");
        // Where there is no end, everything is possible of few.
        let mut open = |n| notes.mean("open", "", &vec![-1.0; n]).unwrap().clone();
        assert_eq!(open(2).interval, Some([-1.0, f64::INFINITY]));
        assert_eq!(open(FEW).interval, Some([-1.0, -1.0]));
        let written = serde_json::to_string(&open(2)).unwrap();
        assert_eq!(serde_json::from_str::<Indicator>(&written).unwrap(), open(2));
    }
}
