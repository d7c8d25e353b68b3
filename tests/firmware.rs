//! One network, 1000 images: every table of this computer and the emulated Cortex-M4 and M3 must give the same bytes.

use limbeck::data::{Dataset, Part, generate};
use limbeck::verify::exact::{Subject, prove};
use limbeck::verify::host;
use limbeck::watch::Unwatched;
use limbeck_tests::board::{emulated, has_emulator};
use limbeck_tests::{root, skipped};
use std::path::PathBuf;

const IMAGES: usize = 1000;

/// The trained model of the repository.
const MODEL: &str = "models/cifar10-resnet8.lmb";

/// Photographs that the network was not trained on; without them, generated pictures.
fn images() -> Dataset {
    let folder = std::env::var_os("LIMBECK_DATA").map(|folder| PathBuf::from(folder).join("cifar10"));
    let test = match folder.filter(|folder| folder.is_dir()) {
        Some(folder) => Dataset::load(&folder, Part::Test, None, None).unwrap(),
        None => generate(IMAGES, Part::Test, 1),
    };
    test.subset(&(0..IMAGES).collect::<Vec<_>>())
}

/// The file that the program `classify` reads.
fn image_file(images: &Dataset) -> Vec<u8> {
    let mut bytes = b"LIMBIMG1".to_vec();
    bytes.extend((images.len() as u32).to_le_bytes());
    bytes.extend((images.image_len() as u32).to_le_bytes());
    bytes.extend(&images.pixels);
    bytes
}

#[test]
fn a_trained_network_gives_equal_bytes_on_this_computer_and_on_emulated_boards() {
    let (path, images) = (root().join(MODEL), images());
    let bytes = host::read(&path).unwrap();
    let model = host::parse(&path, &bytes).unwrap();
    let (exact, _) =
        prove(&[Subject { file: MODEL, model, names: &[] }], None, &images, &Unwatched::default()).unwrap();
    assert!(exact.tables.iter().any(|run| run.table == "scalar" && run.n == IMAGES));
    if !has_emulator() {
        return skipped("qemu-system-arm is not installed: `cargo xtask setup` does that");
    }
    let check = |board| {
        let answer = emulated(board, &model, "--images", &image_file(&images));
        let line = answer["results"].as_array().unwrap().last().unwrap();
        assert_eq!((&line["images"], &line["digest"]), (&IMAGES.into(), &exact.digest.as_str().into()), "{answer}");
    };
    // A panic in a thread is one of the test: leaving the scope passes it on.
    std::thread::scope(|scope| {
        scope.spawn(|| check("qemu-m4"));
        scope.spawn(|| check("qemu-m3"));
    });
}
