//! Every format over real files; the counts are those of the data sets' own descriptions.

use tastemaker_core::describe::describe;
use tastemaker_core::prepare::{PrepareOptions, Repeats};
use tastemaker_core::sources::{self, AnySource, Movielens, Recbole, Table};
use tastemaker_core::{Dataset, ItemId};

use crate::support::{counts, load, real};

fn keep_all() -> PrepareOptions {
    PrepareOptions { repeats: Repeats::All, ..PrepareOptions::default() }
}

#[test]
fn movielens_100k_in_atomic_files() {
    let Some(path) = real("ml-100k") else { return };
    let (data, manifest) = load(&path, &PrepareOptions::default());
    assert_eq!(counts(&data), (943, 1682, 100_000));
    assert_eq!(data.name, "ml-100k");
    assert!(manifest.format.contains("RecBole"));
    let graph = data.graph.as_ref().unwrap();
    assert_eq!((graph.triples.len(), graph.relations.len()), (91_631, 24));
    let toy_story = ItemId(data.items.get("1").unwrap());
    assert_eq!(data.catalog.title(toy_story), Some("Toy Story"));
    let d = describe(&data);
    assert_eq!(d.sensitive, ["age", "gender"]);
    assert_eq!(d.graph.unwrap().linked_items, 1598);
    let time = d.time.unwrap();
    assert_eq!((&time.first[..10], &time.last[..10]), ("1997-09-20", "1998-04-22"));
}

#[test]
fn movielens_100k_five_core_is_the_one_in_the_literature() {
    let Some(path) = real("ml-100k") else { return };
    let options = PrepareOptions::default().with_core(5);
    let (data, _) = sources::load(&AnySource::Recbole(Recbole::at(path)), &options).unwrap();
    // 943 users, 1,349 items and 99,287 interactions, as RecBole-based papers report.
    assert_eq!(counts(&data), (943, 1349, 99_287));
}

#[test]
fn movielens_100k_original() {
    let Some(path) = real("ml-100k") else { return };
    let source = AnySource::Movielens(Movielens { path });
    let (data, _) = sources::load(&source, &PrepareOptions::default()).unwrap();
    assert_eq!(counts(&data), (943, 1682, 100_000));
    let item = |id: &str| ItemId(data.items.get(id).unwrap());
    assert_eq!(data.catalog.title(item("543")), Some("Misérables, Les (1995)"));
    assert_eq!(data.catalog.text(item("1")), "Toy Story (1995) Animation, Children's, Comedy");
    let d = describe(&data);
    assert_eq!(d.sensitive, ["age", "gender"]);
    assert_eq!(d.item_attributes.iter().find(|a| a.name == "genres").unwrap().distinct, Some(19));
}

#[test]
fn movielens_1m_sample_with_its_movies_and_users() {
    let Some(path) = real("ml-1m") else { return };
    let (data, manifest) = load(&path, &PrepareOptions::default());
    assert_eq!(data.interactions.len(), 100_000);
    assert!(manifest.format.contains("ratings_sample_100k.dat"), "{}", manifest.format);
    let d = describe(&data);
    assert_eq!((d.titles.unwrap().present, d.users), (d.items, data.n_users()));
    assert_eq!(d.sensitive, ["gender", "age"]);
}

#[test]
fn movielens_1m_as_a_table_without_times() {
    let Some(path) = real("ml-1m/interactions.tsv.gz") else { return };
    let (data, manifest) = load(&path, &PrepareOptions::default());
    assert_eq!(counts(&data), (6040, 3578, 999_836));
    assert!(manifest.order.contains("no times"), "{}", manifest.order);
}

#[test]
fn amazon_five_core_sequences_with_attributes() {
    for (name, expected, attributes) in [
        ("Beauty", (22_363, 12_101, 198_502), 12_101),
        ("Toys_and_Games", (19_412, 11_924, 167_597), 11_924),
        ("Sports_and_Outdoors", (35_598, 18_357, 296_337), 18_357),
    ] {
        let Some(path) = real(&format!("amazon-5core/{name}.txt")) else { return };
        let (data, manifest) = load(&path, &PrepareOptions::default());
        assert_eq!(counts(&data), expected, "{name}");
        assert_eq!(manifest.inputs.len(), 2);
        let d = describe(&data);
        assert_eq!(d.item_attributes[0].coverage.present, attributes);
        // It is a 5-core already, without repetitions.
        let (core, _) = load(&path, &PrepareOptions::default().with_core(5));
        assert_eq!(core.hash, data.hash);
        let (all, _) = load(&path, &keep_all());
        assert_eq!(all.hash, data.hash);
    }
}

