use tastemaker_audit::Evidence;
use tastemaker_audit::Horizon;
use tastemaker_audit::harms::{AnyHarm, EchoChambers};
use tastemaker_audit::mitigations::{AnyMitigation, Exploration};
use tastemaker_core::{Dataset, ItemId, RecQuery, Recommender, Result, UserId};

use crate::worlds::{By, Found, GENRES, ITEMS, SEEDS, USERS, World, genre, separate};

fn harm() -> AnyHarm {
    let intervention = Some(AnyMitigation::Exploration(Exploration { strength: 0.5, seed: 1 }));
    AnyHarm::EchoChambers(EchoChambers {
        attribute: Some("genres".to_owned()),
        rounds: 15,
        users: 100,
        intervention,
    })
}

/// How often a history has each genre.
fn tastes(history: &[ItemId]) -> [f64; GENRES as usize] {
    let mut tastes = [0.0; GENRES as usize];
    for item in history {
        tastes[genre(*item) as usize] += 1.0;
    }
    tastes
}

#[test]
fn more_of_the_same_is_told_from_some_of_everything() {
    for seed in SEEDS {
        let world = World::new(seed);
        let same = By(|query: &RecQuery<'_>, item: ItemId| {
            let tastes = tastes(query.history);
            let most = tastes.iter().copied().fold(0.0, f64::max);
            // The favourite genre, and the same items of it for all.
            f64::from(u8::from(tastes[genre(item) as usize] >= most)) * 1000.0 - f64::from(item.0)
        });
        let some = By(|query: &RecQuery<'_>, item: ItemId| {
            world.chance(&[query.user.map_or(0, |user| user.0), item.0])
        });
        let narrow = Found::of(&harm(), &world.subject(&same), &world.seeds);
        let wide = Found::of(&harm(), &world.subject(&some), &world.seeds);
        let of_lists = ["diversity", "list-entropy", "narrowing", "miscalibration"];
        for sign in of_lists {
            separate(wide.get(sign, "genres"), narrow.get(sign, "genres"));
        }
        for sign in ["exposure-gini", "likeness", "coverage"] {
            separate(wide.get(sign, ""), narrow.get(sign, ""));
        }
        // Who is shown some of everything is not shown narrower lists than it chose itself.
        assert!(wide.get("narrowing", "genres").interval.unwrap()[0] < 0.05);
    }
}

/// Learns for each user and genre how often it was met; the more, the higher its items, by far.
fn learnt(world: &World, data: &Dataset, steep: f64) -> Box<dyn Recommender> {
    let all: Vec<[f64; GENRES as usize]> =
        (0..USERS).map(|user| tastes(data.interactions.sequence(UserId(user)))).collect();
    let noise: Vec<f64> = (0..USERS * ITEMS).map(|n| world.chance(&[n])).collect();
    Box::new(By(move |query: &RecQuery<'_>, item: ItemId| {
        let user = query.user.map_or(0, |user| user.0);
        let taste = all[user as usize][genre(item) as usize];
        steep * taste + noise[(user * ITEMS + item.0) as usize]
    }))
}

#[test]
fn a_loop_that_narrows_is_told_from_one_that_does_not_and_exploring_widens_it() {
    for seed in SEEDS {
        let world = World::new(seed);
        let run = |steep: f64| {
            let first = learnt(&world, &world.data, steep);
            let refit = |data: &Dataset| -> Result<Box<dyn Recommender>> {
                Ok(learnt(&world, data, steep))
            };
            let subject = world.subject(&*first);
            let evidence = Evidence { refit: Some(&refit), ..Evidence::default() };
            Found::with(&harm(), subject, evidence, &world.seeds)
        };
        // Genres that are met more often come up ever more, or what is learnt changes nothing.
        let (narrows, stays) = (run(0.1), run(0.0));
        for sign in ["diversity", "entropy"] {
            let drift = format!("drift-{sign}");
            separate(stays.get(&drift, ""), narrows.get(&drift, ""));
            assert_eq!(narrows.get(&drift, "").horizon, Horizon::Long);
            // In the last round.
            let last = format!("loop-{sign}");
            separate(narrows.get(&last, "with exploration 0.5"), narrows.get(&last, ""));
        }
        let ends: Vec<_> =
            narrows.0.iter().filter(|i| i.name == "loop-entropy" && i.of.is_empty()).collect();
        let horizons: Vec<_> = ends.iter().map(|indicator| indicator.horizon).collect();
        assert_eq!(horizons, [Horizon::Immediate, Horizon::Long]);
        // What the rounds say follows from the seeds alone.
        assert_eq!(run(0.1).0, narrows.0);
    }
}

