//! Image files: single ones, and trees with a folder for each class.

use super::{DataError, Dataset, Part};
use image::{ColorType, DynamicImage, ImageFormat, ImageReader, imageops::FilterType};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Names of image files that can be read.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Names of image files that cannot: told, not passed over.
const FOREIGN: [&str; 9] = ["avif", "bmp", "gif", "heic", "jp2", "ppm", "tif", "tiff", "webp"];
/// Folders that hold the test part, in order of preference.
const TEST_FOLDERS: [&str; 6] = ["test", "val", "valid", "validation", "test_public", "val_public"];
const TRAIN_FOLDER: &str = "train";

/// Reads a png or jpeg file as RGB: greys become equal channels, palettes and 16-bit channels 8-bit colours, and an alpha
/// channel that hides nothing is dropped.
///
/// With `size` (height, width) the image is scaled to it, without keeping its proportions. Returns the bytes and
/// `[height, width]`.
///
/// # Errors
/// If the file cannot be read or decoded, is cut off, or has see-through pixels.
pub fn load_image(path: &Path, size: Option<[usize; 2]>) -> Result<(Vec<u8>, [usize; 2]), DataError> {
    let fail = |source| DataError::Read { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(fail)?;
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(fail)?;
    if reader.format() == Some(ImageFormat::Jpeg) && is_cut(&bytes) {
        return Err(DataError::Cut { path: path.to_owned() });
    }
    let image = reader.decode().map_err(|source| DataError::Decode { path: path.to_owned(), source })?;
    if is_see_through(&image) {
        return Err(DataError::Transparent { path: path.to_owned() });
    }
    let image = DynamicImage::ImageRgb8(image.to_rgb8());
    let found = [image.height() as usize, image.width() as usize];
    match size {
        Some(wanted) if wanted != found => {
            let scaled = image.resize_exact(wanted[1] as u32, wanted[0] as u32, FilterType::Triangle);
            Ok((scaled.into_rgb8().into_raw(), wanted))
        }
        _ => Ok((image.into_rgb8().into_raw(), found)),
    }
}

/// Whether a jpeg ends within its last scan: the decoder would make up the rest in grey. Within a scan, the byte that
/// begins a marker is followed by a zero wherever it does not begin one.
fn is_cut(bytes: &[u8]) -> bool {
    let markers = |marker: u8| bytes.windows(2).rposition(move |pair| pair == [0xff, marker]);
    markers(0xd9) < markers(0xda)
}

fn is_see_through(image: &DynamicImage) -> bool {
    match image.color() {
        ColorType::La8 | ColorType::La16 | ColorType::Rgba8 | ColorType::Rgba16 | ColorType::Rgba32F => {
            image.to_rgba8().pixels().any(|pixel| pixel.0[3] != 255)
        }
        _ => false,
    }
}

/// The images of a part: of `path/train` or `path/test` (or a usual name of it) where there are such folders, else of
/// `path` itself. Classes are the names of the training folders, in alphabetical order.
pub(super) fn load(path: &Path, part: Part, size: Option<[usize; 2]>) -> Result<Dataset, DataError> {
    let train = path.join(TRAIN_FOLDER);
    let has_parts = train.is_dir();
    let train = if has_parts { train } else { path.to_owned() };
    let root = match part {
        Part::Test if has_parts => {
            let test = TEST_FOLDERS.iter().map(|name| path.join(name)).find(|folder| folder.is_dir());
            test.ok_or(DataError::NoPart { path: path.to_owned(), part: "test", expected: "a folder `test` or `val`" })?
        }
        _ => train.clone(),
    };
    let names = |folder: &Path| -> Result<Vec<PathBuf>, DataError> {
        Ok(entries(folder)?.into_iter().filter(|entry| entry.is_dir()).collect())
    };
    let classes: Vec<String> = names(&train)?.iter().map(|folder| name(folder)).collect();
    if classes.is_empty() {
        return Err(DataError::NoClasses { path: train });
    }
    let mut data = Dataset { shape: [0, 0, 3], pixels: Vec::new(), labels: Vec::new(), classes };
    let mut first: Option<PathBuf> = None;
    for folder in names(&root)? {
        let Some(label) = data.classes.iter().position(|class| *class == name(&folder)) else {
            return Err(DataError::UnknownClass { path: folder, classes: data.classes });
        };
        let files = images(&folder)?;
        if files.is_empty() {
            return Err(DataError::Empty { path: folder });
        }
        for file in files {
            let (pixels, found) = load_image(&file, size)?;
            let expected = [data.shape[0], data.shape[1]];
            match &first {
                Some(first) if found != expected => {
                    return Err(DataError::Size { path: file, found, first: first.clone(), expected });
                }
                Some(_) => {}
                None => {
                    data.shape = [found[0], found[1], 3];
                    first = Some(file);
                }
            }
            data.pixels.extend(pixels);
            data.labels.push(label as u32);
        }
    }
    Ok(data)
}

/// The image files of a class folder.
fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = entries(folder)?;
    if let Some(file) = files.iter().find(|file| has_extension(file, &FOREIGN)) {
        return Err(DataError::Foreign { path: file.clone() });
    }
    files.retain(|file| has_extension(file, &EXTENSIONS));
    Ok(files)
}

