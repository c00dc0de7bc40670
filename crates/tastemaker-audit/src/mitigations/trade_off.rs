//! What a mitigation takes from accuracy and what it takes from a harm.

use serde::{Deserialize, Serialize};
use tastemaker_core::{Error, Result, SeedTree};
use tastemaker_eval::metrics::Metric;
use tastemaker_eval::significance::interval;

use super::{AnyMitigation, Mitigated};
use crate::harms::AnyHarm;
use crate::notes::of_few;
use crate::{Indicator, Subject};

/// Which accuracy and which sign of which harm are weighed against each other.
pub struct TradeOff<'a> {
    /// What is to be kept.
    pub accuracy: &'a dyn Metric,
    /// What is to be lessened.
    pub harm: &'a AnyHarm,
    /// Its sign.
    pub sign: &'a str,
    /// Of what, where there are several; else empty.
    pub of: &'a str,
    /// Bootstrap samples an interval.
    pub resamples: usize,
}

/// A mitigation of a strength, and what was measured with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Point {
    /// The mitigation's name; `none` for the recommender as it is.
    pub mitigation: String,
    /// Its strength.
    pub strength: f64,
    /// The mean accuracy.
    pub accuracy: f64,
    /// Its 95 % interval over users.
    pub accuracy_interval: Option<[f64; 2]>,
    /// The sign, measured.
    pub harm: Indicator,
    /// Whether no other point is at least as good in both and better in one.
    pub pareto: bool,
}

impl TradeOff<'_> {
    /// Measures `subject` as it is, and with each of `mitigations` at each of `strengths`. All signs of the
    /// harm are measured each time: where the sign is of lists, a harm without rounds of a loop is enough.
    ///
    /// # Errors
    /// If lists were made elsewhere, so that no longer ones can be asked for, or if the sign cannot be
    /// measured.
    pub fn points(
        &self,
        subject: &Subject<'_>,
        mitigations: &[AnyMitigation],
        strengths: &[f64],
        seeds: &SeedTree,
    ) -> Result<Vec<Point>> {
        let stronger = at_strengths(mitigations, strengths)?;
        let mitigated = mitigated(subject, &stronger)?;
        let changed = mitigated.iter().map(|mitigated| subject.changed(mitigated));
        let changed: Vec<Subject<'_>> = changed.collect::<Result<_>>()?;
        self.over(subject, stronger.iter().zip(&changed), seeds)
    }

    /// The same of a subject that was mitigated before, so that several signs can be measured of the same
    /// lists.
    pub fn over<'s, 'a: 's>(
        &self,
        subject: &Subject<'_>,
        changed: impl Iterator<Item = (&'s AnyMitigation, &'s Subject<'a>)>,
        seeds: &SeedTree,
    ) -> Result<Vec<Point>> {
        let mut points = vec![self.point("none", 0.0, subject, seeds)?];
        for (mitigation, changed) in changed {
            let strength = mitigation.as_dyn().strength();
            points.push(self.point(mitigation.name(), strength, changed, seeds)?);
        }
        mark_pareto(&mut points);
        Ok(points)
    }

    fn point(
        &self,
        mitigation: &str,
        strength: f64,
        subject: &Subject<'_>,
        seeds: &SeedTree,
    ) -> Result<Point> {
        let values = subject.per_user(self.accuracy, &subject.with_targets());
        let n = values.len();
        let seed = seeds.child("accuracy");
        let mean = values.iter().sum::<f64>() / n as f64;
        let found = (n > 1).then(|| interval(&values, self.resamples, &seed));
        let (low, high) = self.accuracy.range();
        let interval = found.map(|found| of_few(mean, found, (n, 1), [low, high]));
        let mut notes = self.harm.as_dyn().notes(self.resamples, seeds);
        self.harm.as_dyn().probe(subject, &mut notes, seeds)?;
        let (measured, not) = notes.finish();
        let harm =
            measured.into_iter().find(|found| found.name == self.sign && found.of == self.of);
        let harm = harm.ok_or_else(|| {
            let why = not.iter().find(|not| not.name == self.sign).map_or_else(
                || "it is none of the harm's signs".to_owned(),
                |not| not.reason.clone(),
            );
            Error::setting(
                "the sign to lessen",
                self.sign,
                format!("one that can be measured: {why}"),
            )
        })?;
        Ok(Point {
            mitigation: mitigation.to_owned(),
            strength,
            accuracy: mean,
            accuracy_interval: interval,
            harm,
            pareto: false,
        })
    }
}

/// Each of `mitigations` at each of `strengths`.
pub fn at_strengths(
    mitigations: &[AnyMitigation],
    strengths: &[f64],
) -> Result<Vec<AnyMitigation>> {
    if let Some(strength) = strengths.iter().find(|strength| !(0.0..=1.0).contains(*strength)) {
        return Err(Error::setting("a strength", strength, "a number from 0 to 1"));
    }
    let of = |mitigation: &AnyMitigation| {
        strengths.iter().map(|&strength| mitigation.as_dyn().at(strength)).collect::<Vec<_>>()
    };
    Ok(mitigations.iter().flat_map(of).collect())
}

/// The recommender of `subject` with each of `mitigations`.
///
/// # Errors
/// If lists were made elsewhere, so that no longer ones can be asked for.
pub fn mitigated<'a>(
    subject: &'a Subject<'_>,
    mitigations: &'a [AnyMitigation],
) -> Result<Vec<Mitigated<'a>>> {
    let Some(recommender) = subject.recommender else {
        let expected = "a recommender, which can be asked for longer lists";
        return Err(Error::setting("what is mitigated", "lists", expected));
    };
    let with = |mitigation| Mitigated::new(recommender, mitigation, &subject.ground);
    Ok(mitigations.iter().map(with).collect())
}

fn mark_pareto(points: &mut [Point]) {
    // Larger is better in both.
    let worth = |point: &Point| [point.accuracy, point.harm.better.sign() * point.harm.value];
    let worths: Vec<[f64; 2]> = points.iter().map(worth).collect();
    for (point, [accuracy, harm]) in points.iter_mut().zip(&worths) {
        let beats = |other: &[f64; 2]| {
            other[0] >= *accuracy && other[1] >= *harm && (other[0] > *accuracy || other[1] > *harm)
        };
        point.pareto = !worths.iter().any(beats);
    }
}
