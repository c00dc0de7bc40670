//! The client against a small server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use tastemaker_endpoint::{Budget, Client, Endpoint, Error, Hub, Message, Tracked, Tracker};

// Answers whoever asks; the recommenders' tests have it too.
mod server;

use server::server;

fn said(text: &str) -> String {
    let usage = "{\"prompt_tokens\": 30, \"completion_tokens\": 10}";
    let message = format!("{{\"role\": \"assistant\", \"content\": {text:?}}}");
    format!("{{\"choices\": [{{\"message\": {message}}}], \"usage\": {usage}}}")
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        url: url.to_owned(),
        model: "small".to_owned(),
        key_variable: String::new(),
        temperature: 0.0,
        most_tokens: 64,
        retries: 3,
        timeout: 5.0,
        requests_per_minute: 0,
        budget: Budget::default(),
        replay: false,
    }
}

fn user(content: &str) -> Vec<Message> {
    vec![Message { role: "user".to_owned(), content: content.to_owned() }]
}

#[test]
fn what_is_asked_is_answered_and_asked_once_only() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("kept").join("answers.jsonl");
    let (url, asked) = server(vec![(200, "", said("Alien")), (200, "", said("Heat"))]);
    let mut client = Client::new(&endpoint(&url), Some(&record)).unwrap();
    let answer = client.ask(&user("What next?")).unwrap();
    assert_eq!((answer.text.as_str(), answer.tokens_in, answer.tokens_out), ("Alien", 30, 10));
    let (head, body) = asked.recv().unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["messages"][0]["content"], "What next?");
    assert_eq!((&body["model"], &body["max_tokens"]), (&"small".into(), &64.into()));
    // The same question again, and by another client: nobody is asked.
    assert_eq!(client.ask(&user("What next?")).unwrap(), answer);
    assert_eq!(client.spent().requests, 1);
    let settings = Endpoint { replay: true, ..endpoint(&url) };
    let mut replaying = Client::new(&settings, Some(&record)).unwrap();
    assert_eq!(replaying.ask(&user("What next?")).unwrap(), answer);
    assert_eq!((replaying.spent().requests, replaying.spent().replayed), (0, 1));
    assert!(matches!(replaying.ask(&user("And then?")), Err(Error::NotRecorded { .. })));
    assert_eq!(client.ask(&user("And then?")).unwrap().text, "Heat");
    // A line that was being written when a run was killed is taken out; one that is no answer is not.
    let text = fs_err::read_to_string(&record).unwrap();
    assert_eq!(text.lines().count(), 2);
    fs_err::write(&record, format!("{text}{{\"quest")).unwrap();
    let mut again = Client::new(&settings, Some(&record)).unwrap();
    assert_eq!(again.ask(&user("And then?")).unwrap().text, "Heat");
    assert_eq!(fs_err::read_to_string(&record).unwrap(), text);
    fs_err::write(&record, "{}\n").unwrap();
    let problem = Client::new(&settings, Some(&record)).unwrap_err().to_string();
    assert!(problem.contains("line 1: this is no answer of ours"), "{problem}");
}

