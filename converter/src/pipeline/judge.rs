//! The last stages: what was made is verified, judged against the recipe's bars, and described.

use super::describe::{self, Said};
use super::label::Views;
use super::{Build, BuildError, Data, Packed, Planned, Quantized, Student, Teachers};
use crate::artifact::{Key, write_whole};
use crate::data::{Inputs, Reader};
use crate::distill::{LabelSettings, Precision};
use crate::graph::Graph;
use crate::teacher::Teacher;
use crate::verify::accuracy::{agreement, score};
use crate::verify::exact::{self, Subject};
use crate::verify::host::{self, HostError};
use crate::verify::record::{
    Agreement, Bar, DataRecord, InputRecord, Measured, ModelRecord, Network, Record, TextRecord, Training,
};
use crate::verify::report::{self, Found};
use crate::verify::timing::{self, Effort};
use crate::watch::Stage;
use limbeck_runtime::quant::CONTRACT_VERSION;
use limbeck_runtime::{Isa, Kernels};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Ends the name of the student that had no teacher.
pub(super) const FROM_SCRATCH: &str = "(from scratch)";

/// Raised when the code of a stage changes what it makes.
const REVISION: u32 = 2;

/// The record of a build, in its work folder.
const RECORD: &str = "record.json";

/// How long each table is timed for the report.
const EFFORT: Effort = Effort { runs: 1000, most: Duration::from_secs(1) };

/// All that the earlier stages made.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Stage `data`.
    pub data: &'a Data,
    /// Stage `teacher`.
    pub teachers: &'a Teachers,
    /// Stage `pretrain`, where there was one.
    pub pretrained: Option<&'a Student>,
    /// Stage `distill`.
    pub student: &'a Student,
    /// Stage `compare`, where there was one.
    pub scratch: Option<&'a Student>,
    /// Stage `quantize`.
    pub quantized: &'a Quantized,
    /// Stage `plan`.
    pub plans: &'a [Planned],
    /// Stage `pack`.
    pub models: &'a [Packed],
}

