use std::sync::Arc;

use proptest::prelude::*;
use tastemaker_core::splits::{EvalCase, LeaveLastOut, Part, Split};
use tastemaker_core::{
    Dataset, Interactions, ItemId, RankOptions, RankedList, RecQuery, Recommender, SeedTree, UserId,
};
use tastemaker_eval::metrics::{
    AnyMetric, Coverage, Gini, HitRate, InvalidRate, Map, Mrr, Ndcg, Precision, Recall,
};
use tastemaker_eval::{CandidateLists, Candidates, Evaluation, Evaluator, Ground, Targets};

fn of_lists(k: usize) -> [AnyMetric; 6] {
    [
        AnyMetric::HitRate(HitRate { k }),
        AnyMetric::Recall(Recall { k }),
        AnyMetric::Precision(Precision { k }),
        AnyMetric::Ndcg(Ndcg { k }),
        AnyMetric::Mrr(Mrr { k }),
        AnyMetric::Map(Map { k }),
    ]
}

/// A list of some of 30 items and some targets.
fn list_and_targets() -> impl Strategy<Value = (Vec<ItemId>, Vec<ItemId>)> {
    let items = Just((0..30).map(ItemId).collect::<Vec<_>>()).prop_shuffle();
    (items.clone(), 0..30_usize, items, 1..10_usize).prop_map(|(mut list, n, mut targets, m)| {
        list.truncate(n);
        targets.truncate(m);
        (list, targets)
    })
}

proptest! {
    #[test]
    fn values_stay_in_their_range((list, targets) in list_and_targets(), k in 1..40_usize) {
        for metric in of_lists(k) {
            let (least, most) = metric.as_dyn().range();
            let value = metric.as_dyn().of_list(&list, &targets).unwrap();
            prop_assert!((least..=most + 1e-12).contains(&value), "{} {value}", metric.name());
        }
    }

    #[test]
    fn new_names_for_the_items_change_nothing((list, targets) in list_and_targets(), k in 1..40_usize) {
        let rename = |items: &[ItemId]| items.iter().map(|item| ItemId(item.0 * 7 % 31)).collect::<Vec<_>>();
        for metric in of_lists(k) {
            let metric = metric.as_dyn();
            prop_assert_eq!(
                metric.of_list(&list, &targets),
                metric.of_list(&rename(&list), &rename(&targets))
            );
        }
    }

    #[test]
    fn a_target_one_place_higher_is_never_worse((list, targets) in list_and_targets(), k in 1..40_usize) {
        let is_target = |item: &ItemId| targets.contains(item);
        for at in (1..list.len()).filter(|&at| is_target(&list[at]) && !is_target(&list[at - 1])) {
            let mut better = list.clone();
            better.swap(at - 1, at);
            for metric in of_lists(k) {
                let metric = metric.as_dyn();
                prop_assert!(metric.of_list(&better, &targets) >= metric.of_list(&list, &targets));
            }
        }
    }

    #[test]
    fn the_targets_first_are_the_best_there_is((_, targets) in list_and_targets(), k in 10..40_usize) {
        for metric in of_lists(k) {
            let value = metric.as_dyn().of_list(&targets, &targets).unwrap();
            let best = if metric.name() == "precision" { targets.len() as f64 / k as f64 } else { 1.0 };
            prop_assert!((value - best).abs() < 1e-12, "{} {value}", metric.name());
        }
    }
}

/// Gives every item the same score.
struct Indifferent;

impl Recommender for Indifferent {
    fn name(&self) -> &'static str {
        "indifferent"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        tastemaker_core::recommender::rank_by_scores(queries, options, |_, _| Ok(()))
    }
}

fn data() -> Dataset {
    let sequence = |user: u32| (0..5).map(|i| ItemId((user + i * 7) % 200)).collect::<Vec<_>>();
    Dataset {
        users: (0..3000).map(|user| user.to_string()).collect(),
        items: (0..200).map(|item| item.to_string()).collect(),
        interactions: Interactions::from_sequences((0..3000).map(sequence)),
        ..Dataset::default()
    }
}

#[test]
fn equal_scores_find_what_chance_finds_over_the_catalog_and_over_samples() {
    let (data, seeds) = (data(), SeedTree::new(4));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let evaluator = Evaluator::new(vec![AnyMetric::HitRate(HitRate { k: 10 })]).unwrap();
    let of = |evaluator: &Evaluator| {
        let evaluation =
            evaluator.evaluate(&Indifferent, &data, &split, Part::Test, &seeds).unwrap();
        let value = evaluation.summary.metrics[0].clone();
        (value.metric, value.mean)
    };
    // 4 of 200 items are seen, so 10 of 196 are a hit.
    let (label, full) = of(&evaluator);
    assert_eq!(label, "HR@10");
    assert!((full - 10.0 / 196.0).abs() < 0.015, "{full}");
    // The target and 19 others.
    let (label, sampled) = of(&evaluator.candidates(Candidates::Sampled { n: 19 }));
    assert_eq!(label, "HR@10 sampled-19");
    assert!((sampled - 0.5).abs() < 0.03, "{sampled}");
}