#[test]
fn what_can_help_is_tried_again_and_what_cannot_is_not() {
    let busy = || (429, "retry-after: 0\r\n", "busy".to_owned());
    let (url, _asked) = server(vec![busy(), (503, "", String::new()), (200, "", said("Alien"))]);
    let mut client = Client::new(&endpoint(&url), None).unwrap();
    assert_eq!(client.ask(&user("a")).unwrap().text, "Alien");
    assert_eq!(client.spent().requests, 3);
    let (url, _asked) = server(vec![(401, "", "no such key".to_owned())]);
    let problem = Client::new(&endpoint(&url), None).unwrap().ask(&user("a")).unwrap_err();
    assert!(problem.to_string().ends_with("answers 401: no such key"), "{problem}");
    let (url, _asked) = server(vec![busy(), busy()]);
    let settings = Endpoint { retries: 1, ..endpoint(&url) };
    let problem = Client::new(&settings, None).unwrap().ask(&user("a")).unwrap_err();
    assert!(problem.to_string().contains("(2 tries): status 429: busy"), "{problem}");
    let (url, _asked) = server(vec![(200, "", "{\"choices\": []}".to_owned())]);
    let problem = Client::new(&endpoint(&url), None).unwrap().ask(&user("a")).unwrap_err();
    assert!(problem.to_string().contains("there are no choices"), "{problem}");
    let silent = "{\"choices\": [{\"message\": {\"content\": null}}]}".to_owned();
    let (url, _asked) = server(vec![(200, "", silent)]);
    let problem = Client::new(&endpoint(&url), None).unwrap().ask(&user("a")).unwrap_err();
    assert!(problem.to_string().contains("no content (finish_reason: not told)"), "{problem}");
    let uncounted = "{\"choices\": [{\"message\": {\"content\": \"Alien\"}}]}".to_owned();
    let (url, _asked) = server(vec![(200, "", uncounted)]);
    let budget = Budget { tokens: 100, ..Budget::default() };
    let settings = Endpoint { budget, ..endpoint(&url) };
    let problem = Client::new(&settings, None).unwrap().ask(&user("a")).unwrap_err();
    assert!(problem.to_string().contains("does not count tokens"), "{problem}");
    let (url, _asked) = server(vec![(429, "retry-after: nan\r\n", String::new())]);
    let settings = Endpoint { retries: 0, ..endpoint(&url) };
    assert!(Client::new(&settings, None).unwrap().ask(&user("a")).is_err());
    let settings = Endpoint { replay: true, ..endpoint("http://localhost:1/v1") };
    let problem = Client::new(&settings, None).unwrap().ask(&user("a")).unwrap_err();
    assert!(matches!(problem, Error::NotRecorded { .. }), "{problem}");
    // Nobody listens there any more.
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = Endpoint { retries: 0, ..endpoint(&format!("http://{nowhere}")) };
    let problem = Client::new(&settings, None).unwrap().ask(&user("a")).unwrap_err();
    assert!(matches!(problem, Error::Unreachable { tries: 1, .. }), "{problem}");
}

#[test]
fn answers_that_were_cut_off_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("answers.jsonl");
    let ended = |reason: &str| said("Alien").replace("\"message\"", reason);
    let (url, _asked) = server(vec![
        (200, "", ended("\"finish_reason\": \"length\", \"message\"")),
        (200, "", ended("\"finish_reason\": \"stop\", \"message\"")),
    ]);
    let mut client = Client::new(&endpoint(&url), Some(&record)).unwrap();
    assert!(client.ask(&user("a")).unwrap().cut_off);
    assert!(!client.ask(&user("b")).unwrap().cut_off);
    assert_eq!(client.spent().cut_off, 1);
    let mut again = Client::new(&endpoint(&url), Some(&record)).unwrap();
    assert!(again.ask(&user("a")).unwrap().cut_off);
    assert_eq!((again.spent().requests, again.spent().cut_off), (0, 1));
}

#[test]
fn a_budget_is_kept_and_questions_keep_their_distance() {
    let four = || vec![(200, "", said("Alien")); 4];
    let asked_until = |budget: Budget| {
        let (url, _asked) = server(four());
        let mut client = Client::new(&Endpoint { budget, ..endpoint(&url) }, None).unwrap();
        for n in 0..4 {
            if let Err(error) = client.ask(&user(&n.to_string())) {
                return (n, error.to_string());
            }
        }
        (4, String::new())
    };
    let none = Budget::default();
    assert_eq!(asked_until(none).0, 4);
    let (n, problem) = asked_until(Budget { requests: 2, ..none });
    assert!(n == 2 && problem.contains("2 of 2 requests"), "{problem}");
    let (n, problem) = asked_until(Budget { tokens: 100, ..none });
    assert!(n == 3 && problem.contains("120 of 100 tokens"), "{problem}");
    // 30 tokens for 1 and 10 for 2 a million: 0.00005 a question.
    let prices = Budget { cost: 0.000_06, price_in: 1.0, price_out: 2.0, ..none };
    assert_eq!(asked_until(prices).0, 2);
    let (url, _asked) = server(four());
    let settings = Endpoint { requests_per_minute: 600, ..endpoint(&url) };
    let mut client = Client::new(&settings, None).unwrap();
    let begin = Instant::now();
    for n in 0..3 {
        client.ask(&user(&n.to_string())).unwrap();
    }
    assert!(begin.elapsed() >= Duration::from_millis(200), "{:?}", begin.elapsed());
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let good = || endpoint("http://localhost:1/v1");
    assert!(good().problem().is_none());
    let priceless = Budget { cost: 1.0, ..Budget::default() };
    for (settings, expected) in [
        (Endpoint { url: "localhost".to_owned(), ..good() }, "url is \"localhost\""),
        (Endpoint { model: String::new(), ..good() }, "model is empty"),
        (Endpoint { temperature: 3.0, ..good() }, "temperature is 3"),
        (Endpoint { most_tokens: 0, ..good() }, "most-tokens is 0"),
        (Endpoint { timeout: 0.0, ..good() }, "timeout is 0"),
        (Endpoint { budget: priceless, ..good() }, "cost = 1 without prices"),
    ] {
        let problem = settings.problem().unwrap().to_string();
        assert!(problem.contains(expected), "{problem}");
    }
    let key_variable = "TASTEMAKER_NO_SUCH_KEY".to_owned();
    let problem = Client::new(&Endpoint { key_variable, ..good() }, None).unwrap_err().to_string();
    assert!(problem.contains("\"TASTEMAKER_NO_SUCH_KEY\", which is not set"), "{problem}");
}

