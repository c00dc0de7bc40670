use super::*;
use crate::error::Result;
use crate::ids::Vocabulary;
use crate::rng::SeedTree;

/// The lists of `text` of the users u and v, over items a to e where `closed`.
fn read_as(name: &str, text: &str, columns: &Columns, closed: bool) -> Result<(Lists, Vocabulary)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs_err::write(&path, text).unwrap();
    let users: Vocabulary = ["u", "v"].into_iter().collect();
    let mut items: Vocabulary = ["a", "b", "c", "d", "e"].into_iter().collect();
    let lists = if closed {
        read_lists(&path, columns, &users, Items::Catalog(&items))
    } else {
        read_lists(&path, columns, &users, Items::Any(&mut items))
    };
    lists.map(|lists| (lists, items))
}

/// The list of a user, as outside ids in a row.
fn list(lists: &Lists, items: &Vocabulary, user: usize) -> String {
    let ties = TieOrder::new(items.len(), &SeedTree::new(0));
    let mut list = RankedList::default();
    lists.ranked(user, &ties, &mut list);
    assert!(list.scores.is_sorted_by(|a, b| a >= b), "{:?}", list.scores);
    list.items.iter().map(|item| items.id(item.index()).unwrap()).collect()
}

#[test]
fn the_same_lists_are_read_from_every_format() {
    let jsonl = "{\"user\": \"u\", \"item\": \"a\", \"score\": 1}\n\
                 {\"user\": \"v\", \"item\": \"e\", \"score\": -0.5}\n\
                 {\"user\": \"u\", \"item\": \"b\", \"score\": 2.5}\n";
    for (name, text) in [
        ("x.csv", "user_id,item_id,score\nu,a,1\nv,e,-0.5\nu,b,2.5\n"),
        ("x.tsv", "q_id\tdoc_id\tscore\nu\ta\t1\nv\te\t-0.5\nu\tb\t2.5\n"),
        ("x.jsonl", jsonl),
        ("x.txt", "u Q0 a 2 1 t\nv Q0 e 1 -0.5 t\nu Q0 b 1 2.5 t\n"),
        ("x.run", "u 1 a 2 1 t\nv\t1 e 1 -0.5 t\nu 1 b 1 2.5 t\n"),
    ] {
        let (lists, items) = read_as(name, text, &Columns::default(), true).unwrap();
        assert_eq!([list(&lists, &items, 0), list(&lists, &items, 1)], ["ba", "e"], "{name}");
    }
}

#[test]
fn ranks_come_before_scores_and_scores_before_the_order_of_the_file() {
    let text = "user,item,rank,score\nu,a,2,0.1\nu,b,3,0.3\nu,c,1,0.2\n";
    let of = |columns: &Columns| {
        let (lists, items) = read_as("x.csv", text, columns, false).unwrap();
        (list(&lists, &items, 0), lists.order().clone())
    };
    let none = || Some(String::new());
    let scores = Columns { rank: none(), ..Columns::default() };
    let nothing = Columns { score: none(), ..scores.clone() };
    assert_eq!(of(&Columns::default()), ("cab".to_owned(), Order::Rank("rank".to_owned())));
    assert_eq!(of(&scores), ("bca".to_owned(), Order::Score("score".to_owned())));
    assert_eq!(of(&nothing), ("abc".to_owned(), Order::File));
    let trec = "u Q0 a 1 0.1 t\nu Q0 b 2 0.3 t\n";
    let (lists, items) = read_as("x.trec", trec, &scores, true).unwrap();
    assert_eq!(list(&lists, &items, 0), "ba");
}

#[test]
fn equal_scores_follow_the_seeded_permutation_and_close_ones_stay_apart() {
    let text =
        "user,item,score\nu,e,0\nu,d,-0.0\nu,c,0\nu,b,1.00000000000001\nu,a,1.00000000000002\n";
    let (lists, items) = read_as("x.csv", text, &Columns::default(), true).unwrap();
    let ties = TieOrder::new(5, &SeedTree::new(0));
    let mut last = [2, 3, 4].map(ItemId);
    last.sort_by_key(|&item| ties.place(item));
    let last: String = last.iter().map(|item| items.id(item.index()).unwrap()).collect();
    assert_eq!(list(&lists, &items, 0), format!("ab{last}"));
}