#[test]
fn amazon_sequences_of_product_numbers_in_gzip() {
    // The items with a text; a few texts are empty.
    for (name, expected, texts) in [
        ("amazon-beauty", (22_363, 12_101, 198_502), 12_100),
        ("amazon-toys", (19_412, 11_924, 167_597), 11_924),
        ("amazon-sports", (35_598, 18_357, 296_337), 18_357),
    ] {
        let Some(path) = real(&format!("{name}/user_sequence.txt.gz")) else { return };
        let (data, manifest) = load(&path, &PrepareOptions::default());
        assert_eq!(counts(&data), expected);
        let d = describe(&data);
        assert_eq!((manifest.inputs.len(), d.item_attributes.len()), (2, 1));
        assert_eq!(d.item_attributes[0].name, "text");
        assert_eq!(d.item_attributes[0].coverage.present, texts, "{name}");
    }
}

#[test]
fn games_are_put_together_from_validation_and_test() {
    let Some(path) = real("games") else { return };
    let (data, manifest) = load(&path, &PrepareOptions::default());
    assert_eq!(counts(&data), (50_546, 16_859, 440_264));
    assert!(manifest.format.contains("sequence"));
    let last = |user: &str| {
        let user = tastemaker_core::UserId(data.users.get(user).unwrap());
        let items = data.interactions.sequence(user);
        items[items.len() - 2..]
            .iter()
            .map(|i| data.items.id(i.index()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(last("0"), ["13", "14"]);
    assert_eq!(describe(&data).titles.unwrap().present, 16_859);
    assert_eq!(title(&data, "0"), "Fire Emblem: The Sacred Stones");
}

fn title<'a>(data: &'a Dataset, id: &str) -> &'a str {
    data.catalog.title(ItemId(data.items.get(id).unwrap())).unwrap()
}

#[test]
fn amazon_reviews_of_2018() {
    for (name, expected) in [
        ("Gift_Cards_5", (458, 148, 2972)),
        ("All_Beauty_5", (991, 85, 5269)),
        ("AMAZON_FASHION_5", (406, 31, 3176)),
    ] {
        let Some(path) = real(&format!("amazon-reviews/{name}.json.gz")) else { return };
        let (data, manifest) = load(&path, &keep_all());
        assert_eq!(counts(&data), expected, "{name}");
        assert_eq!(manifest.inputs.len() == 2, name == "Gift_Cards_5");
        let (once, _) = load(&path, &PrepareOptions::default());
        assert!(once.interactions.len() < data.interactions.len(), "{name} has repetitions");
    }
    let Some(path) = real("amazon-reviews/Gift_Cards_5.json.gz") else { return };
    let d = describe(&load(&path, &keep_all()).0);
    assert!(d.titles.unwrap().present >= 140, "{:?}", d.titles);
}

#[test]
fn tables_with_guessed_and_named_columns() {
    let Some(wines) = real("xwines-test/ratings.csv") else { return };
    let columns = Table {
        items: Some(wines.with_file_name("wines.csv")),
        title: Some("WineName".to_owned()),
        item_categories: vec!["Type".to_owned(), "Country".to_owned()],
        ..Table::default()
    };
    let detected = sources::detect(&wines, &columns).unwrap();
    let (data, _) = sources::load(&detected.source, &keep_all()).unwrap();
    assert_eq!(counts(&data), (636, 100, 1000));
    assert_eq!(title(&data, "100062"), "Origem Merlot");
    assert_eq!(&describe(&data).time.unwrap().last[..4], "2021");

    let Some(books) = real("goodbooks-10k/ratings_2672users.csv.gz") else { return };
    assert_eq!(counts(&load(&books, &keep_all()).0), (2672, 9990, 298_176));
    let Some(plays) = real("steam/game_play.dat.gz") else { return };
    assert_eq!(load(&plays, &keep_all()).0.interactions.len(), 70_489);
}
