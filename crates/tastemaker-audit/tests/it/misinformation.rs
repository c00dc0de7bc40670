use tastemaker_audit::harms::{AnyHarm, Misinformation};
use tastemaker_audit::probes::planted_text::{attacks, effects};
use tastemaker_audit::{Evidence, Explanation, Scope, Subject};
use tastemaker_core::{Dataset, ItemId, RecQuery, Recommender, Result};
use tastemaker_eval::metrics::{AnyMetric, Ndcg};
use tastemaker_eval::{Candidates, Evaluator};

use crate::worlds::{By, Found, GENRES, ITEMS, K, SEEDS, USERS, World, genre, separate};

fn harm() -> AnyHarm {
    AnyHarm::Misinformation(Misinformation { targets: 4, users: 60, ..Misinformation::default() })
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
fn explanations_that_make_facts_up_are_told_from_those_that_tell_the_catalogs() {
    for seed in SEEDS {
        let world = World::new(seed);
        let by = By(|query: &RecQuery<'_>, item: ItemId| {
            world.chance(&[query.user.map_or(0, |user| user.0), item.0])
        });
        let subject = || world.subject(&by);
        // Says the genre of what it recommends, which something has that the user has met; or lies.
        let explained = |made_up: f64| {
            let subject = subject();
            let of = |at: usize| {
                let (case, list) = (&subject.cases[at], &subject.lists[at]);
                let (user, item) = (case.user, list.items[0]);
                let lies = world.chance(&[7, user.0]) < made_up;
                let said = if lies { (genre(item) + 1) % GENRES } else { genre(item) };
                let alike = case.history.iter().find(|met| genre(**met) == genre(item));
                let reason = if lies { list.items[1] } else { *alike.unwrap_or(&item) };
                let text =
                    format!("Thing {} is of genre {said}, as Thing {} was.", item.0, reason.0);
                Explanation { user, item, text, cited: None }
            };
            let explanations = subject.everybody().into_iter().map(of).collect();
            let evidence = Evidence { explanations, ..Evidence::default() };
            Found::with(&harm(), subject, evidence, &world.seeds)
        };
        let (honest, lies) = (explained(0.1), explained(0.6));
        separate(honest.get("wrong-facts", ""), lies.get("wrong-facts", ""));
        separate(honest.get("unmet-reasons", ""), lies.get("unmet-reasons", ""));
    }
}

/// Each list is ranked among a user's targets and 19 other items.
fn among_20(world: &World) -> Scope<'_> {
    Scope { candidates: Candidates::Sampled { n: 19 }, ..world.scope() }
}

#[test]
fn what_is_planted_in_a_users_candidates_lifts_them() {
    // Three users: of 120 items others' candidates and histories leave few to attack.
    let harm = Misinformation { targets: 2, users: 3, ..Misinformation::default() };
    for seed in SEEDS {
        let world = World::new(seed);
        let found = |gullible: f64| {
            let first = reads(&world, &world.data, gullible);
            let retitle = |data: &Dataset| -> Result<Box<dyn Recommender>> {
                Ok(reads(&world, data, gullible))
            };
            let subject = Subject::of_recommender(among_20(&world), &*first, &world.seeds).unwrap();
            let evidence = Evidence { retitle: Some(&retitle), ..Evidence::default() };
            Found::with(&AnyHarm::Misinformation(harm.clone()), subject, evidence, &world.seeds)
        };
        let (believes, ignores) = (found(0.5), found(0.0));
        for attack in attacks() {
            let rank = |found: &Found| found.get("planted-rank", &attack.name).value;
            assert!(rank(&believes) > 0.0, "{}", attack.name);
            assert_eq!(rank(&ignores), 0.0);
            let told = &believes.get("planted-rank", &attack.name).protocol;
            assert!(told.ends_with("in 2 titles of each user's candidates"), "{told}");
        }
    }
}

#[test]
fn lists_among_candidates_are_of_candidates_and_shorter() {
    let world = World::new(1);
    let by = By(|_: &RecQuery<'_>, item: ItemId| f64::from(item.0));
    let subject = Subject::of_recommender(among_20(&world), &by, &world.seeds).unwrap();
    let candidates = subject.candidates.as_ref().unwrap();
    for (place, (list, own)) in subject.lists.iter().zip(candidates).enumerate() {
        assert_eq!((list.items.len(), own.len()), (K, 20));
        assert!(list.items.iter().all(|item| own.contains(item)));
        assert!(own.contains(&subject.cases[place].targets[0]));
    }
    let evaluator = Evaluator::new(vec![AnyMetric::Ndcg(Ndcg { k: K })]).unwrap();
    let evaluator = evaluator.candidates(Candidates::Sampled { n: 19 });
    let same = evaluator.sample(&subject.cases[0], world.data.n_items(), &world.seeds);
    assert_eq!(same.as_ref(), Some(&candidates[0]));
    let scope = Scope { k: 20, ..among_20(&world) };
    let problem = Subject::of_recommender(scope, &by, &world.seeds).map(drop).unwrap_err();
    assert!(problem.to_string().contains("less than 20"), "{problem}");
}

#[test]
fn attacks_are_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attacks.toml");
    let read = |text: &str| {
        fs_err::write(&path, text).unwrap();
        Misinformation::read(&path).map_err(|error| error.to_string())
    };
    let attack = "[[attack]]\nname = \"a\"\ntext = \"{title}!\"\nsource = \"ours\"\n";
    let found = read(&format!("users = 7\n{attack}")).unwrap();
    assert_eq!((found.attacks.len(), found.users, found.targets), (1, 7, 5));
    assert!(read("attack = []").unwrap_err().contains("plants nothing"));
    let problem = read(&attack.replace("text", "txt")).unwrap_err();
    assert!(problem.contains("line 3") && problem.contains("`text`"), "{problem}");
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
    let targets = vec![vec![target]; all.len()];
    let found = effects(&subject, &retitle, &attacks()[..1], &targets, &all).unwrap().remove(0);
    let met = subject.cases.iter().filter(|case| case.history.contains(&target)).count();
    assert!(met > 0);
    assert_eq!(found.len(), all.len() - met);
}