#[test]
fn the_order_of_the_rows_changes_nothing() {
    let names: Vec<String> = (0..30).map(|item| format!("i{item}")).collect();
    let rows = (0..30).flat_map(|item| ["u", "v", "w"].map(|user| (user, item)));
    let mut rows: Vec<String> =
        rows.map(|(user, item)| format!("{user},{},{}\n", names[item], item * 7 % 11)).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    let users: Vocabulary = ["v", "u"].into_iter().collect();
    let items: Vocabulary = names.iter().collect();
    let of = |rows: &[String]| {
        fs_err::write(&path, format!("user,item,score\n{}", rows.concat())).unwrap();
        let lists = read_lists(&path, &Columns::default(), &users, Items::Catalog(&items)).unwrap();
        assert_eq!(lists.lengths().collect::<Vec<_>>(), [30, 30]);
        assert_eq!(lists.unknown_users(), 1);
        [list(&lists, &items, 0), list(&lists, &items, 1)]
    };
    let expected = of(&rows);
    rows.sort_unstable();
    assert_eq!(of(&rows), expected);
    for seed in 0..5 {
        rand::seq::SliceRandom::shuffle(&mut rows[..], &mut SeedTree::new(seed).rng());
        assert_eq!(of(&rows), expected, "seed {seed}");
    }
}

#[test]
fn broken_lists_are_named_with_their_line() {
    let named = Columns { score: Some("scor".to_owned()), ..Columns::default() };
    for (name, text, columns, expected) in [
        (
            "x.csv",
            "user,item,score\nu,a,1\nv,a,1\nu,a,0\n",
            Columns::default(),
            "x.csv, line 4: user \"u\" has item \"a\" a second time, expected once",
        ),
        (
            "x.csv",
            "user,item,score\nu,a,1\nu,aa,1\n",
            Columns::default(),
            "x.csv, line 3: item is \"aa\", which is not in the catalog",
        ),
        (
            "x.csv",
            "user,item,score\nu,a,x\n",
            Columns::default(),
            "x.csv, line 2: score is \"x\", expected a number",
        ),
        ("x.csv", "user,item,score\nu,a,NaN\n", Columns::default(), "expected a finite number"),
        ("x.csv", "user,item,score\nu,a,1\n", named, "expected also scor; did you mean \"score\"?"),
        (
            "x.csv",
            "usr,item,score\nu,a,1\n",
            Columns::default(),
            "none is called like the user; did you mean \"usr\"?; say which it is (--user-column",
        ),
        (
            "x.run",
            "u Q0 a 1 1 t\nu Q0 b 1 t\n",
            Columns::default(),
            "x.run, line 2: has 5 words, expected 6 (user Q0 item rank score tag)",
        ),
        (
            "x.run",
            "u Q0 a one 1 t\n",
            Columns::default(),
            "x.run, line 1: rank is \"one\", expected a number",
        ),
    ] {
        let error = read_as(name, text, &columns, true).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_relevant_has_a_relevance_above_zero_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, text: &str, columns: &Columns| {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        let Relevant { users, items, lists } = read_relevant(&path, columns)?;
        let one = |(user, id): (usize, &str)| {
            let items = lists.items(user).iter().map(|item| items.id(item.index()).unwrap());
            format!("{id}: {}", items.collect::<String>())
        };
        Ok::<_, crate::Error>(users.iter().enumerate().map(one).collect::<Vec<_>>())
    };
    let usual = Columns::default();
    assert_eq!(
        of("q.qrels", "u 0 a 1\nv 0 a 0\nu 0 b 2\nw 0 c 1\n", &usual).unwrap(),
        ["u: ab", "w: c"]
    );
    // Names of columns of lists do not count here, where there are none that are called so.
    let who = Columns { user: Some("who".to_owned()), ..Columns::default() };
    assert_eq!(of("q.csv", "user,item\nu,a\nv,a\nu,b\n", &who).unwrap(), ["u: ab", "v: a"]);
    assert_eq!(of("r.csv", "who,item,rel\nu,a,1\nv,a,0\n", &who).unwrap(), ["u: a"]);
    let twice = of("q.csv", "user,item\nu,a\nu,a\n", &usual).unwrap_err().to_string();
    assert!(twice.contains("line 3: user \"u\" has item \"a\" a second time"), "{twice}");
    let none = of("q.csv", "user,item,rel\nu,a,0\n", &usual).unwrap_err().to_string();
    assert!(none.contains("names nothing that is relevant"), "{none}");
}

#[test]
fn what_is_written_is_read_again_from_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [("v", "c", 1, 0.1), ("v", "a", 2, -3e-9), ("u", "b", 1, 7.0)];
    let write = |name: &str| {
        let path = folder.path().join(name);
        write_lists::<crate::Error>(&path, "small", |write| {
            let row = |(user, item, rank, score)| ListedRow { user, item, rank, score };
            rows.into_iter().try_for_each(|of| write(row(of)))
        })
        .map(|()| path)
    };
    let users: Vocabulary = ["u", "v"].into_iter().collect();
    for name in ["x.trec", "x.csv", "x.tsv", "x.jsonl", "x.parquet"] {
        for rank in [None, Some(String::new())] {
            let columns = Columns { rank, ..Columns::default() };
            let mut items = Vocabulary::default();
            let lists = read_lists(&write(name).unwrap(), &columns, &users, Items::Any(&mut items))
                .unwrap();
            assert_eq!([list(&lists, &items, 0), list(&lists, &items, 1)], ["b", "ca"], "{name}");
        }
    }
    let text = fs_err::read_to_string(write("x.run").unwrap()).unwrap();
    assert_eq!(text.lines().next(), Some("v Q0 c 1 0.1 small"));
    let unknown = write("x.xls").unwrap_err().to_string();
    assert!(unknown.contains("expected a name that ends in .trec"), "{unknown}");
    let qrels = folder.path().join("q.qrels");
    write_qrels(&qrels, [("u", "a"), ("v", "b")]).unwrap();
    assert_eq!(fs_err::read_to_string(&qrels).unwrap(), "u 0 a 1\nv 0 b 1\n");
    let blank = std::error::Error::source(&write_qrels(&qrels, [("u", "a b")]).unwrap_err())
        .map(ToString::to_string);
    assert!(blank.unwrap().contains("the id \"a b\" has blanks in it"));
    assert_eq!(fs_err::read_to_string(&qrels).unwrap(), "u 0 a 1\nv 0 b 1\n");
}