#[test]
fn targets_are_ranked_among_the_first_of_a_list_that_are_new() {
    let (data, seeds) = (data(), SeedTree::new(4));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.candidates");
    // Lists of a thousand users with what they have met and the target among others; one with nothing that
    // is new, one with a single such item, and one of somebody else.
    let first = ["nobody\t1 2\n", "3\t3 10\n", "5\t5 12 150\n"].map(str::to_owned);
    let line = |user: u32| {
        let items = (0..60).map(|i| (user + i * 3) % 200);
        let each_once: std::collections::BTreeSet<u32> = items.chain([(user + 28) % 200]).collect();
        let items: Vec<String> = each_once.iter().map(ToString::to_string).collect();
        format!("{user}\t{}\n", items.join(" "))
    };
    let lines: String = first.into_iter().chain((1000..2000).map(line)).collect();
    fs_err::write(&path, lines).unwrap();
    let lists = Arc::new(CandidateLists::read(&path, &data).unwrap());
    let candidates = Candidates::Listed { n: 19, lists: Arc::clone(&lists) };
    for case in split.cases(&data, Part::Test).iter().filter(|case| case.user.0 >= 1000).take(1000)
    {
        let among = candidates.of(case, 200, false, &seeds).unwrap();
        assert_eq!(among.len(), 20);
        assert!(among.contains(&case.targets[0]));
        assert!(!among.iter().any(|item| case.history.contains(item)));
        assert_eq!(among, candidates.of(case, 200, false, &seeds).unwrap());
    }
    let evaluator = Evaluator::new(vec![AnyMetric::HitRate(HitRate { k: 10 })]).unwrap();
    let evaluator = evaluator.candidates(candidates);
    let found = evaluator.evaluate(&Indifferent, &data, &split, Part::Test, &seeds).unwrap();
    let value = &found.summary.metrics[0];
    assert_eq!((&value.metric[..], value.n_users), ("HR@10 listed-19", 1001));
    assert!((value.mean - 0.5).abs() < 0.05, "{value:?}");
    let said = &found.summary.protocol;
    assert!(said.contains("first 19 of the user's candidates in x.candidates ("), "{said}");
    assert!(said.contains("but for lists of 1 users who are not in the data"), "{said}");
    assert!(
        said.ends_with("1001 of 3000 users: those with candidates, 1 of them with fewer than 19"),
        "{said}"
    );
}

#[test]
fn a_draw_of_users_is_the_same_for_everyone_and_says_so() {
    let (data, seeds) = (data(), SeedTree::new(4));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let evaluator = Evaluator::new(vec![AnyMetric::HitRate(HitRate { k: 10 })]).unwrap();
    let of = |users: usize, seeds: &SeedTree| {
        let evaluator = evaluator.clone().users(users);
        evaluator.evaluate(&Indifferent, &data, &split, Part::Test, seeds).unwrap()
    };
    let all = of(0, &seeds);
    let drawn = of(20, &seeds);
    assert_eq!((drawn.users.len(), drawn.summary.metrics[0].n_users), (20, 20));
    assert!(drawn.users.is_sorted() && drawn.users.iter().all(|user| all.users.contains(user)));
    assert_eq!(of(20, &seeds), drawn);
    assert_ne!(of(20, &SeedTree::new(5)).users, drawn.users);
    let said = format!(", 20 of {} users drawn at random", all.users.len());
    assert!(drawn.summary.protocol.ends_with(&said), "{}", drawn.summary.protocol);
    // More than there are: all of them.
    assert_eq!(of(1_000_000, &seeds), all);
}

/// Answers with what it is told, so that it is right where the history says what comes.
struct Echo(std::sync::Mutex<Vec<Vec<ItemId>>>);

impl Recommender for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> tastemaker_core::Result<Vec<RankedList>> {
        self.0.lock().expect("no panic").extend(queries.iter().map(|query| query.history.to_vec()));
        tastemaker_core::recommender::rank_by_scores(queries, options, |_, _| Ok(()))
    }
}