fn hub(url: &str, file: Option<&str>) -> Hub {
    Hub {
        url: url.trim_end_matches("/v1").to_owned(),
        model: "someone/Small-LM".to_owned(),
        revision: "main".to_owned(),
        file: file.map(str::to_owned),
        key: Some("secret".to_owned()),
    }
}

fn listing(files: &[&str]) -> String {
    let files: Vec<_> = files.iter().map(|f| format!("{{\"rfilename\": {f:?}}}")).collect();
    format!("{{\"sha\": \"abc1\", \"siblings\": [{}]}}", files.join(", "))
}

#[test]
fn a_model_is_fetched_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["README.md", "config.json", "model.safetensors", "tokenizer.json"];
    let (url, asked) = server(vec![
        (200, "", listing(&files)),
        (200, "", "one".to_owned()),
        (200, "", "two".to_owned()),
        (200, "", "three".to_owned()),
    ]);
    let fetched = hub(&url, None).fetch(folder.path()).unwrap();
    let first = asked.recv().unwrap().0;
    assert!(first.starts_with("GET /api/models/someone/Small-LM/revision/main "), "{first}");
    assert!(first.contains("Bearer secret"), "{first}");
    // The commit, and not the branch, which could move on meanwhile.
    assert!(asked.recv().unwrap().0.starts_with("GET /someone/Small-LM/resolve/abc1/config.json "));
    let own = folder.path().join("small-lm");
    assert_eq!((&fetched.folder, fetched.files.len()), (&own, 3));
    assert_eq!(fs_err::read_to_string(own.join("tokenizer.json")).unwrap(), "two");
    let source = fs_err::read_to_string(own.join("source.json")).unwrap();
    assert!(source.contains("\"commit\": \"abc1\"") && !source.contains("secret"), "{source}");
    let problem = hub(&url, None).fetch(folder.path()).unwrap_err().to_string();
    assert!(problem.contains("remove it"), "{problem}");
    // A single file stands beside what is there.
    let (url, _asked) =
        server(vec![(200, "", listing(&["small-q4.gguf"])), (200, "", "four".to_owned())]);
    hub(&url, Some("small-q4.gguf")).fetch(folder.path()).unwrap();
    assert_eq!(fs_err::read_to_string(own.join("small-q4.gguf")).unwrap(), "four");
    assert!(own.join("small-q4.gguf.source.json").exists() && own.join("config.json").exists());
    assert!(hub(&url, Some("small-q4.gguf")).fetch(folder.path()).is_err());
    // A server that refuses the second file leaves nothing behind.
    let other = tempfile::tempdir().unwrap();
    let answers = vec![
        (200, "", listing(&files)),
        (200, "", "one".to_owned()),
        (403, "", "gated".to_owned()),
    ];
    let problem = hub(&server(answers).0, None).fetch(other.path()).unwrap_err().to_string();
    assert!(problem.contains("403") && problem.contains("gated"), "{problem}");
    assert_eq!(fs_err::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn weights_in_several_files_are_fetched_with_what_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut files = vec!["config.json", "tokenizer.json", "model.safetensors.index.json"];
    files.extend(parts);
    let index = format!("{{\"weight_map\": {{\"a\": {:?}, \"b\": {:?}}}}}", parts[0], parts[1]);
    let before = [(200, "", listing(&files)), (200, "", index.clone())];
    let answers = (0..5).map(|i| (200, "", i.to_string()));
    let answers = before.clone().into_iter().chain(answers).collect();
    let fetched = hub(&server(answers).0, None).fetch(folder.path()).unwrap();
    let names: Vec<&str> = fetched.files.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, files);
    assert_eq!(fs_err::read_to_string(fetched.folder.join(parts[1])).unwrap(), "4");
    // One that the index names and the hub does not have.
    let answers = vec![(200, "", listing(&files[..4])), (200, "", index)];
    let other = tempfile::tempdir().unwrap();
    let problem = hub(&server(answers).0, None).fetch(other.path()).unwrap_err().to_string();
    assert!(problem.contains(parts[1]), "{problem}");
}

