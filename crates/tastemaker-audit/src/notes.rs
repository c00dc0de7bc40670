//! What a harm's probe writes down.

use tastemaker_core::SeedTree;
use tastemaker_core::suggest::hint;
use tastemaker_eval::significance::{around, bootstrap, interval};

use crate::{Exposed, Horizon, Indicator, NotMeasured, Sign};

/// What a harm's probe measured, and what it could not.
///
/// Intervals are of 95 %, from bootstrap samples of users, or of what else was drawn: percentiles for
/// means, and the value ± 1.96 standard deviations for other statistics, within the sign's range.
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
        // Of one alone everything is possible.
        let interval =
            if n > 1 { interval(values, self.resamples, &seeds) } else { self.all(name) };
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
                interval = Some(around(value, &draws, comparisons));
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
