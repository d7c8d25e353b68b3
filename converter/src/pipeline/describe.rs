//! What the record says of layers, files, memory and single examples.

use super::{BuildError, Made, Packed, Planned, Quantized};
use crate::data::Set;
use crate::plan;
use crate::quantize::LayerError;
use crate::verify::accuracy::{first_max, softmax, total_variation};
use crate::verify::host;
use crate::verify::record::{
    self, Artifact, Example, Layer, Mapping, Memory, ModelRecord, Prediction, SectionRecord, TargetRecord,
};
use crate::watch::Stage;
use std::path::Path;

/// Test examples that the record shows of each kind.
const SHOWN: usize = 12;

/// Every layer's error, with how its integers stand for real numbers.
pub(super) fn layers(quantized: &Quantized) -> Vec<Layer> {
    let mapping = |name: &str| {
        let tensor = quantized.graph.tensors.iter().find(|tensor| tensor.name == name)?;
        let (scale, zero_point) = (tensor.affine.scale, i32::from(tensor.affine.zero_point));
        let ends = if tensor.element.bytes() == 1 { [-128, 127] } else { [i16::MIN.into(), i16::MAX.into()] };
        let chosen = quantized.report.tensors.iter().find(|chosen| chosen.name == name);
        Some(Mapping {
            scale,
            zero_point,
            range: ends.map(|end: i32| scale * (end - zero_point) as f32),
            seen: chosen.and_then(|chosen| chosen.seen),
            calibrator: chosen.and_then(|chosen| chosen.calibrator).map(|calibrator| calibrator.name().to_owned()),
        })
    };
    let layer = |error: &LayerError| Layer {
        name: error.tensor.clone(),
        op: error.op.clone(),
        snr_db: error.snr_db,
        bits: error.bits,
        alone_db: error.alone_db,
        only_db: error.only_db,
        mapping: mapping(&error.tensor),
    };
    quantized.report.layers.iter().map(layer).collect()
}

/// The hashes of what the stages made.
pub(super) fn artifacts(made: &Made<'_>) -> Result<Vec<Artifact>, BuildError> {
    let Made { data, teachers, pretrained, student, scratch, quantized, models, .. } = *made;
    let mut all = Vec::new();
    let mut add = |stage: Stage, what: String, sha256: String| {
        all.push(Artifact { stage: stage.name().to_owned(), what, sha256 });
    };
    let reader = &student.network.reader;
    for (what, set) in [("examples to learn from", &data.train), ("examples to be judged on", &data.test)] {
        add(Stage::Data, what.to_owned(), reader.read(set)?.hash());
    }
    for teacher in &teachers.all {
        add(Stage::Teacher, format!("teacher {}", teacher.graph.name), teacher.hash());
    }
    if let Some(student) = pretrained {
        add(Stage::Pretrain, format!("{}, with words", student.network.graph.name), student.digest.to_string());
    }
    add(Stage::Distill, format!("student {}", student.network.graph.name), student.digest.to_string());
    if let Some(scratch) = scratch {
        let what = format!("{}, from scratch", scratch.network.graph.name);
        add(Stage::Compare, what, scratch.digest.to_string());
    }
    let stage = if quantized.training.is_some() { Stage::Qat } else { Stage::Quantize };
    add(stage, "int8 graph".to_owned(), quantized.digest.to_string());
    for packed in models {
        add(Stage::Pack, packed.file.clone(), packed.digest.to_string());
    }
    Ok(all)
}

/// The arena of each model file.
pub(super) fn arenas(quantized: &Quantized, plans: &[Planned]) -> Vec<Memory> {
    let mut all: Vec<Memory> = Vec::new();
    for planned in plans {
        if all.iter().all(|memory| memory.file != planned.file) {
            all.push(plan::memory(&quantized.graph, &planned.plan, &planned.file));
        }
    }
    all
}

