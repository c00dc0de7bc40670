use crate::models::model;
use crate::program::Here;
use crate::server::server;

/// A language model over text that is asked about two users.
const STUDY: &str = r#"
[study]
name = "texts"
seeds = [1]
[dataset.synthetic]
users = 60
items = 100
[evaluate]
sampled = 3
users = 2
[[arm]]
name = "asked"
[arm.recommender.text-language-model]
model = "MODEL"
prompt = { template = "llmrank-recency", last-items = 3 }
[[arm]]
name = "most-popular"
recommender = { most-popular = {} }
"#;

/// A place with the study, of a model.
fn here(model: &str) -> Here {
    let here = Here::new();
    fs_err::write(here.path("texts.toml"), STUDY.replace("MODEL", model)).unwrap();
    here
}

#[test]
fn a_model_of_a_hub_is_fetched_before_it_is_asked() {
    let here = here("hub:someone/Small-LM");
    let files = ["config.json", "tokenizer.json", "model.safetensors"];
    let listed = files.map(|file| format!("{{\"rfilename\": {file:?}}}")).join(", ");
    let listing = format!("{{\"sha\": \"abc1\", \"siblings\": [{listed}]}}");
    let unread = (200, "", "{}".to_owned());
    let answers = vec![(200, "", listing), unread.clone(), unread.clone(), unread];
    let (url, asked) = server(answers);
    let train = |arguments: &[&str]| {
        let mut command = here.command(&[&["train", "texts.toml"], arguments].concat());
        let command = command.env("HF_ENDPOINT", url.trim_end_matches("/v1"));
        let output = command.env("HF_TOKEN", "secret").output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // An arm that needs no model fetches none.
    let (code, text) = train(&["--recommender", "most-popular"]);
    assert!(code == Some(0) && asked.try_recv().is_err(), "{text}");
    let (code, text) = train(&["--dry-run"]);
    assert!(text.contains("someone/Small-LM is fetched from http://127.0.0.1"), "{text}");
    assert!(asked.recv().unwrap().0.contains("Bearer secret"));
    // What came is no model, which is found afterwards; the server would answer nothing more.
    for (code, text) in [(code, text), train(&["--dry-run"])] {
        assert!(code == Some(2) && text.contains("models/small-lm"), "{text}");
    }
    let source = fs_err::read_to_string(here.path("models/small-lm/source.json")).unwrap();
    assert!(source.contains("someone/Small-LM") && !source.contains("secret"), "{source}");
    let wrong = "arm.asked.recommender.text-language-model.model=hub:small";
    let error = here.error(&["train", "texts.toml", "--set", wrong]);
    assert!(error.contains("--set:1:") && error.contains("OWNER/NAME"), "{error}");
}

#[test]
fn a_model_tells_what_it_is_told_and_what_it_knows_by_heart() {
    let Some(folder) = model("smollm2-135m-instruct") else { return };
    let model = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf").canonicalize().unwrap();
    let here = here(&model.display().to_string());
    let trained = here.run(&["train", "texts.toml"]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let run = "runs/texts/asked/seed-1";
    let prompt = here.json(&["prompt", run, "--user", "u3"]);
    let text = prompt["text"].as_str().unwrap();
    assert!(text.contains("I have chosen the following, in this order:\n1. "), "{text}");
    assert!(
        (prompt["items"].as_u64(), prompt["n-tokens"].as_u64().unwrap() > 50) == (Some(3), true)
    );
    // What it is told of somebody with a history of their own are these titles.
    let title = text.split("1. ").nth(1).unwrap().lines().next().unwrap();
    let of_title = here.json(&["prompt", run, "--history", title]);
    assert!(of_title["text"].as_str().unwrap().contains(title) && of_title["items"] == 1);
    let error = here.error(&["prompt", run, "--user", "3"]);
    assert!(error.contains("did you mean \"u3\"?"), "{error}");
    let error = here.error(&["prompt", "runs/texts/most-popular/seed-1", "--user", "u3"]);
    assert!(error.contains("most-popular"), "{error}");
    let probe = here.json(&["probe", run, "--items", "4"]);
    assert!(probe["items"] == 4 && probe["prompt"].as_str().unwrap().contains('|'), "{probe}");
    let error = here.error(&["recommend", run, "--user", "u3"]);
    assert!(error.contains("ranks among sampled items alone"), "{error}");
}
