//! Bad recipes, teachers, models and targets: each is refused with the place and the remedy, and nothing is lost.

use crate::support::{MODEL, Run, STUDENT, TEACHER, built, folder_with, head, refused, tiny};
use limbeck::families::{self, Task};
use limbeck::graph::Graph;
use limbeck::teacher::safetensors;

const SMALL: &str = "generated = { train = 64, test = 16 }";

/// A network for the generated task, or for another number of classes.
fn network(name: &str, classes: usize) -> Graph {
    families::build(name, &Task::of_images([32, 32, 3], classes), 7).unwrap()
}

#[test]
fn bad_recipes_are_refused_before_any_work() {
    let rows = [
        ("network", "netwrok", &["r.toml:8: unknown key `netwrok`", "did you mean `network`?"][..]),
        ("views = 2", "views = 0", &["r.toml:3: `label.views`", "at least one"]),
        ("views = 2", "views = \"two\"", &["r.toml:3: `label.views`", "expected"]),
        ("qemu-m4", "qemu-m44", &["r.toml:2: `targets`", "qemu-m44", "there are qemu-m4, "]),
        ("resnet8-8", "resnet9", &["`resnet9`", "there are: resnet8-8, resnet8"]),
        ("batch = 32", "batch = 0", &["`batch` is 0"]),
        ("\"tiny\"", "\"../tiny\"", &["r.toml:1: `name`", "letters, digits"]),
        ("train = 96", "train = 1", &["`data.generated`", "8 examples"]),
        ("[data]", "[data", &["r.toml:5"]),
    ];
    for (good, bad, parts) in rows {
        let folder = folder_with(&tiny().replacen(good, bad, 1));
        refused(folder.path(), "build r.toml", parts);
        assert!(!folder.path().join("limbeck-out").exists(), "{bad}");
    }
    let folder = folder_with(&tiny());
    refused(folder.path(), "build none.toml", &["cannot read the recipe none.toml"]);
    refused(folder.path(), "build .", &["cannot read the recipe ."]);
    std::fs::write(folder.path().join("r.toml"), head("path = \"${LIMBECK_NOWHERE}/x\"") + STUDENT).unwrap();
    refused(folder.path(), "build r.toml", &["`data.path`", "export LIMBECK_NOWHERE="]);
}

