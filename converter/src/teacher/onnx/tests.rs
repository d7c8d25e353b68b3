//! Import and export against tract as the oracle, on small models made here and on real ones.

use super::{ImportError, export, import, import_verbatim, proto};
use crate::graph::rewrite::testing::{assert_close, random};
use crate::graph::{Graph, Op, Tensor};
use crate::ops::reference;
use prost::Message;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tract_onnx::pb;
use tract_onnx::prelude::{
    self as tract, DatumExt, Framework, InferenceModelExt, IntoRunnable, IntoTValue, IntoTensor,
};

/// One ONNX node on the input `x`, with stored tensors as its further inputs.
struct Case {
    op: &'static str,
    opset: i64,
    shape: &'static [usize],
    attributes: Vec<pb::AttributeProto>,
    stored: Vec<pb::TensorProto>,
}

impl Case {
    fn new(op: &'static str, opset: i64, shape: &'static [usize]) -> Self {
        Case { op, opset, shape, attributes: Vec::new(), stored: Vec::new() }
    }

    fn with(mut self, attribute: pb::AttributeProto) -> Self {
        self.attributes.push(attribute);
        self
    }

    fn ints(self, name: &str, values: &[usize]) -> Self {
        self.with(proto::ints(name, values))
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.with(proto::text(name, value))
    }

    /// A further input of random floats.
    fn stores(mut self, shape: &[usize]) -> Self {
        let name = format!("stored{}", self.stored.len());
        let tensor = random(shape, self.stored.len() as u32 + 7);
        self.stored.push(proto::floats(&name, shape, tensor.data()));
        self
    }

    fn model(&self) -> pb::ModelProto {
        let inputs: Vec<&str> = std::iter::once("x").chain(self.stored.iter().map(|t| t.name.as_str())).collect();
        let graph = pb::GraphProto {
            node: vec![proto::node("tested", self.op, &inputs, "y", self.attributes.clone())],
            initializer: self.stored.clone(),
            input: vec![proto::value("x", &self.shape.iter().map(|&n| Some(n)).collect::<Vec<_>>())],
            output: vec![pb::ValueInfoProto { name: "y".into(), ..Default::default() }],
            ..Default::default()
        };
        proto::model(graph, self.opset)
    }

