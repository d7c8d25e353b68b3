//! One network, 1000 images: every table of this computer and the emulated Cortex-M4 and M3 must give the same bytes.

use limbeck::data::{Dataset, Part, generate};
use limbeck::verify::exact::{Subject, prove};
use limbeck::verify::host;
use limbeck::verify::relayout::relayout;
use limbeck::watch::Unwatched;
use limbeck_runtime::{AlignedBytes, Isa, Layout, Model};
use limbeck_targets::Target;
use limbeck_tests::skipped;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const IMAGES: usize = 1000;

/// The trained model of the repository.
const MODEL: &str = "models/cifar10-resnet8.lmb";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

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

/// What `classify` prints on an emulated board, whose table reads the model in its own layout.
fn emulated(board: &str, model: &Model<'_>, images: &Dataset) -> Value {
    let layout = Isa::by_name(Target::find(board).unwrap().isa()).unwrap().layout();
    let folder = tempfile::tempdir().unwrap();
    let [file, pictures] = ["model.lmb", "images.bin"].map(|name| folder.path().join(name));
    std::fs::write(&file, &in_layout(model, layout)[..]).unwrap();
    std::fs::write(&pictures, image_file(images)).unwrap();
    let mut xtask = Command::new(env!("CARGO"));
    xtask.current_dir(root()).args(["xtask", "emu", "--json", "--digest", "--board", board]);
    let done = xtask.arg("--model").arg(file).arg("--images").arg(pictures).output().unwrap();
    assert!(done.status.success(), "{board}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn in_layout(model: &Model<'_>, layout: Layout) -> AlignedBytes {
    relayout(model, layout).unwrap()
}

fn has_emulator() -> bool {
    Command::new("qemu-system-arm").arg("--version").output().is_ok_and(|done| done.status.success())
}

#[test]
fn a_trained_network_gives_equal_bytes_on_this_computer_and_on_emulated_boards() {
    let (path, images) = (root().join(MODEL), images());
    let bytes = host::read(&path).unwrap();
    let model = host::parse(&path, &bytes).unwrap();
    let (exact, _) =
        prove(&[Subject { file: MODEL, model, names: &[] }], None, &images, &Unwatched::default()).unwrap();
    assert!(exact.tables.iter().any(|run| run.table == "scalar" && run.images == IMAGES));
    if !has_emulator() {
        return skipped("qemu-system-arm is not installed: `cargo xtask setup` does that");
    }
    let check = |board| {
        let answer = emulated(board, &model, &images);
        let line = answer["results"].as_array().unwrap().last().unwrap();
        assert_eq!((&line["images"], &line["digest"]), (&IMAGES.into(), &exact.digest.as_str().into()), "{answer}");
    };
    // A panic in a thread is one of the test: leaving the scope passes it on.
    std::thread::scope(|scope| {
        scope.spawn(|| check("qemu-m4"));
        scope.spawn(|| check("qemu-m3"));
    });
}
