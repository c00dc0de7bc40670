use std::collections::BTreeMap;

use tastemaker_audit::harms::{AnyHarm, Disparities, EchoChambers};
use tastemaker_audit::mitigations::{
    AnyMitigation, Calibrated, ExposureFair, Mmr, PopularityDebiased,
};
use tastemaker_audit::probes::agreement::{
    jaccard, kendall_tau, prag, rank_biased_overlap, serp, serp_as_coded,
};
use tastemaker_audit::probes::attribute_inference::{Guess, mean_auc};
use tastemaker_audit::probes::confidence::expected_calibration_error;
use tastemaker_audit::probes::membership::{auc, found_at};
use tastemaker_audit::{Counterfactual, Evidence, Scope, Subject};
use tastemaker_core::catalog::{Attribute, Catalog, Column};
use tastemaker_core::people::{UserAttribute, UserAttributes};
use tastemaker_core::splits::{Part, SplitSets, UserCuts};
use tastemaker_core::{Dataset, Interactions, ItemId, RankedList, RecQuery, SeedTree, UserId};
use tastemaker_eval::Candidates;

use crate::worlds::Found;

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Golden {
    guesses: Vec<Guessed>,
    mean_auc: f64,
    pairs: Vec<Pair>,
    scores: Vec<Scores>,
    claims: Vec<(f64, bool)>,
    ece: f64,
    k: usize,
    users: Vec<User>,
    categories: Vec<Vec<String>>,
    world: BTreeMap<String, f64>,
    intervals: BTreeMap<String, [f64; 2]>,
    counterfactual: Told,
    rerank: Vec<Rerank>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pair {
    a: Vec<u32>,
    b: Vec<u32>,
    tau: Option<f64>,
    overlap: f64,
    jaccard: f64,
    serp: f64,
    serp_code: f64,
    prag: f64,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Scores {
    members: Vec<f64>,
    non_members: Vec<f64>,
    auc: f64,
    found: [f64; 3],
}

#[derive(serde::Deserialize)]
struct Guessed {
    truth: usize,
    probabilities: Vec<f64>,
}

#[derive(serde::Deserialize)]
struct User {
    history: Vec<u32>,
    targets: Vec<u32>,
    items: Vec<u32>,
    group: String,
}

#[derive(serde::Deserialize)]
struct Told {
    neutral: Vec<Vec<u32>>,
    values: BTreeMap<String, Vec<Vec<u32>>>,
    liked: Vec<Vec<u32>>,
    expected: BTreeMap<String, f64>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Rerank {
    user: usize,
    items: Vec<u32>,
    scores: Vec<f32>,
    mmr: Vec<u32>,
    calibrated: Vec<u32>,
    popularity_debiased: Vec<u32>,
    exposure_fair: Vec<u32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/audit.json")).unwrap()
}

fn near(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{what}: {found} and not {expected}");
}

fn items(numbers: &[u32]) -> Vec<ItemId> {
    numbers.iter().copied().map(ItemId).collect()
}

fn list(numbers: &[u32]) -> RankedList {
    RankedList { items: items(numbers), ..RankedList::default() }
}

/// The users' histories are the training part; their targets validate.
fn world(golden: &Golden) -> (Dataset, SplitSets) {
    let length = |of: &[u32]| u32::try_from(of.len()).unwrap();
    let sequence = |user: &User| items(&[&user.history[..], &user.targets, &[0]].concat());
    let attribute =
        |name: &str, rows| Attribute { name: name.to_owned(), column: Column::Categories(rows) };
    let groups = golden.users.iter().map(|user| vec![user.group.clone()]).collect();
    let group = UserAttribute { attribute: attribute("group", groups), sensitive: true };
    let data = Dataset {
        name: "golden".to_owned(),
        users: (0..golden.users.len()).map(|user| format!("u{user}")).collect(),
        items: (0..golden.categories.len()).map(|item| format!("i{item}")).collect(),
        interactions: Interactions::from_sequences(golden.users.iter().map(sequence)),
        catalog: Catalog::new(vec![attribute("maker", golden.categories.clone())], None),
        people: UserAttributes::new(vec![group]),
        ..Dataset::default()
    };
    let cuts = |user: &User| {
        let train_end = length(&user.history);
        let end = train_end + length(&user.targets);
        UserCuts { train_end, validation: train_end..end, test: end..end + 1 }
    };
    let split = SplitSets::new("golden", &data, golden.users.iter().map(cuts).collect()).unwrap();
    (data, split)
}

fn subject<'a>(golden: &Golden, data: &'a Dataset, split: &'a SplitSets) -> Subject<'a> {
    let scope = Scope {
        data,
        split,
        part: Part::Validation,
        k: golden.k,
        candidates: Candidates::Full,
        allow_seen: false,
    };
    let lists = (0..).map(UserId).zip(golden.users.iter().map(|user| list(&user.items)));
    Subject::of_lists(scope, "golden", lists.collect(), &SeedTree::new(1)).unwrap()
}

#[test]
fn lists_are_as_alike_as_rbo_scipy_and_the_formulas_say() {
    for pair in golden().pairs {
        let (a, b) = (&pair.a[..], &pair.b[..]);
        near("overlap", rank_biased_overlap(a, b, 0.9), pair.overlap);
        match (kendall_tau(a, b), pair.tau) {
            (Some(found), Some(expected)) => near("tau", found, expected),
            (found, expected) => assert_eq!(found, expected),
        }
        near("jaccard", jaccard(a, b), pair.jaccard);
        near("serp", serp(a, b), pair.serp);
        near("serp-code", serp_as_coded(a, b), pair.serp_code);
        near("prag", prag(a, b), pair.prag);
    }
}

#[test]
fn members_are_found_as_scikit_learn_finds_them() {
    for Scores { members, non_members, auc: area, found } in golden().scores {
        near("auc", auc(&members, &non_members), area);
        for (most, expected) in [0.01, 0.001, 0.1].into_iter().zip(found) {
            near("found", found_at(&members, &non_members, most), expected);
        }
    }
}

#[test]
fn groups_are_told_apart_as_scikit_learn_tells_them() {
    let golden = golden();
    let guess = |guessed: &Guessed| Guess {
        truth: guessed.truth,
        probabilities: guessed.probabilities.clone(),
        majority: 1,
    };
    let guesses: Vec<Guess> = golden.guesses.iter().map(guess).collect();
    let all: Vec<usize> = (0..guesses.len()).collect();
    near("mean AUC", mean_auc(&guesses, 3, &all), golden.mean_auc);
}

#[test]
fn the_calibration_error_is_that_of_its_bins() {
    let golden = golden();
    near("ece", expected_calibration_error(golden.claims.iter().copied(), 15), golden.ece);
}

#[test]
fn users_and_providers_are_served_as_elliots_formulas_say() {
    let golden = golden();
    let (data, split) = world(&golden);
    let subject = subject(&golden, &data, &split);
    let harms = [
        AnyHarm::Disparities(Disparities {
            least: 1,
            provider: Some("maker".to_owned()),
            ..Disparities::default()
        }),
        AnyHarm::EchoChambers(EchoChambers::default()),
    ];
    let found: Vec<Found> =
        harms.iter().map(|harm| Found::of(harm, &subject, &SeedTree::new(2))).collect();
    for (name, expected) in &golden.world {
        let of = match &name[..] {
            "ndcg-gap" | "ndcg-shortfall" | "recall-gap" | "user-mad" => "group",
            "provider-shift" => "maker",
            _ => "",
        };
        let own = &found[usize::from(name == "list-entropy")];
        near(name, own.get(name, of).value, *expected);
    }
    assert_eq!(golden.world.len(), 14);
    for (name, expected) in &golden.intervals {
        for (found, expected) in found[0].get(name, "group").interval.unwrap().iter().zip(expected)
        {
            near(name, *found, *expected);
        }
    }
}

#[test]
fn told_values_change_lists_as_fairllms_formulas_say() {
    let golden = golden();
    let (data, split) = world(&golden);
    let told = golden.counterfactual.values.iter();
    let lists = |lists: &[Vec<u32>]| lists.iter().map(|list| items(list)).collect::<Vec<_>>();
    let given = Counterfactual {
        attribute: "value".to_owned(),
        neutral: lists(&golden.counterfactual.neutral),
        values: told.map(|(value, own)| (value.clone(), lists(own))).collect(),
        liked: lists(&golden.counterfactual.liked),
    };
    let mut subject = subject(&golden, &data, &split);
    subject.scope.k = 10;
    let evidence = Evidence { counterfactual: vec![given], ..Evidence::default() };
    let harm = AnyHarm::Disparities(Disparities::default());
    let found = Found::with(&harm, subject, evidence, &SeedTree::new(3));
    for (name, expected) in &golden.counterfactual.expected {
        near(name, found.get(name, "value").value, *expected);
    }
    assert_eq!(golden.counterfactual.expected.len(), 9);
}

#[test]
fn lists_are_put_in_the_order_that_the_formulas_say() {
    let golden = golden();
    let (data, split) = world(&golden);
    let ground = subject(&golden, &data, &split).ground;
    for case in &golden.rerank {
        let history = items(&golden.users[case.user].history);
        let query = RecQuery { user: None, history: &history, candidates: None };
        let longer = RankedList { scores: case.scores.clone(), ..list(&case.items) };
        let all = [
            (AnyMitigation::Mmr(Mmr { strength: 0.4, attribute: None }), &case.mmr),
            (
                AnyMitigation::Calibrated(Calibrated { strength: 0.5, attribute: None }),
                &case.calibrated,
            ),
            (
                AnyMitigation::PopularityDebiased(PopularityDebiased { strength: 0.7 }),
                &case.popularity_debiased,
            ),
            (
                AnyMitigation::ExposureFair(ExposureFair { strength: 0.5, attribute: None }),
                &case.exposure_fair,
            ),
        ];
        for (mitigation, expected) in all {
            let found = mitigation.as_dyn().reranker(&ground)(&longer, &query, golden.k);
            assert_eq!(found.items, items(expected), "{}", mitigation.name());
            assert!(found.scores.is_sorted_by(|a, b| a >= b));
        }
    }
}