    /// The model in a file that goes away with the returned handle.
    fn file(&self) -> tempfile::NamedTempFile {
        file(&self.model().encode_to_vec())
    }
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// What tract makes of a model for one input.
fn oracle(path: &Path, input: &Tensor) -> Vec<Tensor> {
    let fact = f32::fact(input.shape()).into();
    let model = tract_onnx::onnx().model_for_path(path).unwrap().with_input_fact(0, fact).unwrap();
    let model = model.into_typed().unwrap().into_runnable().unwrap();
    let x = tract::Tensor::from_shape(input.shape(), input.data()).unwrap().into_tvalue();
    let outputs = model.run(std::iter::once(x).collect()).unwrap();
    outputs.into_iter().map(|y| super::file::floats(&y.into_tensor()).unwrap()).collect()
}

fn first_input(graph: &Graph) -> Tensor {
    random(graph.shape(graph.inputs[0]), 1)
}

fn to_last(x: &Tensor) -> Tensor {
    if x.shape().len() == 4 { x.transpose(&[0, 2, 3, 1]) } else { x.clone() }
}

#[test]
fn every_form_of_every_operator_agrees_with_tract() {
    let cases = vec![
        Case::new("Conv", 7, &[2, 4, 7, 6])
            .stores(&[6, 2, 3, 2])
            .stores(&[6])
            .ints("strides", &[2, 1])
            .with(proto::int("group", 2)),
        Case::new("Conv", 11, &[1, 3, 7, 8])
            .stores(&[4, 3, 3, 3])
            .ints("pads", &[1, 0, 2, 1])
            .ints("dilations", &[1, 2]),
        Case::new("Conv", 11, &[1, 3, 7, 8])
            .stores(&[4, 3, 3, 2])
            .text("auto_pad", "SAME_UPPER")
            .ints("strides", &[2, 3]),
        Case::new("Conv", 11, &[1, 3, 7, 8]).stores(&[4, 3, 3, 2]).text("auto_pad", "SAME_LOWER"),
        Case::new("Conv", 11, &[1, 3, 7, 8]).stores(&[4, 3, 3, 3]).text("auto_pad", "VALID"),
        Case::new("Conv", 11, &[1, 3, 9]).stores(&[4, 3, 3]).stores(&[4]).ints("pads", &[1, 1]).ints("strides", &[2]),
        Case::new("Relu", 7, &[2, 3]),
        Case::new("Clip", 7, &[2, 3]).with(proto::float("min", -0.25)).with(proto::float("max", 0.5)),
        Case::new("Clip", 11, &[2, 3]).stores(&[]),
        Case::new("LeakyRelu", 7, &[2, 3]).with(proto::float("alpha", 0.2)),
        Case::new("HardSigmoid", 7, &[2, 3]),
        Case::new("HardSwish", 14, &[2, 3]),
        Case::new("Sigmoid", 7, &[2, 3]),
        Case::new("Tanh", 7, &[2, 3]),
        Case::new("Add", 7, &[1, 3, 2, 2]).stores(&[3, 1, 1]),
        Case::new("Sub", 7, &[1, 3, 2, 2]).stores(&[2]),
        Case::new("Mul", 7, &[1, 3, 2, 2]).stores(&[1, 3, 1, 1]),
        Case::new("Div", 7, &[1, 3, 2, 2]).stores(&[]),
        Case::new("MaxPool", 8, &[1, 3, 7, 6])
            .ints("kernel_shape", &[3, 2])
            .ints("strides", &[2, 2])
            .ints("pads", &[1, 0, 1, 1]),
        Case::new("MaxPool", 12, &[1, 3, 8, 6])
            .ints("kernel_shape", &[3, 3])
            .ints("strides", &[2, 2])
            .with(proto::int("ceil_mode", 1)),
        Case::new("AveragePool", 7, &[1, 3, 7, 6])
            .ints("kernel_shape", &[3, 3])
            .ints("strides", &[2, 2])
            .ints("pads", &[1, 1, 1, 1]),
        Case::new("AveragePool", 11, &[1, 3, 7, 6])
            .ints("kernel_shape", &[3, 2])
            .ints("pads", &[1, 1, 1, 0])
            .with(proto::int("count_include_pad", 1)),
        Case::new("GlobalAveragePool", 7, &[2, 3, 4, 5]),
        Case::new("ReduceMean", 11, &[2, 3, 4, 5])
            .with(pb::AttributeProto { ints: vec![-2, -1], ..proto::ints("axes", &[]) })
            .with(proto::int("keepdims", 0)),
        Case::new("Gemm", 7, &[2, 3])
            .stores(&[3, 4])
            .stores(&[4])
            .with(proto::float("alpha", 0.5))
            .with(proto::float("beta", 2.0)),
        Case::new("Gemm", 11, &[3, 2])
            .stores(&[4, 3])
            .stores(&[2, 1])
            .with(proto::int("transA", 1))
            .with(proto::int("transB", 1)),
        Case::new("MatMul", 7, &[2, 3, 4]).stores(&[4, 5]),
        Case::new("Flatten", 7, &[2, 3, 4, 5]).with(proto::int("axis", 2)),
        Case::new("Squeeze", 7, &[2, 1, 4, 1]).ints("axes", &[1, 3]),
        Case::new("Unsqueeze", 7, &[2, 4]).ints("axes", &[0, 3]),
        Case::new("Pad", 7, &[2, 4]).ints("pads", &[0, 1, 2, 0]).with(proto::float("value", 3.0)),
        Case::new("Slice", 7, &[4, 5]).ints("axes", &[1]).ints("starts", &[1]).ints("ends", &[4]),
        Case::new("Softmax", 7, &[2, 3, 4, 1]),
        Case::new("Softmax", 13, &[2, 3, 4, 1]).with(proto::int("axis", 1)),
        Case::new("Transpose", 7, &[2, 3, 4]),
        Case::new("LayerNormalization", 17, &[2, 3, 4]).stores(&[4]).stores(&[4]).with(proto::float("epsilon", 0.1)),
        Case::new("Gelu", 20, &[2, 3]),
        Case::new("Gelu", 20, &[2, 3]).text("approximate", "tanh"),
        Case::new("Identity", 7, &[2, 3]),
        Case::new("Dropout", 7, &[2, 3]),
        Case::new("BatchNormalization", 7, &[2, 3, 4, 5]).stores(&[3]).stores(&[3]).stores(&[3]).stores(&[3]),
    ];
    for mut case in cases {
        if case.op == "BatchNormalization" {
            case.stored[3] = proto::floats("stored3", &[3], &[0.5, 1.0, 2.0]);
        }
        let label = format!("{} of opset {} on {:?}", case.op, case.opset, case.shape);
        let file = case.file();
        let verbatim = import_verbatim(file.path()).unwrap_or_else(|e| panic!("{label}: {e}"));
        let x = random(case.shape, 3);
        let expected = oracle(file.path(), &x);
        println!("{label}\n{verbatim}");
        assert_close(&reference::run(&verbatim, std::slice::from_ref(&x)).unwrap(), &expected);
        let canonical = import(file.path()).unwrap();
        println!("{canonical}");
        let expected: Vec<Tensor> = expected.iter().map(to_last).collect();
        assert_close(&reference::run(&canonical, &[to_last(&x)]).unwrap(), &expected);
    }
}

#[test]
fn older_softmax_takes_all_further_axes_together() {
    // tract reads the flattening semantics of old operator sets as those of the new ones, so the numbers are told here.
    let file = Case::new("Softmax", 11, &[1, 2, 2]).file();
    let graph = import(file.path()).unwrap();
    let y = reference::run(&graph, &[Tensor::zeros([1, 2, 2])]).unwrap();
    assert_eq!(y, [Tensor::full([1, 2, 2], 0.25)]);
}

#[test]
fn a_mean_rounded_up_counts_only_the_padding_that_was_asked_for() {
    let case = Case::new("AveragePool", 11, &[1, 1, 4, 4]).ints("kernel_shape", &[3, 3]).ints("strides", &[2, 2]);
    let case =
        case.ints("pads", &[1, 1, 1, 1]).with(proto::int("ceil_mode", 1)).with(proto::int("count_include_pad", 1));
    let graph = import(case.file().path()).unwrap();
    let y = reference::run(&graph, &[Tensor::full([1, 4, 4, 1], 9.0)]).unwrap();
    assert_close(&y, &[Tensor::new([1, 3, 3, 1], vec![4.0, 6.0, 3.0, 6.0, 9.0, 4.5, 3.0, 4.5, 2.25])]);
}

#[test]
fn unusable_files_say_why() {
    let missing = import(Path::new("no/such/teacher.onnx")).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read no/such/teacher.onnx");
    let case = Case::new("Conv", 13, &[1, 3, 8, 8]).stores(&[4, 3, 3, 3]);
    let bytes = case.model().encode_to_vec();
    for len in 0..bytes.len() {
        // A cut at the very end of a field may leave a whole model without the rest; anything else must be told.
        if let Ok(graph) = import(file(&bytes[..len]).path()) {
            panic!("{len} of {} bytes were taken for a model:\n{graph}", bytes.len());
        }
    }
    let garbage: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let error = import(file(&garbage).path()).unwrap_err();
    assert!(matches!(error, ImportError::Malformed { .. }), "{error}");
    let old = Case::new("Relu", 6, &[1]).file();
    let text = import(old.path()).unwrap_err().to_string();
    assert!(text.ends_with("uses opset 6; export it with opset 7 to 25"), "{text}");
}

#[test]
fn unusable_tensors_are_named() {
    let tail = |case: &Case| {
        let file = case.file();
        let text = import(file.path()).unwrap_err().to_string();
        text.strip_prefix(&file.path().display().to_string()).unwrap_or(&text).to_owned()
    };
    let mut case = Case::new("Conv", 13, &[1, 1, 4, 4]).stores(&[1, 1, 1, 2]);
    case.stored[0] = proto::floats("w", &[1, 1, 1, 2], &[1.0, f32::NAN]);
    assert_eq!(tail(&case), ": tensor `w` holds NaN at element 1 of [1, 1, 2, 1]; train or export it again");
    case.stored[0].raw_data.pop();
    assert!(tail(&case).starts_with(": tensor `w` cannot be read: "), "{}", tail(&case));
    case.stored[0].raw_data.clear();
    case.stored[0].data_location = Some(pb::tensor_proto::DataLocation::External as i32);
    case.stored[0].external_data =
        vec![pb::StringStringEntryProto { key: "location".into(), value: "weights.bin".into() }];
    let text = tail(&case);
    assert!(text.starts_with(": tensor `w` cannot be read from the file `weights.bin` beside the model: "), "{text}");
    let mut open = case.model();
    open.graph.as_mut().unwrap().input[0] = proto::value("x", &[Some(1), None, Some(4), Some(4)]);
    open.graph.as_mut().unwrap().initializer[0] = proto::floats("w", &[1, 1, 1, 1], &[1.0]);
    let text = import(file(&open.encode_to_vec()).path()).unwrap_err().to_string();
    assert!(text.ends_with("tensor `x` leaves axis 1 open (`N`); export it with a fixed size"), "{text}");
}

#[test]
fn nodes_without_counterpart_say_what_would_do() {
    let tail = |case: Case| {
        let file = case.file();
        let text = import(file.path()).unwrap_err().to_string();
        text.split_once(".onnx: ").map_or(text.clone(), |(_, tail)| tail.to_owned())
    };
    let text = tail(Case::new("Einsum", 13, &[2, 3]));
    let start = "node `tested` (Einsum of opset 13 on `x` [2, 3]) is not supported: no such operator in the float graph; supported is Add, ";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(
        tail(Case::new("Conv", 13, &[1, 2, 3, 3, 3]).stores(&[1, 2, 1, 1, 1])),
        "node `tested` (Conv of opset 13 on `x` [1, 2, 3, 3, 3], `stored0` [1, 2, 1, 1, 1]) is not supported: its input has 5 \
         axes; supported is [batch, channels, height, width] or [batch, channels, length]"
    );
    assert_eq!(
        tail(Case::new("Pad", 7, &[4]).ints("pads", &[1, 1]).text("mode", "reflect")),
        "node `tested` (Pad of opset 7 on `x` [4]) is not supported: its mode is `reflect`; supported is mode `constant`"
    );
    assert_eq!(
        tail(Case::new("Concat", 13, &[4]).with(proto::int("axis", 3))),
        "node `tested` (Concat of opset 13 on `x` [4]) is not valid ONNX: axis 3 of a tensor of 1 axes"
    );
}

/// The folder of data sets, or a loud word that the test is skipped.
fn data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LIMBECK_DATA").map(PathBuf::from).filter(|f| f.join("cifar10_resnets").is_dir());
    if folder.is_none() {
        // Not the macro, whose output the test harness hides.
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: LIMBECK_DATA does not name a folder with cifar10_resnets");
    }
    folder
}

