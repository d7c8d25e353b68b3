//! Rows out of Parquet files, which is how Hugging Face keeps data sets.

use super::rows::{LABEL, Problem, Row, TEXT};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::fs::File;

/// The rows of a file's columns of labels and of texts.
pub(super) fn rows(file: File) -> Result<Vec<Row>, Problem> {
    let file = SerializedFileReader::new(file).map_err(|error| damaged(0, &error))?;
    let schema = file.metadata().file_metadata().schema();
    let names: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let column = |known: &[&str]| {
        let found = names.iter().position(|name| known.contains(&name.to_lowercase().as_str()));
        found.ok_or_else(|| (1, format!("has the columns {}, but no column `{}`", names.join(", "), known[0])))
    };
    let (label, text) = (column(&LABEL)?, column(&TEXT)?);
    let rows = file.get_row_iter(None).map_err(|error| damaged(0, &error))?;
    let row = |(number, row): (usize, Result<parquet::record::Row, ParquetError>)| {
        let row = row.map_err(|error| damaged(number, &error))?;
        let field = |column: usize| row.get_column_iter().nth(column).map(|(_, field)| field);
        let label = field(label)
            .and_then(name)
            .ok_or_else(|| (number + 1, "has a label that is neither a name nor a number of a class".to_owned()))?;
        match field(text) {
            Some(Field::Str(text)) => Ok(Row { line: number + 1, label, text: text.clone() }),
            _ => Err((number + 1, "has a text that is not a string".to_owned())),
        }
    };
    rows.enumerate().map(row).collect()
}

fn damaged(row: usize, error: &ParquetError) -> Problem {
    (row + 1, format!("cannot be read ({error}); fetch the file again, or save it with the compression `snappy`"))
}

/// A label as it stands in other files.
fn name(field: &Field) -> Option<String> {
    match field {
        Field::Str(name) => Some(name.clone()),
        Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_) => Some(field.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TextFormat, Texts};
    use crate::data::Part;
    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::fs::File;
    use std::path::Path;
    use std::sync::Arc;

    /// A file as Hugging Face writes it: texts that may be missing, and numbers of classes.
    fn write(path: &Path, texts: &[Option<&str>], labels: &[i64]) {
        let schema = "message schema { OPTIONAL BYTE_ARRAY sentence (UTF8); REQUIRED INT64 label; }";
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let there: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
        let values: Vec<ByteArray> = texts.iter().flatten().map(|&text| text.into()).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(labels, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn columns_are_texts_and_labels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train-00000-of-00001.parquet");
        write(&path, &[Some("good, \"very\""), Some("bad")], &[1, 0]);
        let data = Texts::load(folder.path(), Part::Train, None).unwrap();
        assert_eq!((data.texts, data.labels), (vec!["good, \"very\"".to_owned(), "bad".to_owned()], vec![1, 0]));
        write(&path, &[Some("good"), None], &[1, 0]);
        let error = Texts::load(&path, Part::Train, None).unwrap_err().to_string();
        assert!(error.contains("parquet:2: has a text that is not a string"), "{error}");
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.parquet");
        write(&path, &[Some("good"), Some("bad")], &[1, 0]);
        let whole = std::fs::read(&path).unwrap();
        for bytes in [&whole[..whole.len() - 9], &whole[..5], b"label,text\n"] {
            std::fs::write(&path, bytes).unwrap();
            let error = Texts::load(&path, Part::Train, Some(TextFormat::Parquet)).unwrap_err().to_string();
            assert!(error.contains("train.parquet:1: cannot be read ("), "{error}");
        }
    }
}