#[test]
fn teachers_that_do_not_fit_are_told() {
    let teacher = "[[teacher]]\nweights = \"t.safetensors\"\n";
    let named = format!("{teacher}network = \"resnet8-8\"\n");
    let folder = folder_with(&(head(SMALL) + &named + STUDENT));
    let check = |parts: &[&str]| refused(folder.path(), "label r.toml --work w", parts);
    check(&["r.toml:8: `teacher.weights`: there is no file", "t.safetensors"]);
    let path = folder.path().join("t.safetensors");
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    let good = safetensors::to_bytes(&network("resnet8-8", 8));
    let mut nan = good.clone();
    let last = nan.len() - 4;
    nan[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    for (bytes, parts) in [
        (&good[..good.len() / 2], &["t.safetensors: not a whole .safetensors file", "fetch it again"][..]),
        (&good[..3], &["not a whole"]),
        (&[], &["not a whole"]),
        (&nan, &["t.safetensors: tensor", "holds NaN at"]),
        (&safetensors::to_bytes(&network("resnet8-8", 10)), &["`resnet8-8` for 10 classes", "the data have 8"]),
        (&safetensors::to_bytes(&network("resnet8", 8)), &["tensor `", "has shape", "`resnet8-8` needs"]),
        (&safetensors::to_bytes(&network("resnet20", 8)), &["tensors", "`resnet8-8`"]),
    ] {
        write(bytes);
        check(parts);
    }
    let is_hidden =
        |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().starts_with('.');
    assert!(std::fs::read_dir(folder.path().join("w")).unwrap().all(is_hidden), "nothing was made");
    write(&good);
    assert_eq!(Run::new(folder.path(), "label r.toml --work w").code, Some(0));

    // Without a name, the tensors tell what the network is.
    std::fs::write(folder.path().join("r.toml"), head(SMALL) + teacher + STUDENT).unwrap();
    let answer = Run::new(folder.path(), "train r.toml --json --work w").answer();
    assert_eq!(answer["teachers"][0], "resnet8-8");
    write(&safetensors::to_bytes(&network("resnet8", 10)));
    check(&["`resnet8` for 10 classes", "the data have 8"]);
}

#[test]
#[cfg(feature = "onnx")]
fn onnx_teachers_that_do_not_fit_are_told() {
    use limbeck::teacher::onnx::export;
    let folder = folder_with(&(head(SMALL) + "[[teacher]]\nweights = \"t.onnx\"\n" + STUDENT));
    let check = |parts: &[&str]| refused(folder.path(), "label r.toml --work w", parts);
    check(&["r.toml:8: `teacher.weights`: there is no file", "t.onnx"]);
    let path = folder.path().join("t.onnx");
    let graph = network("resnet8-8", 8);
    export(&graph, &path).unwrap();
    let good = std::fs::read(&path).unwrap();
    assert_eq!(Run::new(folder.path(), "label r.toml --work w").code, Some(0));

    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    check(&["t.onnx"]);
    std::fs::write(&path, b"").unwrap();
    check(&["t.onnx"]);
    let (_, weights) = graph.params().max_by_key(|(_, tensor)| tensor.data().len()).unwrap();
    // Not the first number: only its own bytes are looked for, and zeros are everywhere.
    let number = weights.data()[1].to_le_bytes();
    let at = good.windows(4).position(|bytes| bytes == number).expect("weights are stored as they are");
    let mut nan = good.clone();
    nan[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, nan).unwrap();
    check(&["t.onnx", "NaN"]);
    export(&network("resnet8-8", 10), &path).unwrap();
    check(&["t.onnx", "10", "8 classes"]);
    export(&families::build("resnet8-8", &Task::of_images([16, 16, 3], 8), 7).unwrap(), &path).unwrap();
    // Images are scaled to what the file takes, but not if the recipe says otherwise.
    assert_eq!(Run::new(folder.path(), "label r.toml --work w").code, Some(0));
    let sized = "[[teacher]]\nweights = \"t.onnx\"\nsize = [32, 32]\n";
    std::fs::write(folder.path().join("r.toml"), head(SMALL) + sized + STUDENT).unwrap();
    check(&["t.onnx", "16", "32x32x3"]);
}

#[test]
fn models_that_are_damaged_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(built().join(MODEL)).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 4;
    for (bytes, part) in [(&good[..good.len() - 1], "m.lmb is refused"), (&flipped, "m.lmb is refused"), (&[], "m.lmb")]
    {
        std::fs::write(folder.path().join("m.lmb"), bytes).unwrap();
        for command in ["inspect", "verify", "bench", "fit --target qemu-m4", "eval --data generated"] {
            refused(folder.path(), &format!("{command} m.lmb"), &[part]);
        }
    }
    refused(folder.path(), "inspect none.lmb", &["cannot read none.lmb"]);
    refused(folder.path(), "eval none.lmb --data generated", &["cannot read none.lmb"]);
}

#[test]
fn a_target_that_is_too_small_is_told_with_what_would_fit() {
    let wide = "[student]\nnetwork = \"resnet8-40\"\ntrain = { epochs = 200, batch = 16 }\n";
    let recipe = head(SMALL).replace("\"qemu-m4\"", "\"stm32f446re-nucleo\"") + TEACHER + wide;
    let folder = folder_with(&recipe);
    // Told at once, though the training would take long.
    let run = Run::new(folder.path(), "build r.toml --json --work w");
    let text = run.error(1);
    for part in
        ["does not fit `stm32f446re-nucleo`", "bytes, ", " more than the ", "% of the channels would fit", "it fits "]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(!folder.path().join("w/teacher1.safetensors").exists(), "{text}");

    let recipe = head(SMALL).replace(", \"qemu-m4\"", "") + &wide.replace("200", "1");
    std::fs::write(folder.path().join("r.toml"), recipe).unwrap();
    assert_eq!(Run::new(folder.path(), "pack r.toml --work w").code, Some(0));
    let run = Run::new(folder.path(), "fit w/tiny.lmb --target stm32f446re-nucleo --json");
    assert!(run.code == Some(1) && run.json()["fits"] == false, "{run:?}");
    let problem = run.json()["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains(" more than the ") && run.stderr.contains(&problem), "{run:?}");
    refused(folder.path(), "fit w/tiny.lmb --target stm32f447", &["stm32f447", "stm32f446re-nucleo"]);
}

#[test]
fn images_of_another_kind_than_the_model_takes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = built().join(MODEL);
    for (class, number) in [("a", 1), ("b", 2)] {
        std::fs::create_dir_all(folder.path().join("d").join(class)).unwrap();
        let picture = image::RgbImage::from_pixel(8, 8, image::Rgb([number; 3]));
        picture.save(folder.path().join("d").join(class).join("1.png")).unwrap();
    }
    for command in ["eval", "verify"] {
        let words = format!("{command} {} --data d", model.display());
        refused(folder.path(), &words, &["tells 8 classes apart", "are of 2"]);
        refused(folder.path(), &format!("{command} {} --data none", model.display()), &["none"]);
    }
}
