//! Image files as data and as input: every mode of png and jpeg, several sizes, trees of folders.

use crate::support::{MODEL, Run, STUDENT, built, folder_with, head, refused};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use limbeck_tests::data_folder;
use std::path::Path;

/// Saves an image, making its folder.
fn save(folder: &Path, file: &str, image: impl Into<DynamicImage>) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save(path).unwrap();
}

/// A picture whose bytes follow from its number.
fn picture(width: u32, height: u32, number: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x, y, x + y].map(|v| (v * (number + 3) * 5 + 40 * number) as u8)))
}

/// Two classes of eight pictures in each of two parts, png and jpeg.
fn tree(root: &Path, parts: [&str; 2]) {
    for (part, class, number) in (0..32).map(|n| (parts[n / 16], ["owl", "dove"][n / 8 % 2], n as u32)) {
        let kind = if number % 2 == 0 { "png" } else { "jpg" };
        save(root, &format!("{part}/{class}/{number}.{kind}"), picture(16, 16, number));
    }
}

/// The digests that the shared model has for images of a folder.
fn digests(folder: &Path, images: &str) -> Vec<String> {
    let model = built().join(MODEL);
    let answer = Run::new(folder, &format!("run --json {} {images}", model.display())).answer();
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|result| result["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_mode_of_png_is_the_same_picture() {
    let folder = tempfile::tempdir().unwrap();
    let color = picture(32, 32, 1);
    let wide = |v: u8| u16::from(v) * 257;
    save(folder.path(), "rgb.png", color.clone());
    save(
        folder.path(),
        "rgba.png",
        RgbaImage::from_fn(32, 32, |x, y| {
            let Rgb([r, g, b]) = *color.get_pixel(x, y);
            Rgba([r, g, b, 255])
        }),
    );
    let wide_color: ImageBuffer<Rgb<u16>, _> =
        ImageBuffer::from_fn(32, 32, |x, y| Rgb(color.get_pixel(x, y).0.map(wide)));
    save(folder.path(), "rgb16.png", wide_color);
    let grey = GrayImage::from_fn(32, 32, |x, y| Luma([(x * 7 + y) as u8]));
    save(folder.path(), "grey.png", grey.clone());
    let wide_grey: ImageBuffer<Luma<u16>, _> =
        ImageBuffer::from_fn(32, 32, |x, y| Luma(grey.get_pixel(x, y).0.map(wide)));
    save(folder.path(), "grey16.png", wide_grey);
    save(folder.path(), "grey-as-rgb.png", DynamicImage::ImageLuma8(grey).to_rgb8());
    let colors = digests(folder.path(), "rgb.png rgba.png rgb16.png");
    let greys = digests(folder.path(), "grey.png grey16.png grey-as-rgb.png");
    assert!(colors.iter().all(|digest| *digest == colors[0]) && greys.iter().all(|digest| *digest == greys[0]));
    assert_ne!(colors[0], greys[0]);
    save(folder.path(), "glass.png", RgbaImage::from_pixel(32, 32, Rgba([9, 9, 9, 128])));
    refused(folder.path(), &format!("run {} glass.png", built().join(MODEL).display()), &["glass.png", "see-through"]);
}

#[test]
fn every_mode_of_jpeg_is_read_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "rgb.jpg", picture(40, 24, 2));
    save(folder.path(), "grey.jpeg", GrayImage::from_pixel(32, 32, Luma([128])));
    // Printers' colours, inverted as Adobe stores them: full ink is 0. No ink at all but a half of black is middle grey.
    std::fs::write(folder.path().join("ink.jpg"), ink_jpeg([255, 255, 255, 128])).unwrap();
    save(folder.path(), "grey.png", GrayImage::from_pixel(32, 32, Luma([128])));
    let found = digests(folder.path(), "rgb.jpg grey.jpeg ink.jpg grey.png");
    assert_eq!([&found[1], &found[2]], [&found[3]; 2]);

    let whole = std::fs::read(folder.path().join("rgb.jpg")).unwrap();
    let model = built().join(MODEL);
    let run = |file: &str| format!("run {} {file}", model.display());
    for (file, bytes) in [("head.jpg", &whole[..20]), ("text.png", b"no picture at all"), ("empty.png", b"")] {
        std::fs::write(folder.path().join(file), bytes).unwrap();
        refused(folder.path(), &run(file), &["cannot decode", file]);
    }
    std::fs::write(folder.path().join("half.jpg"), &whole[..whole.len() * 2 / 3]).unwrap();
    refused(folder.path(), &run("half.jpg"), &["half.jpg is cut off"]);
    refused(folder.path(), &run("none.png"), &["cannot read none.png"]);
    refused(folder.path(), &run("."), &["cannot read ."]);
}