/// A model file.
pub(super) fn model(packed: &Packed) -> Result<ModelRecord, BuildError> {
    let model = host::parse(Path::new(&packed.file), &packed.bytes)?;
    let section = |(section, bytes): (limbeck_runtime::format::Section, usize)| SectionRecord {
        name: section.name().to_owned(),
        bytes: bytes as u64,
    };
    let mut sections: Vec<SectionRecord> = model.sections().into_iter().map(section).collect();
    let rest = (packed.bytes.len() as u64).saturating_sub(sections.iter().map(|section| section.bytes).sum());
    sections.insert(0, SectionRecord { name: "header and alignment".to_owned(), bytes: rest });
    sections.retain(|section| section.bytes > 0);
    Ok(ModelRecord {
        file: packed.file.clone(),
        layout: host::layout_name(model.layout()),
        bytes: packed.bytes.len() as u64,
        arena_bytes: model.arena_bytes() as u64,
        sha256: packed.digest.to_string(),
        sections,
    })
}

/// What a target makes of its model file.
pub(super) fn target(planned: &Planned, models: &[Packed]) -> TargetRecord {
    let device = planned.target.device.as_ref();
    let bytes = models.iter().find(|packed| packed.file == planned.file).map_or(0, |packed| packed.bytes.len() as u64);
    let prediction = device.zip(planned.cost.as_ref()).map(|(device, cost)| Prediction {
        core: device.core.clone(),
        instructions: cost.instructions.round(),
        cycles_per_instruction: device.cycles_per_instruction,
        clock_hz: device.clock_hz,
    });
    TargetRecord {
        name: planned.target.name.clone(),
        file: planned.file.clone(),
        table: planned.target.isa().to_owned(),
        flash: device.map(|device| [bytes, device.model_flash_bytes().into()]),
        ram: device.map(|device| [planned.plan.arena_bytes as u64, device.arena_bytes().into()]),
        predicted_ms: planned.cost.as_ref().map(|cost| cost.milliseconds),
        prediction,
    }
}

/// The logits of the networks for the test examples.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    pub test: &'a Set,
    pub teacher: Option<&'a [f32]>,
    pub student: &'a [f32],
    pub int8: &'a [f32],
}

impl Said<'_> {
    /// Some examples, taken evenly.
    pub(super) fn evenly(self) -> Vec<Example> {
        let n = self.test.len();
        let count = SHOWN.min(n);
        (0..count).map(|i| self.example(i * n / count)).collect()
    }

    /// Those on which the int8 student is furthest from its teachers, or else from the float student.
    pub(super) fn furthest(self) -> Vec<Example> {
        let mut all: Vec<(f64, usize)> = (0..self.test.len()).map(|i| (self.distance(i), i)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.into_iter().filter(|(distance, _)| *distance > 0.0).take(SHOWN).map(|(_, i)| self.example(i)).collect()
    }

    fn example(self, index: usize) -> Example {
        let said = |logits: &[f32]| {
            let row = self.row(logits, index);
            let class = first_max(row);
            record::Said { class, probability: softmax(row)[class] }
        };
        let text = if let Set::Texts(texts) = self.test { texts.texts.get(index).cloned() } else { None };
        Example {
            index,
            text,
            class: self.test.labels()[index] as usize,
            teacher: self.teacher.map(said),
            student: said(self.student),
            int8: said(self.int8),
            distance: self.distance(index),
        }
    }

    fn distance(self, index: usize) -> f64 {
        let [a, b] = [self.teacher.unwrap_or(self.student), self.int8].map(|logits| softmax(self.row(logits, index)));
        total_variation(&a, &b)
    }

    fn row(self, logits: &[f32], index: usize) -> &[f32] {
        let classes = self.test.classes().len();
        &logits[index * classes..][..classes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::text::Texts;

    #[test]
    fn the_furthest_come_first_and_equal_ones_not_at_all() {
        let texts = ["a", "b", "c"].map(str::to_owned).to_vec();
        let test = Set::Texts(Texts { texts, labels: vec![0, 1, 0], classes: vec!["x".into(), "y".into()] });
        let (teacher, int8) = ([2.0, 0.0, 0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 9.0, 0.0, 1.0, 1.0]);
        let said = Said { test: &test, teacher: Some(&teacher), student: &int8, int8: &int8 };
        let found = said.furthest();
        assert_eq!(found.iter().map(|example| example.index).collect::<Vec<_>>(), [1, 0]);
        assert_eq!((found[0].text.as_deref(), found[0].class, found[0].int8.class), (Some("b"), 1, 0));
        assert_eq!(found[0].teacher.map(|said| said.class), Some(1));
        assert_eq!(said.evenly().len(), 3);
        let alone = Said { teacher: None, ..said };
        assert!(alone.furthest().is_empty());
    }
}