impl Build<'_> {
    /// Stage `verify`: demands equal bytes from every table of this CPU in every layout, and compares teacher, float
    /// student and int8 student on the test examples.
    ///
    /// # Errors
    /// If bytes differ, or something cannot be run.
    pub fn verify(&self, made: &Made<'_>) -> Result<Record, BuildError> {
        self.stage(Stage::Verify, "comparing", || {
            let test = made.student.network.reader.read(&made.data.test)?;
            let tables: Vec<&str> = Kernels::all().map(|kernels| kernels.isa.name()).collect();
            let mut key = Key::new("verify", REVISION)
                .with("student", made.student.digest)
                .settings("tables", &tables)
                .settings("accept", &self.recipe.accept)
                .settings("targets", &self.recipe.targets)
                .settings("images", &test.hash());
            for hash in made.teachers.all.iter().map(Teacher::hash) {
                key = key.settings("teacher", &hash);
            }
            for (_, teacher) in &made.teachers.before {
                key = key.settings("before", &teacher.hash());
            }
            if let Some(scratch) = made.scratch {
                key = key.with("scratch", scratch.digest);
            }
            for model in made.models {
                key = key.with(&model.file, model.digest);
            }
            let stored = self.store.current(RECORD, &key);
            let record: Record = match stored {
                Some(_) => serde_json::from_slice(&self.store.read(RECORD)?)?,
                None => {
                    let record = self.judge(made)?;
                    self.store.write(RECORD, &key, &serde_json::to_vec_pretty(&record)?)?;
                    record
                }
            };
            let exact = &record.exact;
            let line = format!(
                "{} {} give equal bytes in {} runs of tables and layouts; int8 accuracy {:.2} %, float {:.2} %",
                exact.n,
                made.data.test.kind(),
                exact.tables.len(),
                100.0 * record.int8.accuracy,
                100.0 * record.student.scores.accuracy
            );
            Ok((record, line, stored.is_some()))
        })
    }

    /// Stage `report`: writes the page and the JSON beside it, with times measured here.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn report(&self, record: &Record, data: &Data, models: &[Packed]) -> Result<Vec<Measured>, BuildError> {
        self.stage(Stage::Report, "timing", || {
            let mut measured = Vec::new();
            for (packed, kernels) in models.iter().take(1).flat_map(|packed| Kernels::all().map(move |k| (packed, k))) {
                let path = Path::new(&packed.file);
                let bytes = host::in_layout_of(path, packed.bytes.clone(), kernels)?;
                let model = host::parse(path, &bytes)?;
                let whole = timing::measure(&model, kernels, None, EFFORT, self.watch)?;
                let ops_ms = timing::measure_ops(&model, kernels, None, EFFORT, self.watch)?;
                measured.push(Measured { ops_ms, ..whole });
            }
            let times = self.times.borrow().stages().to_vec();
            let page = self.store.path("report.html");
            let html = report::html(&Found { record, measured: &measured, times: &times, test: &data.test });
            write_whole(&page, html.as_bytes())?;
            let all = json!({ "record": record, "measured": measured, "stages": times });
            write_whole(&self.store.path("report.json"), &serde_json::to_vec_pretty(&all)?)?;
            Ok((measured, page.display().to_string(), false))
        })
    }

    fn judge(&self, made: &Made<'_>) -> Result<Record, BuildError> {
        let Made { data, teachers, pretrained, student, scratch, quantized, plans, models } = *made;
        let (labels, classes) = (data.test.labels(), data.test.classes().len());
        let test = student.network.reader.read(&data.test)?;
        let subjects: Vec<Subject<'_>> = models.iter().map(subject).collect::<Result<_, _>>()?;
        let (exact, outputs) = exact::prove(&subjects, None, &test, self.watch)?;
        let int8_logits = host::logits(&subjects[0].model, &outputs.bytes);

        let float_logits = self.float_logits(&student.network.graph, &test, test.len())?;
        let teacher_logits = self.teacher_logits(data, &teachers.all)?;
        let judged = |logits: &[f32]| score(logits, labels, classes);
        let said =
            Said { test: &data.test, teacher: teacher_logits.as_deref(), student: &float_logits, int8: &int8_logits };
        let (float, int8) = (judged(&float_logits), judged(&int8_logits));

        let mut record = Record {
            name: self.recipe.name.clone(),
            limbeck: env!("CARGO_PKG_VERSION").to_owned(),
            contract: CONTRACT_VERSION.into(),
            data: DataRecord {
                source: self.recipe.data.describe(),
                classes: data.test.classes().to_vec(),
                input: input_record(data, &student.network.reader, &test)?,
                train: data.train.len(),
                test: data.test.len(),
            },
            teacher: teacher_logits.as_ref().map(|logits| Network {
                name: teachers.name(),
                parameters: teachers.all.iter().map(|teacher| teacher.graph.param_count()).sum(),
                scores: judged(logits),
            }),
            agreement: Agreement {
                student_teacher: teacher_logits.as_ref().map(|logits| agreement(&float_logits, logits, classes)),
                int8_student: agreement(&int8_logits, &float_logits, classes),
            },
            student: Network {
                name: student.network.graph.name.clone(),
                parameters: student.network.graph.param_count(),
                scores: float,
            },
            int8,
            compared: self.compared(made)?,
            layers: describe::layers(quantized),
            attempts: quantized.attempts.clone(),
            trainings: trainings(teachers, [pretrained, Some(student), scratch], quantized),
            artifacts: describe::artifacts(made)?,
            memory: describe::arenas(quantized, plans),
            examples: said.evenly(),
            disagreements: said.furthest(),
            models: models.iter().map(describe::model).collect::<Result<_, _>>()?,
            targets: plans.iter().map(|planned| describe::target(planned, models)).collect(),
            exact,
            bars: Vec::new(),
            not_run: not_run(plans),
        };
        record.bars = self.bars(&record);
        Ok(record)
    }

    /// What the teachers together say of the test examples, kept on disk.
    fn teacher_logits(&self, data: &Data, teachers: &[Teacher]) -> Result<Option<Vec<f32>>, BuildError> {
        if teachers.is_empty() {
            return Ok(None);
        }
        let settings = LabelSettings { views: 1, precision: Precision::F32, ensemble: self.recipe.label.ensemble };
        let (labels, _) = self.ask("labels-test", teachers, &Views::plain(&data.test), &settings)?;
        Ok(Some(labels.logits))
    }

    /// What the teachers were before they were tuned, and the student that had no teacher.
    fn compared(&self, made: &Made<'_>) -> Result<Vec<Network>, BuildError> {
        let Made { data, teachers, scratch, .. } = *made;
        let network = |name: String, graph: &Graph, logits: &[f32]| Network {
            name,
            parameters: graph.param_count(),
            scores: score(logits, data.test.labels(), data.test.classes().len()),
        };
        let mut compared = Vec::new();
        for (what, teacher) in &teachers.before {
            let logits = self.teacher_logits(data, std::slice::from_ref(teacher))?.unwrap_or_default();
            compared.push(network(format!("{} ({what})", teacher.graph.name), &teacher.graph, &logits));
        }
        if let Some(Student { network: scratch, .. }) = scratch {
            let test = scratch.reader.read(&data.test)?;
            let logits = self.float_logits(&scratch.graph, &test, test.len())?;
            compared.push(network(format!("{} {FROM_SCRATCH}", scratch.graph.name), &scratch.graph, &logits));
        }
        Ok(compared)
    }

    /// The recipe's bars, and what was reached.
    fn bars(&self, record: &Record) -> Vec<Bar> {
        let accept = &self.recipe.accept;
        let (float, int8) = (record.student.scores.accuracy, record.int8.accuracy);
        // Without a teacher there is nothing to keep, and the bar cannot be met.
        let kept = record.teacher.as_ref().map_or(0.0, |teacher| int8 / teacher.scores.accuracy.max(f64::MIN_POSITIVE));
        let scratch = record.compared.iter().find(|network| network.name.ends_with(FROM_SCRATCH));
        let over_scratch = int8 - scratch.map_or(1.0, |network| network.scores.accuracy);
        let least = |name: &str, bound: Option<f64>, reached: f64| {
            bound.map(|bound| Bar { name: name.to_owned(), bound, reached, met: reached >= bound })
        };
        let most = |name: &str, bound: Option<f64>, reached: f64| {
            bound.map(|bound| Bar { name: name.to_owned(), bound, reached, met: reached <= bound })
        };
        let largest = |of: &dyn Fn(&ModelRecord) -> u64| record.models.iter().map(of).max().unwrap_or(0) as f64;
        [
            least("float_accuracy", accept.float_accuracy, float),
            least("int8_accuracy", accept.int8_accuracy, int8),
            most("int8_drop", accept.int8_drop, float - int8),
            least("kept", accept.kept, kept),
            least("over_scratch", accept.over_scratch, over_scratch),
            least("agreement", accept.agreement, record.agreement.int8_student),
            most("model_bytes", accept.model_bytes.map(|n| n as f64), largest(&|model| model.bytes)),
            most("arena_bytes", accept.arena_bytes.map(|n| n as f64), largest(&|model| model.arena_bytes)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What the examples are, as the student sees them.
fn input_record(data: &Data, reader: &Reader, test: &Inputs<'_>) -> Result<InputRecord, BuildError> {
    Ok(match (reader, test, reader.read(&data.train)?) {
        (Reader::Text { vocabulary, tokens }, Inputs::Texts(test), Inputs::Texts(train)) => {
            InputRecord::Text(TextRecord {
                vocabulary: vocabulary.size(),
                tokens: *tokens,
                longest: test.longest(),
                truncated_train: train.truncated,
                truncated_test: test.truncated,
            })
        }
        (.., Inputs::Images(images, _)) => InputRecord::Image(images.shape),
        _ => return Err(BuildError::text("images and texts are mixed")),
    })
}

fn subject(packed: &Packed) -> Result<Subject<'_>, HostError> {
    let model = host::parse(Path::new(&packed.file), &packed.bytes)?;
    Ok(Subject { file: &packed.file, model, names: &packed.names })
}

fn trainings(teachers: &Teachers, students: [Option<&Student>; 3], quantized: &Quantized) -> Vec<Training> {
    let of_teachers = teachers.trainings.iter().cloned().map(|mut training| {
        training.name = format!("teacher {}", training.name);
        training
    });
    let of_students = students.into_iter().flatten().map(|student| &student.training);
    of_teachers.chain(of_students.chain([&quantized.training]).flatten().cloned()).collect()
}

/// What could not be checked here, and why.
fn not_run(plans: &[Planned]) -> Vec<String> {
    let gpu = "GPU: nothing was run on one here; `limbeck verify` does.".to_owned();
    let missing = Isa::ALL.iter().filter(|&&isa| Kernels::for_isa(isa).is_none());
    let tables =
        missing.map(|isa| format!("Table {}: this CPU does not have it; its layout was read by scalar.", isa.name()));
    let boards = plans.iter().filter(|planned| planned.target.device.is_some()).map(|planned| {
        let name = &planned.target.name;
        format!("Board {name}: nothing was run on it here; its time is a prediction. `cargo xtask emu` runs emulated boards.")
    });
    [gpu].into_iter().chain(tables).chain(boards).collect()
}