/// A jpeg of 8x8 pixels in the four printers' colours, as Adobe's programs write them: a single coefficient each.
fn ink_jpeg(inks: [u8; 4]) -> Vec<u8> {
    let segment = |marker: u8, content: &[u8]| {
        let len = (content.len() as u16 + 2).to_be_bytes();
        [&[0xff, marker], &len[..], content].concat()
    };
    // Twelve codes of four bits for the sizes 0 to 11 of a difference; one code of one bit for the end of a block.
    let sizes = [&[0, 0, 0, 0, 12], &[0; 12][..], &(0..12).collect::<Vec<u8>>()].concat();
    let end = [&[0x10, 1], &[0; 15][..], &[0]].concat();
    let mut bits = String::new();
    for ink in inks {
        // A mean of 8 times the distance from 128, which a quantizer of 8 undoes.
        let value = i32::from(ink) - 128;
        let size = 32 - value.unsigned_abs().leading_zeros();
        bits += &format!("{size:04b}");
        if size > 0 {
            let shown = if value < 0 { value + (1 << size) - 1 } else { value };
            bits += &format!("{shown:0width$b}", width = size as usize);
        }
        bits += "0";
    }
    bits += &"1".repeat((8 - bits.len() % 8) % 8);
    let scan = (0..bits.len() / 8).flat_map(|i| match u8::from_str_radix(&bits[8 * i..8 * i + 8], 2).unwrap() {
        0xff => vec![0xff, 0],
        byte => vec![byte],
    });
    let components: Vec<u8> = (1..=4).flat_map(|id| [id, 0x11, 0]).collect();
    let tables: Vec<u8> = (1..=4).flat_map(|id| [id, 0]).collect();
    [
        vec![0xff, 0xd8],
        segment(0xee, b"Adobe\0\x64\0\0\0\0\0"),
        segment(0xdb, &[&[0], &[8; 64][..]].concat()),
        segment(0xc0, &[&[8, 0, 8, 0, 8, 4], &components[..]].concat()),
        segment(0xc4, &sizes),
        segment(0xc4, &end),
        segment(0xda, &[&[4], &tables[..], &[0, 63, 0]].concat()),
        scan.collect(),
        vec![0xff, 0xd9],
    ]
    .concat()
}

#[test]
fn trees_of_folders_are_data() {
    for parts in [["train", "test"], ["train", "val"]] {
        let folder = folder_with(&(head("path = \"pictures\"") + STUDENT));
        tree(&folder.path().join("pictures"), parts);
        std::fs::write(folder.path().join("pictures/train/owl/notes.txt"), "no picture").unwrap();
        let answer = Run::new(folder.path(), "pack r.toml --json --work w").answer();
        assert_eq!(answer["models"][0]["model"], "w/tiny.lmb");
        let eval = Run::new(folder.path(), "eval w/tiny.lmb --data pictures --json").answer();
        assert_eq!(eval["n"], 16);
        // A tree without parts is judged as a whole, whatever the order of its classes; pictures are scaled.
        let flat = folder.path().join("flat");
        save(&flat, "owl/1.png", picture(48, 20, 1));
        save(&flat, "dove/1.jpeg", picture(7, 9, 2));
        let eval = Run::new(folder.path(), "eval w/tiny.lmb --data flat --format folder --json").answer();
        assert_eq!(eval["n"], 2);
        save(&flat, "wren/1.png", picture(16, 16, 1));
        refused(folder.path(), "eval w/tiny.lmb --data flat", &["tells 2 classes apart", "are of 3"]);
        std::fs::remove_dir_all(flat.join("owl")).unwrap();
        refused(folder.path(), "eval w/tiny.lmb --data flat", &["class `wren`", "dove, owl"]);
    }
}