#[test]
fn noise_replaces_its_share_of_each_history_and_never_by_a_target() {
    let (data, seeds) = (data(), SeedTree::new(4));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let evaluator = Evaluator::new(vec![AnyMetric::HitRate(HitRate { k: 10 })]).unwrap();
    let told = |noise: f64| {
        let echo = Echo(std::sync::Mutex::default());
        let evaluator = evaluator.clone().noise(noise);
        let evaluation = evaluator.evaluate(&echo, &data, &split, Part::Test, &seeds).unwrap();
        (echo.0.into_inner().unwrap(), evaluation.summary.protocol)
    };
    let cases = split.cases(&data, Part::Test);
    let (right, protocol) = told(0.0);
    assert!(right.iter().zip(&cases).all(|(told, case)| told == case.history));
    assert!(!protocol.contains("replaced"));
    let (noisy, protocol) = told(0.25);
    let changed = |(told, case): (&Vec<ItemId>, &tastemaker_core::splits::EvalCase<'_>)| {
        assert!(told.iter().all(|item| !case.targets.contains(item)));
        told.iter().zip(case.history).filter(|(told, right)| told != right).count()
    };
    let changed: usize = noisy.iter().zip(&cases).map(changed).sum();
    let share = changed as f64 / (4 * cases.len()) as f64;
    // One draw in 199 is the item itself.
    assert!((share - 0.25).abs() < 0.015, "{share}");
    assert!(protocol.ends_with(", 25 % of each history replaced at random"), "{protocol}");
    assert_eq!(told(0.25), (noisy, protocol));
}

#[test]
fn targets_that_nobody_met_in_training_can_be_asked_for_alone() {
    // Item 4 comes last only, item 5 nowhere before the last two.
    let sequences = [vec![0, 1, 2, 4], vec![1, 2, 5, 0], vec![2, 0, 1, 5]];
    let sequences = sequences.map(|items| items.into_iter().map(ItemId).collect::<Vec<_>>());
    let data = Dataset {
        users: (0..3).map(|user| user.to_string()).collect(),
        items: (0..6).map(|item| item.to_string()).collect(),
        interactions: Interactions::from_sequences(sequences),
        ..Dataset::default()
    };
    let seeds = SeedTree::new(4);
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let evaluator = Evaluator::new(vec![AnyMetric::HitRate(HitRate { k: 10 })]).unwrap();
    let of = |targets, part| {
        let evaluator = evaluator.clone().targets(targets);
        let found = evaluator.evaluate(&Indifferent, &data, &split, part, &seeds).unwrap();
        (found.users.iter().map(|user| user.0).collect::<Vec<_>>(), found.summary.protocol)
    };
    assert_eq!(of(Targets::All, Part::Test).0, [0, 1, 2]);
    assert_eq!(of(Targets::Unmet, Part::Test).0, [0, 2]);
    let (met, protocol) = of(Targets::Met, Part::Test);
    assert_eq!(met, [1]);
    assert!(protocol.ends_with(", 1 of 3 users: those whose targets were met in training"));
    assert_eq!(of(Targets::Unmet, Part::Validation).0, [1]);
    let rest = Dataset {
        interactions: Interactions::from_sequences([[0, 1, 0, 1].map(ItemId)]),
        users: ["0"].map(str::to_owned).into_iter().collect(),
        ..data.clone()
    };
    let split = LeaveLastOut {}.split(&rest, &seeds).unwrap();
    let evaluator = evaluator.targets(Targets::Unmet);
    let none = evaluator.evaluate(&Indifferent, &rest, &split, Part::Test, &seeds).unwrap_err();
    assert!(none.to_string().contains("all of its targets were met in training"), "{none}");
}

/// What is measured of lists, each of which should hold the same targets, over so many items.
fn of_given(
    evaluator: &Evaluator,
    lists: &[RankedList],
    targets: &[ItemId],
    n_items: usize,
) -> Evaluation {
    let case = |user| EvalCase { user: UserId(user), history: &[], targets };
    let cases: Vec<EvalCase<'_>> = (0..).map(case).take(lists.len()).collect();
    let list = |place: usize, list: &mut RankedList| list.clone_from(&lists[place]);
    let ground = Ground::of_lists(n_items, true);
    evaluator.evaluate_lists(&cases, list, &ground, String::new()).expect("metrics of lists")
}

