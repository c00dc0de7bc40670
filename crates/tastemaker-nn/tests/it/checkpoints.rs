use std::collections::BTreeMap;

use proptest::prelude::*;
use tastemaker_nn::checkpoint::Checkpoint;

fn checkpoint() -> Checkpoint<String> {
    let tensor = |n: usize| (vec![n], (0..n).map(|i| i as f32 / 3.0).collect());
    Checkpoint {
        about: "a test".to_owned(),
        tensors: BTreeMap::from([("a".to_owned(), tensor(3)), ("b".to_owned(), tensor(50))]),
    }
}

#[test]
fn what_was_written_is_read_and_written_again_as_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    checkpoint().write(&one).unwrap();
    let read = Checkpoint::<String>::read(&one).unwrap();
    assert_eq!(read, checkpoint());
    read.write(&two).unwrap();
    assert_eq!(fs_err::read(&one).unwrap(), fs_err::read(&two).unwrap());
}

proptest! {
    /// Training that goes on compares new validations with the one it reads.
    #[test]
    fn a_number_in_the_description_is_read_as_it_was_written(about in proptest::num::f64::NORMAL) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        Checkpoint { about, tensors: checkpoint().tensors }.write(&path).unwrap();
        let read = Checkpoint::<f64>::read(&path).unwrap().about;
        prop_assert_eq!(read.to_bits(), about.to_bits());
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    checkpoint().write(&path).unwrap();
    let bytes = fs_err::read(&path).unwrap();
    for end in 0..bytes.len() {
        fs_err::write(&path, &bytes[..end]).unwrap();
        let error = Checkpoint::<String>::read(&path).unwrap_err().to_string();
        assert!(error.contains("model.safetensors"), "{error}");
    }
}

#[test]
fn a_missing_or_misshapen_tensor_says_what_was_expected() {
    let path = std::path::Path::new("model.safetensors");
    let missing = checkpoint().tensor(path, "c", &[3]).unwrap_err().to_string();
    assert_eq!(missing, "model.safetensors: tensor c is missing");
    let misshapen = checkpoint().tensor(path, "a", &[4]).unwrap_err().to_string();
    assert_eq!(misshapen, "model.safetensors: tensor a is [3], expected [4]");
}