#[test]
fn candidates_are_lines_or_tables_in_the_order_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let users: Vocabulary = ["u", "v"].into_iter().collect();
    let items: Vocabulary = ["a", "b", "c", "d"].into_iter().collect();
    let read = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        read_candidates(&path, &users, &items)
    };
    for (name, text) in [
        ("x.random", "w\tz z\nv\td  a c\n"),
        ("x.csv", "user,item,rank\nw,z,1\nv,d,3\nv,a,1\nv,c,2\n"),
        ("x.run", "v Q0 d 3 1 t\nw Q0 z 1 1 t\nv Q0 a 1 1 t\nv Q0 c 2 1 t\n"),
    ] {
        let lists = read(name, text).unwrap();
        assert_eq!(lists.items(0), [], "{name}");
        assert_eq!(lists.items(1), [3, 0, 2].map(ItemId), "{name}");
        assert_eq!(lists.unknown_users(), 1, "{name}");
    }
    for (text, expected) in [
        ("u\ta b\nv\ta bb\n", "x, line 2: item is \"bb\", which is not in the catalog"),
        ("u\ta b a\n", "x, line 1: has item \"a\" twice, expected once"),
        ("u\ta b\n\nu\tc d\n", "x, line 3: user \"u\" has a list in line 1 already"),
        ("u\ta b\nv a b\n", "x, line 2: is \"v a b\", expected a user, a tabulator and items with"),
        ("w\ta b\nz\tc\n", "x: has no candidates of any of the 2 users, but lists of 2 others"),
    ] {
        let message = read("x", text).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