#[test]
fn what_does_not_exist_counts_among_what_is_named() {
    let evaluator = Evaluator::new(vec![AnyMetric::InvalidRate(InvalidRate {})]).unwrap();
    let list = |items: &[u32], invalid| RankedList {
        items: items.iter().copied().map(ItemId).collect(),
        scores: vec![0.0; items.len()],
        named: items.len() + invalid,
        invalid,
    };
    let lists = [list(&[0, 1, 2], 1), list(&[], 0), list(&[], 2), list(&[4], 0)];
    let found = of_given(&evaluator, &lists, &[ItemId(0)], 10);
    assert_eq!(found.per_user[0].values, [0.25, 0.0, 1.0, 0.0]);
    let value = &found.summary.metrics[0];
    assert_eq!((value.metric.as_str(), value.mean), ("invalid-rate", 0.3125));
    assert_eq!(
        "invalid-rate".parse::<AnyMetric>().unwrap(),
        AnyMetric::InvalidRate(InvalidRate {})
    );
}

#[test]
fn coverage_counts_each_item_once() {
    let evaluator = Evaluator::new(vec![AnyMetric::Coverage(Coverage { k: 2 })]).unwrap();
    let list = |items: &[u32]| RankedList {
        items: items.iter().copied().map(ItemId).collect(),
        scores: vec![0.0; items.len()],
        named: 0,
        invalid: 0,
    };
    let lists = [list(&[0, 1, 2]), list(&[1, 0]), list(&[3])];
    let evaluation = of_given(&evaluator, &lists, &[ItemId(9)], 8);
    assert!((evaluation.summary.metrics[0].mean - 3.0 / 8.0).abs() < 1e-12);
    assert_eq!(evaluation.summary.metrics[0].standard_error, None);
}

#[test]
fn values_are_the_same_bytes_with_any_number_of_threads() {
    let [a, b, c, d, e, f] = of_lists(5);
    let gini = AnyMetric::Gini(Gini { k: 3 });
    let metrics = vec![a, b, gini, c, d, e, f, AnyMetric::Coverage(Coverage { k: 5 })];
    let evaluator = Evaluator::new(metrics).unwrap();
    let list = |user: u32| RankedList {
        items: (0..7).map(|place| ItemId((user * 13 + place * place) % 50)).collect(),
        scores: vec![0.0; 7],
        named: 0,
        invalid: 0,
    };
    // More than two blocks of users.
    let lists: Vec<RankedList> = (0..3000).map(list).collect();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| of_given(&evaluator, &lists, &[ItemId(1), ItemId(40)], 50))
    };
    let one = with(1);
    assert_eq!(with(3), one);
    // Each by itself, in its place.
    for (place, value) in one.per_user[0].values.iter().enumerate() {
        let hit = lists[place].items[..5].iter().any(|item| [1, 40].contains(&item.0));
        assert!((value - f64::from(u8::from(hit))).abs() < 1e-12, "user {place}");
    }
    assert!((one.summary.metrics[7].mean - 1.0).abs() < 1e-12);
}

#[test]
fn lists_from_elsewhere_are_not_measured_by_what_is_not_known() {
    let of = |metric: &str, ground: &Ground| {
        ground.lacks(&metric.parse::<AnyMetric>().unwrap()).unwrap_or_default()
    };
    let (some, all) = (Ground::of_lists(3, false), Ground::of_lists(3, true));
    for metric in ["coverage@2", "gini@2", "auc", "gauc"] {
        assert_eq!(of(metric, &some), "how many items the catalog has is not known");
        assert_eq!(of(metric, &all), "");
    }
    assert_eq!(of("novelty@2", &all), "how often items were met before is not known");
    assert_eq!(of("diversity@2", &all), "no categories of items are known");
    for metric in ["ndcg@2", "r-precision", "entropy@2"] {
        assert_eq!(of(metric, &some), "", "{metric}");
    }
}

#[test]
fn metrics_that_mean_nothing_are_refused() {
    let of = |metrics| Evaluator::new(metrics).unwrap_err().to_string();
    assert_eq!(of(vec![]), "metrics is empty, expected one or more, such as ndcg at 10");
    assert_eq!(
        of(vec![AnyMetric::Mrr(Mrr { k: 0 })]),
        "the cut-off of MRR@0 is 0, expected 1 or more"
    );
    let unknown = "ndgc@10".parse::<AnyMetric>().unwrap_err().to_string();
    assert!(unknown.ends_with("did you mean \"ndcg\"?"), "{unknown}");
}

#[test]
fn a_list_without_a_target_is_worth_zero_and_not_minus_zero() {
    for metric in of_lists(5) {
        for list in [&[ItemId(1), ItemId(2)][..], &[]] {
            let value = metric.as_dyn().of_list(list, &[ItemId(7)]).unwrap();
            assert!(value == 0.0 && value.is_sign_positive(), "{}: {value:?}", metric.name());
        }
    }
}
