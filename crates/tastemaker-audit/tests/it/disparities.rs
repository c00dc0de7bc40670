use tastemaker_audit::harms::{AnyHarm, Disparities};
use tastemaker_audit::{Counterfactual, Evidence};
use tastemaker_core::{ItemId, RankedList, RecQuery, UserId};

use crate::worlds::{By, Found, ITEMS, SEEDS, World, gender, separate};

fn harm() -> AnyHarm {
    AnyHarm::Disparities(Disparities { provider: Some("maker".into()), ..Disparities::default() })
}

fn user(query: &RecQuery<'_>) -> UserId {
    query.user.unwrap_or(UserId(0))
}

#[test]
fn a_group_that_is_served_worse_is_told_from_groups_that_are_served_alike() {
    for seed in SEEDS {
        let world = World::new(seed);
        let finds = |shares: [f64; 2]| {
            let world = &world;
            By(move |query: &RecQuery<'_>, item: ItemId| {
                let user = user(query);
                let lucky = world.chance(&[user.0]) < shares[gender(user) as usize];
                let hit = lucky && item == world.target(user);
                f64::from(u8::from(hit)) * 2.0 + world.chance(&[user.0, item.0])
            })
        };
        let (unfair, fair) = (finds([0.9, 0.3]), finds([0.6, 0.6]));
        let unfair = Found::of(&harm(), &world.subject(&unfair), &world.seeds);
        let fair = Found::of(&harm(), &world.subject(&fair), &world.seeds);
        for sign in ["ndcg-gap", "ndcg-shortfall", "recall-gap", "user-mad"] {
            separate(fair.get(sign, "gender"), unfair.get(sign, "gender"));
        }
        // Alike is within the interval.
        assert!(fair.get("ndcg-gap", "gender").interval.unwrap()[0] < 0.03);
        let exposed = &unfair.get("ndcg-gap", "gender").exposed;
        assert_eq!((&exposed.whom[..], exposed.protected), ("gender f", true));
        assert!((exposed.share - 0.5).abs() < 1e-9);
    }
}

#[test]
fn a_gap_that_is_there_only_for_who_is_both_is_told_from_none() {
    use tastemaker_core::catalog::{Attribute, Column};
    use tastemaker_core::people::{UserAttribute, UserAttributes};
    let old = |user: u32| user / 2 % 2;
    for seed in SEEDS {
        let mut world = World::new(seed);
        let rows = (0..crate::worlds::USERS).map(|user| Some(f64::from(20 + 40 * old(user))));
        let column = Column::Number(rows.collect());
        let attribute = Attribute { name: "age".to_owned(), column };
        let age = UserAttribute { attribute, sensitive: true };
        let both = world.data.people.attributes().iter().cloned().chain([age]);
        world.data.people = UserAttributes::new(both.collect());
        let finds = |shares: [f64; 2]| {
            let world = &world;
            // Old women and young men on one side, young women and old men on the other.
            By(move |query: &RecQuery<'_>, item: ItemId| {
                let user = user(query);
                let side = (gender(user) + old(user.0)) % 2;
                let lucky = world.chance(&[user.0]) < shares[side as usize];
                let hit = lucky && item == world.target(user);
                f64::from(u8::from(hit)) * 2.0 + world.chance(&[user.0, item.0])
            })
        };
        let (unfair, fair) = (finds([0.95, 0.15]), finds([0.9, 0.9]));
        let unfair = Found::of(&harm(), &world.subject(&unfair), &world.seeds);
        let fair = Found::of(&harm(), &world.subject(&fair), &world.seeds);
        for sign in ["ndcg-gap", "ndcg-shortfall", "recall-gap", "user-mad"] {
            separate(fair.get(sign, "gender × age"), unfair.get(sign, "gender × age"));
        }
        for alone in ["gender", "age"] {
            let gap = unfair.get("ndcg-gap", alone);
            assert!(gap.interval.unwrap()[0] < 0.0, "{alone}: {gap:?}");
        }
        let exposed = &unfair.get("ndcg-gap", "gender × age").exposed;
        let worst = ["gender × age f × 18–24", "gender × age m × 56 and more"];
        assert!(worst.contains(&&exposed.whom[..]) && exposed.protected, "{exposed:?}");
        assert!((exposed.share - 0.25).abs() < 1e-9);
    }
    // Who is in too small a combination is left out, with the reason.
    let mut world = World::new(1);
    let rows = (0..crate::worlds::USERS).map(|user| vec![(user % 40).to_string()]).collect();
    let attribute = Attribute { name: "village".to_owned(), column: Column::Categories(rows) };
    let village = UserAttribute { attribute, sensitive: true };
    let both = world.data.people.attributes().iter().cloned().chain([village]);
    world.data.people = UserAttributes::new(both.collect());
    let by = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0));
    let found = Found::of(&harm(), &world.subject(&by), &world.seeds);
    let not = found.1.iter().find(|not| not.of == "gender × village").unwrap();
    assert!(not.reason.contains("0 groups have 10 members or more"), "{not:?}");
}

