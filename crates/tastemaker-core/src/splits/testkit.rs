//! What the tests of all splits share.

use proptest::prelude::*;

use crate::dataset::Dataset;
use crate::ids::ItemId;
use crate::interactions::Interactions;
use crate::splits::{Part, SplitSets};

/// A data set of these sequences of item numbers.
pub(super) fn data(sequences: &[&[u32]]) -> Dataset {
    let items = |sequence: &&[u32]| sequence.iter().copied().map(ItemId).collect::<Vec<_>>();
    let n_items = sequences.iter().flat_map(|items| items.iter()).max().map_or(0, |&n| n + 1);
    Dataset {
        name: "test".into(),
        hash: format!("{sequences:?}"),
        users: (0..sequences.len()).map(|user| format!("u{user}")).collect(),
        items: (0..n_items).map(|item| format!("i{item}")).collect(),
        interactions: Interactions::from_sequences(sequences.iter().map(items)),
        ..Dataset::default()
    }
}

/// A data set whose users met items 0, 1, 2, … at these times.
pub(super) fn timed(times: &[&[f64]]) -> Dataset {
    let longest = times.iter().map(|times| times.len()).max().unwrap_or(0);
    let all: Vec<u32> = (0..u32::try_from(longest).unwrap()).collect();
    let sequences: Vec<&[u32]> = times.iter().map(|times| &all[..times.len()]).collect();
    let mut data = data(&sequences);
    data.interactions = Interactions::from_columns(
        data.interactions.offsets().to_vec(),
        data.interactions.all_items().to_vec(),
        Some(times.concat()),
        None,
    );
    data
}

/// Up to 12 users with up to 12 interactions at few different times, so that many are equal.
pub(super) fn any_data() -> impl Strategy<Value = Dataset> {
    let sequence = proptest::collection::vec(0u8..20, 0..12);
    proptest::collection::vec(sequence, 1..12).prop_map(|mut users| {
        for times in &mut users {
            times.sort_unstable();
        }
        let times: Vec<Vec<f64>> =
            users.iter().map(|times| times.iter().copied().map(f64::from).collect()).collect();
        timed(&times.iter().map(Vec::as_slice).collect::<Vec<_>>())
    })
}

/// Checks what every split promises: each interaction is in one part at most, parts stand in
/// order, histories end where targets begin, and the hash is the same for the same split.
pub(super) fn check_parts(data: &Dataset, sets: &SplitSets) {
    let mut in_parts = 0;
    for user in data.interactions.users() {
        let cuts = sets.cuts(user);
        let (validation, test) = (&cuts.validation, &cuts.test);
        assert!(cuts.train_end <= validation.start && validation.end <= test.start);
        assert!(test.end as usize <= data.interactions.sequence(user).len());
        in_parts += sets.train(data, user).len() + validation.len() + test.len();
    }
    for part in [Part::Validation, Part::Test] {
        for case in sets.iter_cases(data, part) {
            assert!(!case.history.is_empty() && !case.targets.is_empty());
            let sequence = data.interactions.sequence(case.user);
            let (start, end) = (case.history.len(), case.history.len() + case.targets.len());
            assert_eq!((case.history, case.targets), (&sequence[..start], &sequence[start..end]));
            assert!(sets.train(data, case.user).len() <= start);
        }
    }
    let left_out = sets.summary(data).left_out_interactions;
    assert_eq!(in_parts + left_out, data.interactions.len());
    let all = data.interactions.users().map(|user| sets.cuts(user).clone()).collect();
    assert_eq!(SplitSets::new(sets.name(), data, all).unwrap().hash(), sets.hash());
}
