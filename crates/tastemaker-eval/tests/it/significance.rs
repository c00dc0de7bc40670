use tastemaker_core::SeedTree;
use tastemaker_eval::significance::{
    Comparison, around, benjamini_hochberg, bootstrap, holm, interval, mean_of, unseen, widening,
};

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Golden {
    cases: Vec<Case>,
    p: Vec<f64>,
    holm: Vec<f64>,
    benjamini_hochberg: Vec<f64>,
    widening: Vec<(usize, usize, f64)>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Case {
    a: Vec<f64>,
    b: Vec<f64>,
    t: f64,
    wilcoxon: f64,
    randomisation: f64,
    interval: [f64; 2],
    cohens_d: f64,
}

fn near(found: f64, expected: f64, by: f64) {
    assert!((found - expected).abs() <= by, "{found} and not {expected}");
}

#[test]
fn comparisons_are_those_of_scipy() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/significance.json")).unwrap();
    for case in &golden.cases {
        let found = Comparison::new(&case.a, &case.b, 50_000, &SeedTree::new(1)).unwrap();
        near(found.t, case.t, 1e-9);
        near(found.wilcoxon, case.wilcoxon, 1e-9);
        near(found.cohens_d, case.cohens_d, 1e-9);
        // Four standard errors of the share that 50,000 draws find.
        let p = case.randomisation;
        near(found.randomisation, p, 2e-5 + 4.0 * (2.0 * p * (1.0 - p) / 5e4).sqrt());
        let width = case.interval[1] - case.interval[0];
        for (found, expected) in found.interval.iter().zip(case.interval) {
            near(*found, expected, 0.02 * width);
        }
        let again = Comparison::new(&case.a, &case.b, 50_000, &SeedTree::new(1)).unwrap();
        assert_eq!(found, again);
        // The other way round it is the other way round.
        let back = Comparison::new(&case.b, &case.a, 100, &SeedTree::new(1)).unwrap();
        near(back.difference, -found.difference, 1e-12);
        near(back.dominance, -found.dominance, 1e-12);
        near(back.wilcoxon, found.wilcoxon, 1e-12);
    }
    for (found, expected) in holm(&golden.p).iter().zip(&golden.holm) {
        near(*found, *expected, 1e-12);
    }
    let found = benjamini_hochberg(&golden.p);
    for (found, expected) in found.iter().zip(&golden.benjamini_hochberg) {
        near(*found, *expected, 1e-12);
    }
}

#[test]
fn of_few_users_intervals_are_wider() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/significance.json")).unwrap();
    assert!(golden.widening.len() > 4);
    for (n, comparisons, expected) in golden.widening {
        // statrs stops its search for a quantile there.
        near(widening(n, comparisons), expected, 1e-5 * expected);
    }
    assert!(widening(1, 1).is_infinite());
    assert!(widening(10_000_000, 1) >= 1.0);
    // Where none of n is otherwise, n are all alike with probability 0.05 if this share is not.
    for n in [1, 3, 50, 1000] {
        near((1.0 - unseen(n)).powf(n as f64), 0.05, 1e-9);
    }
}

#[test]
fn where_nobody_differs_nothing_is_found() {
    let same = [0.0, 1.0, 0.5];
    let found = Comparison::new(&same, &same, 1000, &SeedTree::new(1)).unwrap();
    assert_eq!((found.t, found.wilcoxon, found.randomisation), (1.0, 1.0, 1.0));
    assert_eq!((found.difference, found.interval, found.cohens_d), (0.0, [0.0; 2], 0.0));
    assert!(Comparison::new(&[1.0], &[0.0], 10, &SeedTree::new(1)).is_none());
    assert_eq!(holm(&[]), Vec::<f64>::new());
}

#[test]
fn an_interval_around_a_value_is_as_wide_as_draws_spread_and_wider_for_more_comparisons() {
    let values: Vec<f64> = (0..200).map(|n| f64::from(n * 7919 % 200)).collect();
    let mean = |sample: &[usize]| mean_of(sample, &values);
    let draws = bootstrap(values.len(), 20_000, &SeedTree::new(1), mean);
    assert!(draws.is_sorted());
    // Of a mean it is what percentiles say.
    let centre = 99.5;
    let [low, high] = around(centre, &draws, 1);
    let percentiles = interval(&values, 20_000, &SeedTree::new(1));
    near(low, percentiles[0], 0.02 * (high - low));
    near(high, percentiles[1], 0.02 * (high - low));
    // The quantiles 0.975 and 0.9975 of the normal distribution.
    let wider = around(centre, &draws, 10);
    near((wider[1] - centre) / (high - centre), 2.807_034 / 1.959_964, 1e-5);
    assert!(bootstrap(3, 50, &SeedTree::new(1), |_| f64::NAN).is_empty());
}
