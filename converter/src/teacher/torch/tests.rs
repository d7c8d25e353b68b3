//! Files of `torch.save`, whole, damaged and hostile. `bert.bin` and `bert_before_1_6.bin` were written by PyTorch 2.15.

use super::*;

const ARCHIVE: &[u8] = include_bytes!("bert.bin");
const OLDER: &[u8] = include_bytes!("bert_before_1_6.bin");

#[test]
fn both_forms_hold_the_same_tensors() {
    let [archive, older] = [ARCHIVE, OLDER].map(|bytes| Checkpoint::read(bytes).unwrap());
    assert!(archive.names().eq(older.names()) && archive.names().count() > 40);
    for name in archive.names() {
        let ((shape, dtype), (older_shape, older_dtype)) =
            (archive.describe(name).unwrap(), older.describe(name).unwrap());
        assert_eq!(shape, older_shape, "{name}");
        if name.ends_with("position_ids") {
            assert_eq!((dtype, older_dtype, archive.floats(name).unwrap()), (Dtype::I64, Dtype::I64, None));
            continue;
        }
        assert_eq!((dtype, older_dtype), (Dtype::F32, Dtype::F16), "{name}");
        let [whole, half] = [&archive, &older].map(|file| file.floats(name).unwrap().unwrap());
        assert_eq!(whole.len(), shape.iter().product::<usize>());
        assert!(whole.iter().zip(&half).all(|(a, b)| (a - b).abs() <= 1e-3 * a.abs()), "{name}");
    }
    assert_eq!(archive.floats("nothing").unwrap(), None);
}

#[test]
fn cut_and_changed_files_are_errors_or_other_numbers_but_never_more() {
    for whole in [ARCHIVE, OLDER] {
        for len in (0..whole.len()).step_by(7) {
            assert!(Checkpoint::read(&whole[..len]).is_err(), "cut to {len}");
        }
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.to_vec();
            changed[at] ^= 0x55;
            if let Ok(file) = Checkpoint::read(&changed) {
                file.names().for_each(|name| drop(file.floats(name)));
            }
        }
    }
}

/// The older form around a dictionary.
fn older(dictionary: &[u8]) -> Vec<u8> {
    let plain = b"\x80\x02}.";
    [
        MAGIC,
        plain,
        plain,
        b"\x80\x02",
        dictionary,
        b".",
        b"\x80\x02](X\x01\x00\x00\x000e.",
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[0; 4],
    ]
    .concat()
}

/// A dictionary with a tensor `w` of these parts, each as an instruction.
fn tensor(offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let name = b"}(X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(";
    let storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ";
    [&name[..], storage, offset, shape, strides, b"\x89)tRu"].concat()
}

#[test]
fn tensors_stay_within_their_storage() {
    let read = |offset: &[u8], shape: &[u8], strides: &[u8]| {
        Checkpoint::read(&older(&tensor(offset, shape, strides))).and_then(|file| file.floats("w"))
    };
    assert_eq!(read(b"K\x00", b"K\x01\x85", b"K\x01\x85").unwrap().unwrap(), [0.0]);
    assert_eq!(read(b"K\x00", b")", b")").unwrap().unwrap(), [0.0]);
    let beyond: [[&[u8]; 3]; 4] = [
        [b"K\x01", b"K\x01\x85", b"K\x01\x85"],
        [b"K\x00", b"K\x02\x85", b"K\x01\x85"],
        // Many elements of one number, and more of them than can be counted.
        [b"K\x00", b"J\xff\xff\xff\x7f\x85", b"K\x00\x85"],
        [
            b"K\x00",
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86",
            b"K\x00K\x00\x86",
        ],
    ];
    for [offset, shape, strides] in beyond {
        let error = read(offset, shape, strides).unwrap_err();
        assert!(matches!(&error, TorchError::Beyond { len: 4, .. }), "{error}");
    }
    for (shape, strides) in [(&b"J\xff\xff\xff\xff\x85"[..], &b"K\x01\x85"[..]), (b"K\x01\x85", b")")] {
        assert!(matches!(read(b"K\x00", shape, strides), Err(TorchError::Damaged { .. })));
    }
}

#[test]
fn what_does_not_describe_tensors_is_refused() {
    let rows: [(&[u8], &str); 8] = [
        (b"cos\nsystem\n(X\x04\x00\x00\x00truetR", "`os.system`"),
        (b"cbuiltins\neval\n", "`builtins.eval`"),
        (b"}i", "instruction 0x69"),
        (b"(lp0\n", "instruction 0x6c"),
        (b"K\x01", "something else than a dictionary"),
        (b"K\x01}b", "attributes of an object"),
        (b"ctorch\nFloatStorage\n)R", "called with something else"),
        (b"}(K\x01u", "belong to no dictionary"),
    ];
    for (dictionary, problem) in rows {
        let error = Checkpoint::read(&older(dictionary)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}, expected {problem}");
    }
    for deep in [[&b"K\x01"[..], &b"\x85".repeat(200)].concat(), b"K\x01q\x00h\x00\x86".repeat(100)] {
        let error = Checkpoint::read(&older(&deep)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("nested too deeply") || error.contains("something else"), "{error}");
    }
    assert!(Checkpoint::read(b"not a file").is_err() && Checkpoint::read(b"PK\x03\x04").is_err());
}