#[test]
fn what_is_popular_already_is_told_from_what_is_drawn() {
    for seed in SEEDS {
        let world = World::new(seed);
        let popularity = world.split.train_popularity(&world.data);
        let popular = By(|_: &RecQuery<'_>, item: ItemId| f64::from(popularity[item.index()]));
        let drawn = By(|query: &RecQuery<'_>, item: ItemId| {
            let hit = item == world.target(user(query)) && world.chance(&[user(query).0]) < 0.5;
            f64::from(u8::from(hit)) + world.chance(&[user(query).0, item.0])
        });
        let popular = Found::of(&harm(), &world.subject(&popular), &world.seeds);
        let drawn = Found::of(&harm(), &world.subject(&drawn), &world.seeds);
        let signs = [
            ("average-popularity", ""),
            ("popularity-lift", ""),
            ("long-tail", ""),
            ("long-tail-count", ""),
            ("provider-gini", ""),
            ("exposure-hhi", ""),
            ("popular-rsp", ""),
            ("popular-reo", ""),
        ];
        for (sign, of) in signs {
            separate(drawn.get(sign, of), popular.get(sign, of));
        }
    }
}

#[test]
fn one_maker_in_front_and_what_is_new_are_told() {
    for seed in SEEDS {
        let world = World::new(seed);
        let drawn = By(|query: &RecQuery<'_>, item: ItemId| world.chance(&[user(query).0, item.0]));
        let maker = By(|query: &RecQuery<'_>, item: ItemId| {
            f64::from(u8::from(item.0 % 6 == 2)) + world.chance(&[user(query).0, item.0])
        });
        let new = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0 * 7 % 40));
        let drawn = Found::of(&harm(), &world.subject(&drawn), &world.seeds);
        let by_maker = Found::of(&harm(), &world.subject(&maker), &world.seeds);
        let new = Found::of(&harm(), &world.subject(&new), &world.seeds);
        separate(drawn.get("provider-shift", "maker"), by_maker.get("provider-shift", "maker"));
        separate(drawn.get("recency-shift", ""), new.get("recency-shift", ""));
        let sign = "recent-share-shift";
        // Of 40 years alike the newest eight are a fifth.
        separate(drawn.get(sign, "from 2012"), new.get(sign, "from 2012"));
        let said = Disparities { recent: Some(2000.0), ..Disparities::default() };
        let said = Found::of(&AnyHarm::Disparities(said), &world.subject(&maker), &world.seeds);
        assert!(said.get(sign, "from 2000").value.abs() < 1.0);
    }
}

/// For each of 60 questions a list of which `kept` items are those of the neutral one.
fn told(world: &World, value: u32, kept: usize) -> Vec<Vec<ItemId>> {
    let of = |question: u32| {
        let mut list: Vec<ItemId> = neutral(question);
        let first = (world.chance(&[value, question]) * 10.0) as u32;
        for (place, item) in (0..).zip(&mut list).skip(kept) {
            *item = ItemId(ITEMS + first + place);
        }
        list
    };
    (0..60).map(of).collect()
}

fn neutral(question: u32) -> Vec<ItemId> {
    (0..10).map(|place| ItemId((question + place * 11) % ITEMS)).collect()
}

#[test]
fn lists_that_follow_a_told_gender_are_told_from_lists_that_do_not() {
    for seed in SEEDS {
        let world = World::new(seed);
        let found = |kept: [usize; 2]| {
            let given = Counterfactual {
                attribute: "gender".to_owned(),
                neutral: (0..60).map(neutral).collect(),
                values: vec![
                    ("f".to_owned(), told(&world, 1, kept[1])),
                    ("m".to_owned(), told(&world, 0, kept[0])),
                ],
                liked: (0..60).map(|question| vec![neutral(question)[6]]).collect(),
            };
            let by = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0));
            let evidence = Evidence { counterfactual: vec![given], ..Evidence::default() };
            // The lists themselves do not matter here.
            let subject = world.subject(&by);
            let mut notes = harm().as_dyn().notes(200, &world.seeds);
            let subject = subject.with(evidence).unwrap();
            harm().as_dyn().probe(&subject, &mut notes, &world.seeds).unwrap();
            let (measured, not) = notes.finish();
            Found(measured, not)
        };
        let (apart, alike) = (found([9, 5]), found([7, 7]));
        for likeness in ["jaccard", "serp", "serp-code", "prag"] {
            for spread in ["snsr", "snsv"] {
                let sign = format!("{spread}-{likeness}");
                separate(alike.get(&sign, "gender"), apart.get(&sign, "gender"));
            }
        }
        separate(alike.get("alignment-gap", "gender"), apart.get("alignment-gap", "gender"));
        let told = &apart.get("snsr-jaccard", "gender").protocol;
        assert!(told.contains("most for m, least for f"), "{told}");
    }
}

