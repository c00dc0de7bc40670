//! Steps, orders, cores, numbering.

use proptest::prelude::*;
use tastemaker_core::prepare::{PrepareOptions, Repeats, Ties};
use tastemaker_core::sources;

use crate::support::{sequences, table};

const TEXT: &str = "user,item,rating,timestamp\n\
                    u,10,5,30\nv,9,1,20\nu,9,4,10\nu,b,3,30\nu,10,2,40\nv,b,5,20\n";

fn load(text: &str, options: &PrepareOptions) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) =
        sources::load(&table(folder.path(), text), options).map_err(|error| error.to_string())?;
    Ok(sequences(&data))
}

fn default() -> PrepareOptions {
    PrepareOptions::default()
}

#[test]
fn times_order_and_the_source_decides_ties() {
    assert_eq!(load(TEXT, &default()).unwrap(), ["u: 9 10 b", "v: 9 b"]);
}

#[test]
fn ties_go_by_item_or_by_lot_where_that_is_said() {
    let by_item = PrepareOptions { ties: Ties::ItemId, ..default() };
    let text = "user,item,time\nu,b,1\nu,10,1\nu,9,1\n";
    assert_eq!(load(text, &by_item).unwrap(), ["u: 9 10 b"]);
    let many: Vec<String> = (0..40).map(|item| format!("u,{item},1")).collect();
    let text = format!("user,item,time\n{}", many.join("\n"));
    let by_lot = |seed| load(&text, &PrepareOptions { ties: Ties::Shuffled { seed }, ..default() });
    assert_eq!(by_lot(1), by_lot(1));
    assert_ne!(by_lot(1), by_lot(2));
    assert_ne!(by_lot(1), load(&text, &default()));
}

#[test]
fn repetitions_keep_the_first_the_last_or_all() {
    let with = |repeats| load(TEXT, &PrepareOptions { repeats, ..default() }).unwrap();
    assert_eq!(with(Repeats::First), ["u: 9 10 b", "v: 9 b"]);
    // The first row that is kept is v's, so v comes first.
    assert_eq!(with(Repeats::Last), ["v: 9 b", "u: 9 b 10"]);
    assert_eq!(with(Repeats::All), ["u: 9 10 b 10", "v: 9 b"]);
}

#[test]
fn values_below_the_least_are_left_out() {
    let options = PrepareOptions { min_value: Some(4.0), ..default() };
    assert_eq!(load(TEXT, &options).unwrap(), ["u: 9 10", "v: b"]);
}

#[test]
fn what_leaves_nothing_is_an_error_that_says_which_step_and_of_what() {
    for (options, expected) in [
        (
            default().with_core(3),
            "the k-core is user-core 3 and item-core 3, expected a lower one: \
             of 5 interactions of 2 users with 3 items it leaves none",
        ),
        (
            PrepareOptions { min_value: Some(9.0), ..default() },
            "min-value is 9, expected a lower one: \
             of 6 interactions of 2 users with 3 items it leaves none",
        ),
    ] {
        let error = load(TEXT, &options).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_manifest_counts_after_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let options = PrepareOptions { min_value: Some(2.0), user_core: 2, ..default() };
    let (data, manifest) = sources::load(&table(folder.path(), TEXT), &options).unwrap();
    let steps: Vec<_> =
        manifest.steps.iter().map(|step| (&*step.step, step.left.interactions)).collect();
    let expected = [("read", 6), ("min-value", 5), ("order", 5), ("repeats", 4), ("core", 3)];
    assert_eq!(steps, expected);
    assert_eq!((manifest.counts.users, &manifest.hash), (1, &data.hash));
    assert_eq!(manifest.inputs[0].bytes, TEXT.len() as u64);
    assert!(manifest.order.contains("at equal times the order in the source decides"));
    assert!(manifest.time.contains("seconds"));
}

#[test]
fn milliseconds_become_seconds_and_the_manifest_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let source = table(folder.path(), "user,item,time\nu,a,1588687728923\nu,b,1588687729000\n");
    let (data, manifest) = sources::load(&source, &default()).unwrap();
    assert_eq!(data.interactions.all_times().unwrap(), [1_588_687_728.923, 1_588_687_729.0]);
    assert!(manifest.time.contains("milliseconds"), "{}", manifest.time);
}

#[test]
fn the_hash_is_about_content_and_not_about_name_or_place() {
    let hash = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        sources::load(&table(folder.path(), text), &default()).unwrap().0.hash
    };
    assert_eq!(hash(TEXT), hash(TEXT));
    assert_ne!(hash(TEXT), hash(&TEXT.replace("v,9,1", "v,9,2")));
    assert_ne!(hash(TEXT), hash(&TEXT.replace("v,", "w,")));
}

/// What the k-core is, computed by its definition: leave out one at a time.
fn slow_core(mut pairs: Vec<(u8, u8)>, k: usize) -> Vec<(u8, u8)> {
    loop {
        let few = |count: usize| count > 0 && count < k;
        let bad = pairs.iter().position(|&(user, item)| {
            few(pairs.iter().filter(|pair| pair.0 == user).count())
                || few(pairs.iter().filter(|pair| pair.1 == item).count())
        });
        match bad {
            Some(bad) => pairs.remove(bad),
            None => return pairs,
        };
    }
}

proptest! {
    #[test]
    fn the_core_is_the_one_of_the_definition(
        pairs in proptest::collection::vec((0..8_u8, 0..8_u8), 1..60),
        k in 0..5_usize,
    ) {
        let mut once: Vec<(u8, u8)> = Vec::new();
        for pair in pairs {
            if !once.contains(&pair) {
                once.push(pair);
            }
        }
        let rows: Vec<String> = once.iter().map(|(user, item)| format!("{user},{item}")).collect();
        let found = load(&format!("user,item\n{}", rows.join("\n")), &default().with_core(k));
        let expected = slow_core(once, k);
        let n = found.map_or(0, |users| {
            users.iter().map(|user| user.split(' ').count() - 1).sum::<usize>()
        });
        prop_assert_eq!(n, expected.len());
    }

    #[test]
    fn sequences_ascend_in_time_and_keep_every_pair_once(
        rows in proptest::collection::vec((0..5_u8, 0..9_u8, 0..4_i8), 1..60),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let lines: Vec<String> =
            rows.iter().map(|(user, item, time)| format!("{user},{item},{time}")).collect();
        let source = table(folder.path(), &format!("user,item,time\n{}", lines.join("\n")));
        let (data, _) = sources::load(&source, &default()).unwrap();
        let mut pairs: Vec<_> = rows.iter().map(|row| (row.0, row.1)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        prop_assert_eq!(data.interactions.len(), pairs.len());
        for user in data.interactions.users() {
            prop_assert!(data.interactions.times(user).unwrap().is_sorted());
            prop_assert!(!data.interactions.sequence(user).is_empty());
        }
    }
}
