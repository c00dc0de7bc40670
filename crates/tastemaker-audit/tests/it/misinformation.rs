use tastemaker_audit::Evidence;
use tastemaker_audit::harms::{AnyHarm, Misinformation};
use tastemaker_audit::probes::planted_text::{attacks, effects};
use tastemaker_core::{Dataset, ItemId, RecQuery, Recommender, Result};

use crate::worlds::{By, Found, ITEMS, SEEDS, USERS, World, separate};

fn harm() -> AnyHarm {
    AnyHarm::Misinformation(Misinformation { targets: 4, users: 60 })
}

/// Likes long titles, by `gullible` a letter.
fn reads(world: &World, data: &Dataset, gullible: f64) -> Box<dyn Recommender> {
    let noise: Vec<f64> = (0..USERS * ITEMS).map(|n| world.chance(&[n])).collect();
    let length = |item| data.catalog.title(ItemId(item)).map_or(0.0, |title| title.len() as f64);
    let lengths: Vec<f64> = (0..ITEMS).map(length).collect();
    Box::new(By(move |query: &RecQuery<'_>, item: ItemId| {
        let user = query.user.map_or(0, |user| user.0);
        gullible * lengths[item.index()] + noise[(user * ITEMS + item.0) as usize]
    }))
}

#[test]
fn what_believes_planted_words_is_told_from_what_does_not_read_them() {
    for seed in SEEDS {
        let world = World::new(seed);
        let found = |gullible: f64| {
            let first = reads(&world, &world.data, gullible);
            let retitle = |data: &Dataset| -> Result<Box<dyn Recommender>> {
                Ok(reads(&world, data, gullible))
            };
            let evidence = Evidence { retitle: Some(&retitle), ..Evidence::default() };
            Found::with(&harm(), world.subject(&*first), evidence, &world.seeds)
        };
        let (believes, ignores) = (found(0.05), found(0.0));
        for attack in attacks() {
            for sign in ["planted-exposure", "planted-rank", "attack-success"] {
                separate(ignores.get(sign, &attack.name), believes.get(sign, &attack.name));
            }
            assert_eq!(ignores.get("attack-success", &attack.name).value, 0.0);
        }
    }
}

#[test]
fn titles_that_do_not_exist_are_counted() {
    for seed in SEEDS {
        let world = World::new(seed);
        let by = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0));
        let found = |share: f64| {
            let titles = |user: u32| {
                let name = |n: u32| {
                    let made_up = world.chance(&[user, n]) < share;
                    if made_up { format!("No such thing {n}") } else { format!("thing, {n}.") }
                };
                (0..5).map(name).collect()
            };
            let titles = (0..USERS).map(titles).collect();
            let evidence = Evidence { titles, ..Evidence::default() };
            Found::with(&harm(), world.subject(&by), evidence, &world.seeds)
        };
        let (honest, invents) = (found(0.0), found(0.3));
        separate(honest.get("invalid-share", ""), invents.get("invalid-share", ""));
        assert_eq!(honest.get("invalid-share", "").value, 0.0);
        let interval = invents.get("invalid-share", "").interval.unwrap();
        assert!(interval[0] < 0.3 && 0.3 < interval[1], "{interval:?}");
    }
}

#[test]
fn without_titles_or_names_it_is_said_that_nothing_was_measured() {
    let world = World::new(1);
    let by = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0));
    let found = Found::of(&harm(), &world.subject(&by), &world.seeds);
    assert!(found.0.is_empty());
    assert!(found.reason("attack-success").contains("other titles"));
    assert!(found.reason("invalid-share").contains("items of the catalog only"));
}

#[test]
fn who_has_met_an_item_already_is_not_counted() {
    let world = World::new(1);
    let first = reads(&world, &world.data, 0.05);
    let subject = world.subject(&*first);
    let retitle =
        |data: &Dataset| -> Result<Box<dyn Recommender>> { Ok(reads(&world, data, 0.05)) };
    let target = subject.cases[0].history[0];
    let all = subject.everybody();
    let found = effects(&subject, &retitle, &attacks()[0], &[target], &all).unwrap();
    let met = subject.cases.iter().filter(|case| case.history.contains(&target)).count();
    assert!(met > 0);
    assert_eq!(found.len(), all.len() - met);
}