/// What a folder holds, in order of the names, but for what is hidden.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let fail = |source| DataError::Read { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        entries.push(entry.map_err(fail)?.path());
    }
    entries.retain(|entry| !name(entry).starts_with('.'));
    entries.sort();
    Ok(entries)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    extension.is_some_and(|e| extensions.contains(&e.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};

    fn save(folder: &Path, file: &str, image: DynamicImage) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.save(path).unwrap();
    }

    fn rgb(height: u32, width: u32, color: [u8; 3]) -> DynamicImage {
        DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb(color)))
    }

    #[test]
    fn folders_are_classes() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "train/owl/a.png", rgb(2, 3, [1, 2, 3]));
        save(folder.path(), "train/dove/b.png", DynamicImage::ImageLuma8(GrayImage::from_pixel(3, 2, Luma([9]))));
        save(
            folder.path(),
            "val/owl/c.png",
            DynamicImage::ImageRgba8(RgbaImage::from_pixel(3, 2, Rgba([5, 6, 7, 255]))),
        );
        save(folder.path(), "val/dove/d.png", rgb(2, 3, [8, 8, 8]));
        fs::write(folder.path().join("train/owl/notes.txt"), "not an image").unwrap();
        let train = Dataset::load(folder.path(), Part::Train, None, None).unwrap();
        assert_eq!((train.shape, &train.classes[..]), ([2, 3, 3], &["dove".to_owned(), "owl".to_owned()][..]));
        assert_eq!(
            (&train.labels[..], &train.image(0)[..3], &train.image(1)[..3]),
            (&[0, 1][..], &[9; 3][..], &[1, 2, 3][..])
        );
        let test = Dataset::load(folder.path(), Part::Test, None, None).unwrap();
        assert_eq!((&test.labels[..], &test.image(1)[..3]), (&[0, 1][..], &[5, 6, 7][..]));
    }

    #[test]
    fn other_sizes_need_a_size() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "a/1.png", rgb(4, 4, [10, 20, 30]));
        save(folder.path(), "b/1.png", rgb(4, 6, [10, 20, 30]));
        let error = Dataset::load(folder.path(), Part::Train, None, None).unwrap_err().to_string();
        assert!(error.contains("4x6") && error.contains("4x4") && error.contains("give a size"), "{error}");
        let data = Dataset::load(folder.path(), Part::Train, None, Some([2, 2])).unwrap();
        assert_eq!((data.shape, data.len(), data.image(1)[..3].to_vec()), ([2, 2, 3], 2, vec![10, 20, 30]));
    }

    #[test]
    fn bad_images_are_told() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "a/1.png", rgb(4, 4, [1, 1, 1]));
        let load = || Dataset::load(folder.path(), Part::Train, None, None).unwrap_err().to_string();
        assert!(load().contains("one class, `a`"), "{}", load());
        save(folder.path(), "b/1.png", DynamicImage::ImageRgba8(RgbaImage::from_pixel(4, 4, Rgba([1, 2, 3, 200]))));
        assert!(load().contains("see-through"), "{}", load());
        fs::write(folder.path().join("b/1.png"), b"\x89PNG\r\n\x1a\n but no more").unwrap();
        assert!(load().contains("cannot decode") && load().contains("1.png"), "{}", load());
        fs::rename(folder.path().join("b/1.png"), folder.path().join("b/1.webp")).unwrap();
        assert!(load().contains("1.webp") && load().contains("save it as png or jpeg"), "{}", load());
        fs::rename(folder.path().join("b/1.webp"), folder.path().join("b/.1.png")).unwrap();
        assert!(load().contains("b holds no image"), "{}", load());
        fs::remove_dir_all(folder.path().join("b")).unwrap();
        fs::remove_dir_all(folder.path().join("a")).unwrap();
        assert!(load().contains("one folder for each class"), "{}", load());
    }
}