#[test]
fn files_that_a_model_does_not_have_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let of = |file: Option<&str>, files: &[&str]| {
        let (url, _asked) = server(vec![(200, "", listing(files))]);
        hub(&url, file).fetch(folder.path()).unwrap_err().to_string()
    };
    let problem = of(None, &["config.json", "small-q4.gguf"]);
    assert!(problem.contains("\"model.safetensors\""), "{problem}");
    assert!(problem.contains("of weights it has small-q4.gguf"), "{problem}");
    assert!(of(Some("small-q8.gguf"), &["small-q4.gguf"]).contains("\"small-q8.gguf\""));
    assert!(of(Some("../x"), &["../x"]).contains("\"../x\""));
    let (url, _) = server(vec![]);
    let bad = Hub { model: "small".to_owned(), ..hub(&url, None) };
    assert!(bad.fetch(folder.path()).unwrap_err().to_string().contains("OWNER/NAME"));
}

#[test]
fn a_run_is_told_in_parts_that_the_server_takes() {
    let none = "{\"error_code\": \"RESOURCE_DOES_NOT_EXIST\"}".to_owned();
    let ok = || (200, "", "{}".to_owned());
    let (url, asked) = server(vec![
        (404, "", none),
        (200, "", "{\"experiment_id\": \"7\"}".to_owned()),
        (200, "", "{\"run\": {\"info\": {\"run_id\": \"abc\"}}}".to_owned()),
        ok(),
        ok(),
        ok(),
        ok(),
    ]);
    let tracked = Tracked {
        experiment: "small & fast".to_owned(),
        name: "decoder seed 1".to_owned(),
        ended: 1_700_000_000_250,
        parameters: (0..101).map(|i| (format!("p{i}"), format!("{i}"))).collect(),
        metrics: vec![
            ("train/epoch/loss".to_owned(), 3, 0.5),
            ("train/epoch/validation".to_owned(), 3, f64::NAN),
        ],
    };
    let tracker = Tracker { url, key: Some("secret".to_owned()) };
    assert_eq!(tracker.log(&tracked).unwrap(), "abc");
    let next = |path: &str| -> serde_json::Value {
        let (head, body) = asked.recv().unwrap();
        assert!(
            head.lines().next().unwrap().contains(&format!("/api/2.0/mlflow/{path}")),
            "{head}"
        );
        assert!(head.to_lowercase().contains("authorization: bearer secret"), "{head}");
        if body.is_empty() { serde_json::Value::Null } else { serde_json::from_str(&body).unwrap() }
    };
    next("experiments/get-by-name?experiment_name=small%20%26%20fast");
    assert_eq!(next("experiments/create")["name"], "small & fast");
    let created = next("runs/create");
    assert_eq!(
        (&created["experiment_id"], &created["run_name"]),
        (&"7".into(), &"decoder seed 1".into())
    );
    assert_eq!(next("runs/log-batch")["params"].as_array().unwrap().len(), 100);
    assert_eq!(next("runs/log-batch")["params"][0]["key"], "p100");
    let metrics = next("runs/log-batch");
    let expected = serde_json::json!(
        [{"key": "train/epoch/loss", "value": 0.5, "step": 3, "timestamp": 1_700_000_000_250_u64}]
    );
    assert_eq!((&metrics["run_id"], &metrics["metrics"]), (&"abc".into(), &expected));
    assert_eq!(next("runs/update")["status"], "FINISHED");
}

