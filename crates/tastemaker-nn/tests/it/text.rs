use candle_core::{D, Device, Tensor, Var};
use tastemaker_nn::composite;
use tastemaker_nn::fused::{
    Activation, Epsilon, Lanes, PostNormBlock, PostNormShape, PostNormWeights, Precision,
    post_norm_blocks,
};
use tastemaker_nn::text::{Division, SentenceEncoder, TextTokenizer};

use crate::fused::{difference, random, values};
use crate::models::model;

#[derive(serde::Deserialize)]
struct Golden {
    texts: Vec<String>,
    tokens: Vec<Vec<u32>>,
    embeddings: Vec<Vec<f32>>,
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("../golden/embeddings.json")).unwrap()
    }

    /// Each text with its embedding in `found` and the one that it should have.
    fn beside<'a>(
        &'a self,
        found: &'a [f32],
    ) -> impl Iterator<Item = (&'a String, &'a [f32], &'a [f32])> {
        let pairs = found.chunks_exact(384).zip(&self.embeddings);
        self.texts.iter().zip(pairs).map(|(text, (found, expected))| (text, found, &expected[..]))
    }
}

/// Of vectors of length 1.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn embeddings_are_those_of_sentence_transformers() {
    let Some(folder) = model("all-minilm-l6-v2") else { return };
    let golden = Golden::read();
    let encoder = SentenceEncoder::read(&folder, Precision::F32).unwrap();
    assert_eq!((encoder.width(), encoder.longest()), (384, 256));
    assert_eq!(encoder.tokenizer().encode(&golden.texts).unwrap(), golden.tokens);
    let embeddings = encoder.encode(&golden.texts).unwrap();
    for (text, found, expected) in golden.beside(&embeddings) {
        let cosine = cosine(found, expected);
        assert!((cosine - 1.0).abs() < 1e-6, "{text:?}: cosine {cosine}");
        let furthest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 2e-6, "{text:?}: a number is {furthest} away");
    }
    // Alone or beside others, the embedding of a text is the same.
    let alone = encoder.encode(&golden.texts[1..2]).unwrap();
    assert!(alone == embeddings[384..2 * 384]);
}

/// What rounding factors leaves of embeddings: far less than what tells texts apart.
#[test]
fn embeddings_in_bf16_are_nearly_those_of_sentence_transformers() {
    let Some(folder) = model("all-minilm-l6-v2") else { return };
    let golden = Golden::read();
    let encoder = SentenceEncoder::read(&folder, Precision::Bf16).unwrap();
    let embeddings = encoder.encode(&golden.texts).unwrap();
    for (text, found, expected) in golden.beside(&embeddings) {
        let cosine = cosine(found, expected);
        assert!((cosine - 1.0).abs() < 1e-4, "{text:?}: cosine {cosine}");
    }
    let other = SentenceEncoder::read(&folder, Precision::F32).unwrap();
    assert_ne!(encoder.hash(), other.hash(), "what is kept of one is not read for the other");
}

#[test]
fn a_post_norm_block_is_its_composite() {
    const SHAPE: PostNormShape = PostNormShape { width: 24, heads: 3, inner: 40, epsilon: 1e-5 };
    let lanes = Lanes::new(vec![3, 1, 17, 150, 9, 30, 2]);
    let n = lanes.n_tokens();
    let layer = |name: &str, outputs: usize, inputs: usize| {
        (random(name, &[outputs, inputs], 0.3), random(&format!("{name} bias"), &[outputs], 0.3))
    };
    let norm =
        |name: &str| (random(name, &[24], 1.0), random(&format!("{name} shift"), &[24], 1.0));
    let (qkv, out) = (layer("qkv", 72, 24), layer("out", 24, 24));
    let (into, out_of) = (layer("into", 40, 24), layer("out of", 24, 40));
    let norms = [norm("first"), norm("second")];
    let x = random("x", &[n, 24], 1.0);

    let linear = |x: &Tensor, (weight, bias): &(Var, Var), activation| {
        composite::linear(x, weight, bias, activation).unwrap()
    };
    let heads = |x: &Tensor| x.reshape((n, 3, 8)).unwrap().transpose(0, 1).unwrap().contiguous();
    let rows = linear(&x, &qkv, Activation::None);
    let [q, k, v] = [0, 1, 2].map(|i| heads(&rows.narrow(1, i * 24, 24).unwrap()).unwrap());
    let of: Vec<usize> =
        lanes.lengths().iter().enumerate().flat_map(|(i, &length)| vec![i; length]).collect();
    let mask: Vec<f32> =
        (0..n * n).map(|i| if of[i / n] == of[i % n] { 0.0 } else { -1e30 }).collect();
    let mask = Tensor::from_vec(mask, (n, n), &Device::Cpu).unwrap();
    let scores = (q.matmul(&k.t().unwrap()).unwrap() / 8_f64.sqrt()).unwrap();
    let scores = scores.broadcast_add(&mask).unwrap();
    let powers = scores.broadcast_sub(&scores.max_keepdim(D::Minus1).unwrap()).unwrap();
    let powers = powers.exp().unwrap();
    let looks = powers.broadcast_div(&powers.sum_keepdim(D::Minus1).unwrap()).unwrap();
    let found = looks.matmul(&v).unwrap().transpose(0, 1).unwrap().reshape((n, 24)).unwrap();
    let sum = x.add(&linear(&found, &out, Activation::None)).unwrap();
    let middle =
        composite::layer_norm(&sum, (&norms[0].0, &norms[0].1), Epsilon::default()).unwrap();
    let active = linear(&middle, &into, Activation::Gelu);
    let sum = middle.add(&linear(&active, &out_of, Activation::None)).unwrap();
    let expected =
        composite::layer_norm(&sum, (&norms[1].0, &norms[1].1), Epsilon::default()).unwrap();

    let both = |(a, b): &(Var, Var)| (values(a), values(b));
    let weights = PostNormWeights {
        qkv: both(&qkv),
        out: both(&out),
        attention_norm: both(&norms[0]),
        into: both(&into),
        out_of: both(&out_of),
        feed_forward_norm: both(&norms[1]),
    };
    let block = PostNormBlock::new(SHAPE, weights, Precision::F32);
    let mut found = values(&x);
    post_norm_blocks(&[block], &lanes, &mut found);
    let found = Tensor::from_vec(found, (n, 24), &Device::Cpu).unwrap();
    assert!(difference(&found, &expected) < 2e-5, "{}", difference(&found, &expected));
}

