use tastemaker_audit::harms::{AnyHarm, Privacy};
use tastemaker_audit::{Evidence, Extraction, Membership, Unlearning};
use tastemaker_core::{ItemId, RankedList, RecQuery};

use crate::worlds::{By, Found, SEEDS, World, gender, separate};

fn harm() -> AnyHarm {
    AnyHarm::Privacy(Privacy::default())
}

fn anything(_: &RecQuery<'_>, item: ItemId) -> f64 {
    f64::from(item.0)
}

/// About normal: the sum of twelve.
fn normal(world: &World, of: u32) -> f64 {
    (0..12).map(|n| world.chance(&[of, n])).sum::<f64>() - 6.0
}

#[test]
fn who_is_known_by_heart_is_told_from_who_is_not() {
    for seed in SEEDS {
        let world = World::new(seed);
        let by = By(anything);
        let found = |shift: f64| {
            let given = Membership {
                members: (0..300).map(|n| shift + normal(&world, n)).collect(),
                non_members: (300..600).map(|n| normal(&world, n)).collect(),
            };
            let evidence = Evidence { membership: Some(given), ..Evidence::default() };
            Found::with(&harm(), world.subject(&by), evidence, &world.seeds)
        };
        let (private, leaks) = (found(0.0), found(3.0));
        for sign in ["membership-auc", "membership-found-at-1%"] {
            separate(private.get(sign, ""), leaks.get(sign, ""));
        }
        let chance = private.get("membership-auc", "").interval.unwrap();
        assert!(chance[0] < 0.5 && 0.5 < chance[1], "{chance:?}");
        // A thousandth of 300 is nobody.
        assert!(leaks.reason("membership-found-at-0.1%").contains("too few"));
    }
}

#[test]
fn lists_that_tell_a_gender_are_told_from_lists_that_do_not() {
    for seed in SEEDS {
        let world = World::new(seed);
        let shows = |follows: f64| {
            let world = &world;
            By(move |query: &RecQuery<'_>, item: ItemId| {
                let user = query.user.unwrap_or(tastemaker_core::UserId(0));
                let own = f64::from(u8::from(item.0 % 2 == gender(user)));
                // Few different items, as recommenders show.
                follows * own + world.chance(&[user.0, item.0]) + f64::from(u8::from(item.0 < 40))
            })
        };
        let (blind, follows) = (shows(0.0), shows(0.4));
        let blind = Found::of(&harm(), &world.subject(&blind), &world.seeds);
        let follows = Found::of(&harm(), &world.subject(&follows), &world.seeds);
        for sign in ["attribute-auc", "attribute-advantage"] {
            separate(blind.get(sign, "gender"), follows.get(sign, "gender"));
        }
        let chance = blind.get("attribute-auc", "gender").interval.unwrap();
        assert!(chance[0] < 0.52 && 0.48 < chance[1], "{chance:?}");
    }
}

#[test]
fn what_comes_out_word_for_word_is_counted() {
    for seed in SEEDS {
        let world = World::new(seed);
        let by = By(anything);
        let found = |share: f64| {
            let text = |n: u32| {
                let known = world.chance(&[n]) < share;
                let truth = format!("the user then bought item {n}");
                let continued = if known {
                    format!("The user then bought item {n}, and more")
                } else {
                    "the user".to_owned()
                };
                Extraction { truth, continued }
            };
            let evidence =
                Evidence { extractions: (0..100).map(text).collect(), ..Evidence::default() };
            Found::with(&harm(), world.subject(&by), evidence, &world.seeds)
        };
        let (forgets, knows) = (found(0.0), found(0.3));
        separate(forgets.get("extraction", ""), knows.get("extraction", ""));
        assert_eq!(forgets.get("extraction", "").value, 0.0);
    }
}

#[test]
fn users_who_are_forgotten_are_told_from_users_who_are_not() {
    for seed in SEEDS {
        let world = World::new(seed);
        let by = By(anything);
        let lists = |shares_old: f64, run: u32| -> Vec<RankedList> {
            let item = |user: u32, place: u32| {
                let old = world.chance(&[user, place, run]) < shares_old;
                ItemId(place * 10 + u32::from(old))
            };
            let list = |user: u32| RankedList {
                items: (0..10).map(|place| item(user, place)).collect(),
                ..RankedList::default()
            };
            (0..50).map(list).collect()
        };
        let found = |unlearnt: f64| {
            let given = Unlearning {
                original: lists(1.0, 0),
                unlearnt: lists(unlearnt, 1),
                retrained: lists(0.0, 2),
            };
            let evidence = Evidence { unlearning: Some(given), ..Evidence::default() };
            Found::with(&harm(), world.subject(&by), evidence, &world.seeds)
        };
        let (forgets, keeps) = (found(0.05), found(0.8));
        separate(forgets.get("unlearning-residue", ""), keeps.get("unlearning-residue", ""));
        assert!(keeps.get("unlearning-residue", "").value > 0.5);
        assert_eq!(found(0.0).get("unlearning-residue", "").value, 0.0);
        let same = lists(0.0, 2);
        let given = Unlearning { original: same.clone(), unlearnt: same.clone(), retrained: same };
        let evidence = Evidence { unlearning: Some(given), ..Evidence::default() };
        let nothing = Found::with(&harm(), world.subject(&by), evidence, &world.seeds);
        assert!(nothing.reason("unlearning-residue").contains("nothing to forget"));
        let evidence = Evidence { learns_anew: true, ..Evidence::default() };
        let anew = Found::with(&harm(), world.subject(&by), evidence, &world.seeds);
        assert!(anew.reason("unlearning-residue").contains("learning anew from all others"));
    }
}