#[test]
fn real_networks_become_clean_and_agree_with_tract() {
    let Some(data) = data("real_networks_become_clean_and_agree_with_tract") else { return };
    let models = data.join("../models");
    let teachers = data.join("cifar10_resnets");
    let files = [
        (teachers.join("resnet20.onnx"), 21),
        (teachers.join("resnet20_bn_rawexport.onnx"), 21),
        (teachers.join("resnet56.onnx"), 57),
        (models.join("resnet8.fp32.onnx"), 9),
        (models.join("resnet20.fp32.onnx"), 21),
    ];
    for (path, convolutions) in files {
        if !path.exists() {
            let _ = writeln!(std::io::stderr(), "SKIPPED {}: it is not there", path.display());
            continue;
        }
        let graph = import(&path).unwrap();
        let text = graph.to_string();
        println!("{text}");
        let count = |f: fn(&Op) -> bool| graph.nodes.iter().filter(|n| f(&n.op)).count();
        assert_eq!(count(|op| matches!(op, Op::Conv2d { .. })), convolutions, "{text}");
        let others = ["Transpose", "BatchNorm", "Slice", "Pad", "Mul"];
        assert!(graph.nodes.iter().all(|n| !others.contains(&n.op.name())), "{text}");
        assert_eq!(count(|op| matches!(op, Op::Reshape(_))), 1, "{text}");
        let x = first_input(&graph);
        let expected = oracle(&path, &x.transpose(&[0, 3, 1, 2]));
        assert_close(&reference::run(&graph, &[x]).unwrap(), &expected);
        graph.with_batch(3).unwrap();
    }
}

#[test]
fn written_models_read_back_and_compute_the_same() {
    let Some(data) = data("written_models_read_back_and_compute_the_same") else { return };
    for name in ["resnet20.onnx", "resnet20_bn_rawexport.onnx"] {
        let graph = import(&data.join("cifar10_resnets").join(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written.onnx");
        export(&graph, &path).unwrap();
        let again = import(&path).unwrap();
        assert_eq!(again.to_string(), graph.to_string());
        let x = first_input(&graph);
        let expected = reference::run(&graph, std::slice::from_ref(&x)).unwrap();
        assert_close(&reference::run(&again, std::slice::from_ref(&x)).unwrap(), &expected);
        assert_close(&oracle(&path, &x.transpose(&[0, 3, 1, 2])), &expected);
    }
}