#[test]
fn a_folder_that_is_no_such_model_is_refused_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |expected: &str| {
        let error = SentenceEncoder::read(folder.path(), Precision::F32).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused("config.json");
    let config = |kind: &str, act: &str, heads: usize| {
        let config = serde_json::json!({
            "model_type": kind, "hidden_size": 8, "num_hidden_layers": 1, "hidden_act": act,
            "num_attention_heads": heads, "intermediate_size": 16, "layer_norm_eps": 1e-12,
            "max_position_embeddings": 16, "type_vocab_size": 2, "vocab_size": 10,
        });
        fs_err::write(folder.path().join("config.json"), config.to_string()).unwrap();
    };
    config("t5", "gelu", 2);
    refused("model_type is \"t5\", expected \"bert\"");
    config("bert", "relu", 2);
    refused("hidden_act is \"relu\", expected \"gelu\"");
    config("bert", "gelu", 3);
    refused("hidden_size 8 cannot be divided among 3 heads");
    config("bert", "gelu", 2);
    refused("model.safetensors");
    fs_err::write(folder.path().join("model.safetensors"), b"no model").unwrap();
    refused("this is no whole safetensors file (8 bytes");
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Dense"}]"#;
    fs_err::write(folder.path().join("modules.json"), modules).unwrap();
    refused("module \"sentence_transformers.models.Dense\" cannot be run");
    let modules = r#"[{"path": "p", "type": "sentence_transformers.models.Pooling"}]"#;
    fs_err::write(folder.path().join("modules.json"), modules).unwrap();
    fs_err::create_dir(folder.path().join("p")).unwrap();
    let pooling = r#"{"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}"#;
    fs_err::write(folder.path().join("p/config.json"), pooling).unwrap();
    refused("pooling is by \"max_tokens, mean_tokens\"");
}

#[test]
fn tokenizers_learn_pairs_by_how_often_they_stand_together() {
    // The example of Sennrich et al. 2016, without their mark at the end of words.
    let words = [("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)];
    let texts: Vec<String> =
        words.iter().flat_map(|(word, n)| std::iter::repeat_n((*word).to_owned(), *n)).collect();
    // 256 bytes and, by counts: es or st 9 and then est 9, lo 7, low 7, then n, e, w, est of newest 6.
    let bytes = TextTokenizer::train(Division::Bpe, 256 + 7, &texts).unwrap();
    assert_eq!(bytes.n_tokens(), 256 + 7);
    for token in ["est", "low", "newest"] {
        assert!(bytes.token(token).is_some(), "{token}");
    }
    assert!(bytes.token("lower").is_none() && bytes.token("widest").is_none());
    let (tokens, text) = (bytes.encode(&["lowest, wörd"]).unwrap().concat(), "lowest, wörd");
    assert_eq!(tokens[..2], [bytes.token("low").unwrap(), bytes.token("est").unwrap()]);
    assert_eq!(bytes.decode(&tokens).unwrap(), text);
    // 10 letters, 9 of them inside words, [UNK], and 5 pairs.
    let pieces = TextTokenizer::train(Division::WordPiece, 25, &texts).unwrap();
    let tokens = pieces.encode(&["Lowest", "x"]).unwrap();
    let token = |text: &str| pieces.token(text).unwrap();
    assert_eq!(tokens, [vec![token("low"), token("##est")], vec![token("[UNK]")]]);
    // The same texts, the same tokenizer; written and read, too.
    let folder = tempfile::tempdir().unwrap();
    for (division, n, learnt) in [(Division::Bpe, 263, bytes), (Division::WordPiece, 25, pieces)] {
        let own = ["</s>".to_owned()];
        let learnt = learnt.with_tokens(&own, true).unwrap();
        let learnt = learnt.with_tokens(&["<7>".to_owned()], false).unwrap();
        let again = TextTokenizer::train(division, n, &texts).unwrap();
        let again = again.with_tokens(&own, true).unwrap();
        let again = again.with_tokens(&["<7>".to_owned()], false).unwrap();
        let path = |name: &str| folder.path().join(name);
        learnt.write(&path("one.json")).unwrap();
        again.write(&path("two.json")).unwrap();
        let bytes = |name: &str| fs_err::read(path(name)).unwrap();
        assert!(bytes("one.json") == bytes("two.json"), "{division:?}");
        let read = TextTokenizer::read(&path("one.json"), usize::MAX).unwrap();
        let text = ["newest low<7>lower</s>"];
        let tokens = read.encode(&text).unwrap();
        assert_eq!(tokens, learnt.encode(&text).unwrap());
        assert!(tokens[0].contains(&learnt.token("<7>").unwrap()));
        assert_eq!(tokens[0].last().copied(), learnt.token("</s>"));
    }
    let problem = TextTokenizer::train(Division::Bpe, 100, &texts).unwrap_err().to_string();
    assert!(problem.contains("at least 256"), "{problem}");
}