#[test]
fn a_loop_that_makes_all_lists_alike_is_told() {
    for seed in SEEDS {
        let world = World::new(seed);
        let own = |query: &RecQuery<'_>, item: ItemId| {
            world.chance(&[query.user.map_or(0, |user| user.0), item.0])
        };
        let first = By(own);
        let noise: Vec<f64> = (0..ITEMS).map(|n| world.chance(&[n])).collect();
        let alike = |_: &Dataset| -> Result<Box<dyn Recommender>> {
            let noise = noise.clone();
            Ok(Box::new(By(move |_: &RecQuery<'_>, item: ItemId| noise[item.index()])))
        };
        let planted = Evidence { refit: Some(&alike), ..Evidence::default() };
        let planted = Found::with(&harm(), world.subject(&first), planted, &world.seeds);
        let absent = Found::of(&harm(), &world.subject(&first), &world.seeds);
        separate(absent.get("drift-likeness", ""), planted.get("drift-likeness", ""));
        let told = &planted.get("drift-likeness", "").protocol;
        assert!(told.contains("15 rounds") && told.contains("learnt anew"), "{told}");
    }
}

#[test]
fn what_was_chosen_is_not_shown_again() {
    let world = World::new(1);
    let popularity = world.split.train_popularity(&world.data);
    let popular = By(|_: &RecQuery<'_>, item: ItemId| f64::from(popularity[item.index()]));
    let found = Found::of(&harm(), &world.subject(&popular), &world.seeds);
    let drift = found.get("drift-popularity", "");
    assert!(drift.interval.unwrap()[1] < -0.1, "{drift:?}");
    assert!(drift.protocol.contains("not learnt anew"), "{drift:?}");
}

#[test]
fn what_is_learnt_from_is_what_was_met_and_chosen_and_no_target() {
    let world = World::new(1);
    let first = learnt(&world, &world.data, 0.1);
    let lengths = std::cell::RefCell::new(Vec::new());
    let refit = |data: &Dataset| -> Result<Box<dyn Recommender>> {
        let own = |user: u32| data.interactions.sequence(UserId(user));
        lengths.borrow_mut().push((0..USERS).map(|user| own(user).len()).collect::<Vec<_>>());
        // All but the target of the split, in its order.
        for user in 0..USERS {
            let before = world.data.interactions.sequence(UserId(user));
            assert_eq!(own(user)[..13], before[..13]);
        }
        Ok(learnt(&world, data, 0.1))
    };
    let evidence = Evidence { refit: Some(&refit), ..Evidence::default() };
    let harm =
        AnyHarm::EchoChambers(EchoChambers { rounds: 3, users: 50, ..EchoChambers::default() });
    Found::with(&harm, world.subject(&*first), evidence, &world.seeds);
    let lengths = lengths.into_inner();
    // Twice two refits: as it is, and with the intervention.
    assert_eq!(lengths.len(), 4);
    for (lengths, chosen) in lengths.iter().zip([1, 2, 1, 2]) {
        assert_eq!(lengths.iter().filter(|n| **n == 13 + chosen).count(), 50);
        assert_eq!(lengths.iter().filter(|n| **n == 13).count(), 150);
    }
}