#[test]
fn sizes_are_one_or_given() {
    let recipe = head("path = \"pictures\"") + STUDENT;
    let folder = folder_with(&recipe);
    let pictures = folder.path().join("pictures");
    tree(&pictures, ["train", "test"]);
    save(&pictures, "train/owl/0.png", picture(16, 20, 1));
    refused(folder.path(), "train r.toml", &["0.png", "16x16", "20x16", "data.size"]);
    std::fs::write(folder.path().join("r.toml"), recipe.replace("\"pictures\"", "\"pictures\"\nsize = [8, 12]"))
        .unwrap();
    assert_eq!(Run::new(folder.path(), "train r.toml").code, Some(0));
}

#[test]
fn data_that_nothing_can_be_learned_from_are_refused() {
    let folder = folder_with(&(head("path = \"pictures\"") + STUDENT));
    let pictures = folder.path().join("pictures");
    let check = |parts: &[&str]| refused(folder.path(), "build r.toml --work w", parts);
    check(&["r.toml:6: `data.path`", "there is no file or folder", "pictures"]);
    std::fs::create_dir(&pictures).unwrap();
    check(&["pictures holds no folders", "one folder for each class"]);
    std::fs::create_dir(pictures.join("owl")).unwrap();
    check(&["owl holds no image"]);
    save(&pictures, "owl/1.png", picture(16, 16, 1));
    check(&["all 1 examples", "one class, `owl`"]);
    save(&pictures, "dove/1.png", picture(16, 16, 2));
    check(&["the same images to learn from and to be judged on", "`train` and `test`"]);
    std::fs::remove_dir_all(&pictures).unwrap();
    tree(&pictures, ["train", "hidden"]);
    check(&["no test part", "`test` or `val`"]);
    tree(&pictures, ["train", "test"]);
    save(&pictures, "test/wren/1.png", picture(16, 16, 2));
    check(&["wren is not among the training classes: dove, owl"]);
    std::fs::remove_dir_all(pictures.join("test/wren")).unwrap();
    std::fs::write(pictures.join("test/owl/1.gif"), "GIF89a").unwrap();
    check(&["1.gif", "save it as png or jpeg"]);
    assert!(std::fs::read_dir(folder.path().join("w")).unwrap().all(|entry| entry.unwrap().file_name() == ".lock"));

    let records = tempfile::tempdir().unwrap();
    std::fs::write(records.path().join("r.toml"), head("path = \"c\"") + STUDENT).unwrap();
    std::fs::create_dir(records.path().join("c")).unwrap();
    let record = |label: u8| [&[label], &[90; 3072][..]].concat();
    for (train, parts) in [
        (vec![], &["c holds no image"][..]),
        ([record(1), record(1)].concat(), &["one class, `automobile`"]),
        ([record(1), record(12)].concat(), &["record 1 of", "data_batch_1.bin", "label 12"]),
        (record(1)[..3000].to_vec(), &["data_batch_1.bin is truncated", "3000"]),
        ([record(1), record(2)].concat(), &["no test part", "test*.bin"]),
    ] {
        std::fs::write(records.path().join("c/data_batch_1.bin"), train).unwrap();
        refused(records.path(), "build r.toml", parts);
    }
}

#[test]
fn photographs_load() {
    let Some(root) = data_folder().filter(|root| root.join("hymenoptera").is_dir()) else { return };
    let path = root.join("hymenoptera");
    let folder = folder_with(&(head(&format!("path = {path:?}\nsize = [64, 64]")) + STUDENT));
    let run = Run::new(folder.path(), "train r.toml");
    assert!(run.code == Some(0) && run.stderr.contains("2 classes, 64x64"), "{run:?}");
}