#[test]
fn lists_that_do_not_last_are_told_from_lists_that_do() {
    for seed in SEEDS {
        let world = World::new(seed);
        let by = By(|query: &RecQuery<'_>, item: ItemId| world.chance(&[user(query).0, item.0]));
        let found = |changes: bool| {
            let subject = world.subject(&by);
            let later = |list: &RankedList| {
                let mut list = list.clone();
                list.items.swap(8, 9);
                if changes {
                    list.items.rotate_left(3);
                    list.items.truncate(7);
                }
                list
            };
            let snapshots = vec![subject.lists.iter().map(later).collect()];
            let evidence = Evidence { snapshots, ..Evidence::default() };
            Found::with(&harm(), subject, evidence, &world.seeds)
        };
        let (lasts, changes) = (found(false), found(true));
        for sign in ["snapshot-jaccard", "snapshot-overlap"] {
            separate(lasts.get(sign, ""), changes.get(sign, ""));
        }
    }
}

#[test]
fn what_cannot_be_told_is_said_with_its_reason() {
    let mut world = World::new(1);
    let by = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0));
    let harm = |attribute: &str, least| {
        let (attributes, provider) = (vec![attribute.to_owned()], Some("makr".to_owned()));
        AnyHarm::Disparities(Disparities { attributes, provider, least, ..Disparities::default() })
    };
    let found = Found::of(&harm("gendr", 10), &world.subject(&by), &world.seeds);
    assert!(found.reason("ndcg-gap").contains("did you mean \"gender\"?"));
    assert!(found.reason("provider-shift").contains("did you mean \"maker\"?"));
    let found = Found::of(&harm("gender", 150), &world.subject(&by), &world.seeds);
    assert!(found.reason("ndcg-gap").contains("0 groups have 150 members or more"));
    world.data.catalog = tastemaker_core::catalog::Catalog::default();
    let found = Found::of(&harm("gender", 10), &world.subject(&by), &world.seeds);
    assert!(found.reason("recency-shift").contains("\"year\""));
}

#[test]
fn users_who_are_served_alike_are_not_found_to_be_served_worse() {
    let levels = tastemaker_audit::Levels::usual();
    let context: tastemaker_audit::Context = serde_json::from_value(serde_json::json!({
        "purpose": "things", "audience": "all", "minors": true,
        "autonomy": "decides", "sector": "employment",
    }))
    .unwrap();
    for seed in 10..20 {
        let world = World::new(seed);
        let fair = By(|query: &RecQuery<'_>, item: ItemId| {
            let user = user(query);
            let hit = world.chance(&[user.0]) < 0.5 && item == world.target(user);
            f64::from(u8::from(hit)) * 2.0 + world.chance(&[user.0, item.0])
        });
        let found = Found::of(&harm(), &world.subject(&fair), &world.seeds);
        let mut gap = found.get("ndcg-shortfall", "gender").clone();
        levels.judge("disparities", &mut gap, &context);
        assert_eq!(gap.severity, Some(tastemaker_audit::Severity::Minimal), "{gap:?}");
    }
}

#[test]
fn a_small_group_in_which_nobody_found_anything_is_not_known_to_be_served_worse() {
    let mut world = World::new(4);
    // Twelve small groups, and a recommender that is as seldom right for all.
    let value = |user: u32| vec![format!("{}", user % 12)];
    let rows = (0..crate::worlds::USERS).map(value).collect();
    let column = tastemaker_core::catalog::Column::Categories(rows);
    let name = "work".to_owned();
    let attribute = tastemaker_core::catalog::Attribute { name, column };
    world.data.people = tastemaker_core::people::UserAttributes::new(vec![
        tastemaker_core::people::UserAttribute { attribute, sensitive: true },
    ]);
    let seldom = By(|query: &RecQuery<'_>, item: ItemId| {
        let hit = world.chance(&[user(query).0]) < 0.1 && item == world.target(user(query));
        f64::from(u8::from(hit)) * 2.0 + world.chance(&[user(query).0, item.0])
    });
    let found = Found::of(&harm(), &world.subject(&seldom), &world.seeds);
    let gap = found.get("ndcg-shortfall", "work");
    assert!(gap.value > 0.8 && gap.interval.unwrap()[0] < 0.1, "{gap:?}");
}

#[test]
fn years_are_read_from_numbers_and_from_categories() {
    use tastemaker_core::catalog::{Attribute, Catalog, Column};
    let mut world = World::new(5);
    let year = |item: u32| 1980 + item * 7 % 40;
    let rows = (0..ITEMS).map(|item| vec![year(item).to_string()]).collect();
    let by = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0 * 7 % 40));
    let as_numbers = Found::of(&harm(), &world.subject(&by), &world.seeds);
    let attribute = Attribute { name: "release_year".into(), column: Column::Categories(rows) };
    world.data.catalog = Catalog::new(vec![attribute], None);
    let as_words = Found::of(&harm(), &world.subject(&by), &world.seeds);
    assert_eq!(as_words.get("recency-shift", ""), as_numbers.get("recency-shift", ""));
}