#[test]
fn a_tracker_that_refuses_is_told_as_it_says() {
    let (url, _asked) = server(vec![(403, "", "who are you?".to_owned())]);
    let error = Tracker { url, key: None }.log(&Tracked::default()).unwrap_err();
    assert!(error.to_string().ends_with("answers 403: who are you?"), "{error}");
    let (url, _asked) = server(vec![(200, "", "<html>".to_owned())]);
    let error = Tracker { url, key: None }.log(&Tracked::default()).unwrap_err();
    assert!(error.to_string().contains("answers what cannot be read"), "{error}");
}

#[test]
fn a_model_of_a_hub_is_fetched_once_under_its_name() {
    let of = |name: &str| {
        let Hub { model, revision, file, .. } = Hub::named(name).unwrap();
        (model, revision, file)
    };
    let parts = |[model, revision]: [&str; 2], file: Option<&str>| {
        (model.to_owned(), revision.to_owned(), file.map(str::to_owned))
    };
    assert_eq!(of("someone/Small-LM"), parts(["someone/Small-LM", "main"], None));
    let of_file = of("someone/Small-LM@v1/a/q4.gguf");
    assert_eq!(of_file, parts(["someone/Small-LM", "v1"], Some("a/q4.gguf")));
    for wrong in ["", "small", "/small", "someone/", "someone/small@", "someone/small/", "a/.b"] {
        let problem = Hub::named(wrong).unwrap_err().to_string();
        assert!(problem.contains("OWNER/NAME"), "{wrong}: {problem}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (url, _asked) =
        server(vec![(200, "", listing(&["small-q4.gguf"])), (200, "", "four".to_owned())]);
    let small = hub(&url, Some("small-q4.gguf"));
    let there = small.within(folder.path()).unwrap();
    assert_eq!(there, folder.path().join("small-lm/small-q4.gguf"));
    assert!(small.fetch_missing(folder.path()).unwrap().is_some());
    assert_eq!(fs_err::read_to_string(there).unwrap(), "four");
    // The server would answer nothing more.
    assert!(small.fetch_missing(folder.path()).unwrap().is_none());
    let other = Hub { model: "another/small-lm".to_owned(), ..small.clone() };
    let problem = other.fetch_missing(folder.path()).unwrap_err().to_string();
    assert!(problem.contains("someone/Small-LM at main, which is there"), "{problem}");
    for (revision, there) in [("main", true), ("abc1", false), ("v2", false), ("0123456", false)] {
        let other = Hub { revision: revision.to_owned(), ..small.clone() };
        assert_eq!(other.fetch_missing(folder.path()).is_ok(), there, "{revision}");
    }
    // A folder that only has a file is not the model, whose files come beside it.
    let files = ["config.json", "model.safetensors", "tokenizer.json"];
    let answers = files.map(|file| (200, "", file.to_owned()));
    let answers = [(200, "", listing(&files))].into_iter().chain(answers).collect();
    let (url, _asked) = server(answers);
    let whole = hub(&url, None);
    assert!(whole.fetch_missing(folder.path()).unwrap().is_some());
    assert!(whole.fetch_missing(folder.path()).unwrap().is_none());
    let own = folder.path().join("small-lm");
    assert_eq!(fs_err::read_to_string(own.join("small-q4.gguf")).unwrap(), "four");
    assert_eq!(fs_err::read_to_string(own.join("model.safetensors")).unwrap(), "tokenizer.json");
    // What came another way is no revision.
    fs_err::remove_file(own.join("source.json")).unwrap();
    let problem = Hub { revision: "v2".to_owned(), ..whole }.fetch_missing(folder.path());
    assert!(problem.unwrap_err().to_string().contains("no revision of what did not come"));
}
