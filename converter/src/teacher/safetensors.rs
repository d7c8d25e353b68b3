//! Weights in `.safetensors` files under PyTorch's names and axis orders.

use crate::artifact::{ArtifactError, write_whole};
use crate::families::{self, Task};
use crate::graph::{Graph, Op, Source, Tensor, ValueId};
use ::safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use half::{bf16, f16};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a file does not give a network its weights.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct WeightsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: WeightsProblem,
}

/// What is wrong with a file of weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsProblem {
    /// The operating system said no.
    #[error("cannot read the file ({0})")]
    Read(std::io::Error),
    /// Cut off, or not such a file.
    #[error("not a whole .safetensors file ({0}); fetch it again")]
    Damaged(::safetensors::SafeTensorError),
    /// No dictionary of tensors of PyTorch.
    #[error("{0}")]
    Pickle(super::torch::TorchError),
    /// The network has parameters that the file lacks.
    #[error("lacks tensors of `{network}`: {}", missing.join(", "))]
    Missing {
        /// The network.
        network: String,
        /// Their names.
        missing: Vec<String>,
    },
    /// The file has tensors that the network lacks, so it belongs to another network.
    #[error("has tensors that `{network}` does not: {}", extra.join(", "))]
    Extra {
        /// The network.
        network: String,
        /// Their names.
        extra: Vec<String>,
    },
    /// The tensors are those of no network that has a name here.
    #[error("its tensors are those of no known network ({}): name the `network`, or give an ONNX file", known.join(", "))]
    Unknown {
        /// The networks.
        known: Vec<&'static str>,
    },
    /// The network tells other classes apart.
    #[error(
        "holds a `{network}` for {found} classes, but the data have {expected}; take a teacher trained for these classes, or \
         train a head for them: `[teacher.train]` with `freeze = true`"
    )]
    Classes {
        /// The network.
        network: String,
        /// In the file.
        found: usize,
        /// Of the data.
        expected: usize,
    },
    /// A tensor has another shape than the network needs.
    #[error("tensor `{name}` has shape {found:?}, `{network}` needs {expected:?}")]
    Shape {
        /// The network.
        network: String,
        /// The tensor.
        name: String,
        /// In the file.
        found: Vec<usize>,
        /// Needed, in the axis order of the file.
        expected: Vec<usize>,
    },
    /// Numbers that are not floats of 16 or 32 bits.
    #[error("tensor `{name}` holds {dtype:?}; only F32, F16 and BF16 are read")]
    Type {
        /// The tensor.
        name: String,
        /// What it holds.
        dtype: Dtype,
    },
    /// NaN or infinity.
    #[error("tensor `{name}` holds {value} at {index}: the network was not trained well, or the file is damaged")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The first such element.
        index: usize,
        /// What it is.
        value: f32,
    },
}

/// Counters that PyTorch stores beside each normalization, of no use here.
const IGNORED: &str = "num_batches_tracked";

/// The network for `task` whose parameters are those of the file, by their names and then by their shapes.
///
/// # Errors
/// If the file cannot be read, or no network has parameters of these names.
pub fn identify(task: &Task, path: &Path) -> Result<&'static str, WeightsError> {
    let fail = |problem| WeightsError { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(|e| fail(WeightsProblem::Read(e)))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| fail(WeightsProblem::Damaged(e)))?;
    let held = held(&file);
    let misshaped = |graph: &Graph| {
        let kernels = conv_weights(graph);
        let fits = |(id, tensor): (ValueId, &Arc<Tensor>)| {
            let found = file.tensor(&graph.value(id).name);
            found.is_ok_and(|view| view.shape() == stored_shape(tensor, kernels.contains(&id)))
        };
        graph.params().filter(|&param| !fits(param)).count()
    };
    // Of several widths of one network, the one that fits best; if it does not fit wholly, filling it says why.
    let mut best: Option<(usize, &'static str)> = None;
    let kind = task.input.kind();
    for name in families::names(kind) {
        let Some(graph) = families::build(name, task, 0).ok().filter(|graph| needed(graph) == held) else { continue };
        let misshaped = misshaped(&graph);
        if best.is_none_or(|(least, _)| misshaped < least) {
            best = Some((misshaped, name));
        }
        if misshaped == 0 {
            break;
        }
    }
    best.map(|(_, name)| name).ok_or_else(|| fail(WeightsProblem::Unknown { known: families::names(kind).collect() }))
}

/// How many classes the network of a file tells apart, by the shape of the weights that make the output in `graph`; `None` if it
/// has no such layer.
///
/// # Errors
/// If the file cannot be read.
pub fn classes(graph: &Graph, path: &Path) -> Result<Option<usize>, WeightsError> {
    let fail = |problem| WeightsError { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(|e| fail(WeightsProblem::Read(e)))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| fail(WeightsProblem::Damaged(e)))?;
    let last = last_weights(graph).and_then(|id| file.tensor(&graph.value(id).name).ok());
    Ok(last.and_then(|weights| weights.shape().first().copied()).filter(|&classes| classes > 0))
}

/// The names of a file's tensors.
fn held<'a>(file: &'a SafeTensors<'_>) -> BTreeSet<&'a str> {
    file.names().into_iter().filter(|name| !name.ends_with(IGNORED)).collect()
}

/// The names of a network's parameters.
fn needed(graph: &Graph) -> BTreeSet<&str> {
    graph.params().map(|(id, _)| graph.value(id).name.as_str()).collect()
}

/// The shape of a parameter in the axis order of files.
fn stored_shape(tensor: &Tensor, is_kernel: bool) -> Vec<usize> {
    match tensor.shape() {
        &[out, rows, columns, depth] if is_kernel => vec![out, depth, rows, columns],
        shape => shape.to_vec(),
    }
}

/// Gives every parameter of `graph` the numbers that the file holds under its name.
///
/// Convolution weights are taken from PyTorch's `[out, in, rows, columns]` to `[out, rows, columns, in]`. On an error the
/// graph is as before.
///
/// # Errors
/// If the file cannot be read, or does not hold exactly the graph's parameters, in their shapes and finite.
pub fn fill(graph: &mut Graph, path: &Path) -> Result<(), WeightsError> {
    let fail = |problem| WeightsError { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(|e| fail(WeightsProblem::Read(e)))?;
    let filled = read(graph, &bytes).map_err(fail)?;
    for (id, tensor) in filled {
        graph.value_mut(id).source = Source::Param(Arc::new(tensor));
    }
    Ok(())
}

/// Stores every parameter of `graph` under its name, in PyTorch's axis order, as [`fill`] reads it.
///
/// # Errors
/// If the file cannot be written; then what was there before is untouched.
pub fn save(graph: &Graph, path: &Path) -> Result<(), ArtifactError> {
    write_whole(path, &to_bytes(graph))
}

/// The contents of such a file.
pub fn to_bytes(graph: &Graph) -> Vec<u8> {
    let kernels = conv_weights(graph);
    let tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = graph
        .params()
        .map(|(id, tensor)| {
            let tensor = if kernels.contains(&id) { tensor.transpose(&[0, 3, 1, 2]) } else { (**tensor).clone() };
            let bytes = tensor.data().iter().flat_map(|v| v.to_le_bytes()).collect();
            (graph.value(id).name.as_str(), tensor.shape().to_vec(), bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("four bytes for each value of a tensor"))
    });
    serialize(views, None).expect("a graph's values have different names")
}

/// The parameters of `graph` as the file gives them.
fn read(graph: &Graph, bytes: &[u8]) -> Result<Vec<(ValueId, Tensor)>, WeightsProblem> {
    let file = SafeTensors::deserialize(bytes).map_err(WeightsProblem::Damaged)?;
    let (held, needed) = (held(&file), needed(graph));
    let names = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| -> Vec<String> {
        a.difference(b).map(|name| (*name).to_owned()).collect()
    };
    let (missing, extra) = (names(&needed, &held), names(&held, &needed));
    let network = || graph.name.clone();
    if !missing.is_empty() {
        return Err(WeightsProblem::Missing { network: network(), missing });
    }
    if !extra.is_empty() {
        return Err(WeightsProblem::Extra { network: network(), extra });
    }
    let (kernels, last) = (conv_weights(graph), last_weights(graph));
    let mut filled = Vec::new();
    for (id, current) in graph.params() {
        let name = &graph.value(id).name;
        let view = file.tensor(name).map_err(WeightsProblem::Damaged)?;
        let is_kernel = kernels.contains(&id);
        let expected = stored_shape(current, is_kernel);
        if view.shape() != expected {
            if let (true, &[found, ref inputs @ ..], &[expected, ref same @ ..]) =
                (last == Some(id), view.shape(), &expected[..])
                && inputs == same
            {
                return Err(WeightsProblem::Classes { network: network(), found, expected });
            }
            let (name, found) = (name.clone(), view.shape().to_vec());
            return Err(WeightsProblem::Shape { network: network(), name, found, expected });
        }
        let data = floats(&view).ok_or_else(|| WeightsProblem::Type { name: name.clone(), dtype: view.dtype() })?;
        let tensor = Tensor::new(expected, data);
        if let Some((index, value)) = tensor.first_non_finite() {
            return Err(WeightsProblem::NotFinite { name: name.clone(), index, value });
        }
        filled.push((id, if is_kernel { tensor.transpose(&[0, 2, 3, 1]) } else { tensor }));
    }
    Ok(filled)
}

/// The weights of convolutions.
fn conv_weights(graph: &Graph) -> BTreeSet<ValueId> {
    let convolutions = graph.nodes.iter().filter(|node| matches!(node.op, Op::Conv2d { .. }));
    convolutions.filter_map(|node| node.inputs.get(1).copied()).collect()
}

/// The weights that make the output, whose first axis is the classes'.
fn last_weights(graph: &Graph) -> Option<ValueId> {
    let last = graph.nodes.iter().find(|node| Some(&node.output) == graph.outputs.first())?;
    last.inputs.get(1).copied().filter(|_| matches!(last.op, Op::Linear))
}

/// The numbers of a tensor; `None` if they are not floats of 16 or 32 bits.
pub(crate) fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let (pairs, _) = view.data().as_chunks::<2>();
    match view.dtype() {
        Dtype::F32 => Some(view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Some(pairs.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => Some(pairs.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Tensors by name: type, shape in the file's axis order, bytes.
    type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

    fn student(seed: u64) -> Graph {
        families::build("resnet8", &Task::of_images([8, 8, 3], 4), seed).unwrap()
    }

    /// What PyTorch would save of a network.
    fn tensors(graph: &Graph) -> Tensors {
        let kernels = conv_weights(graph);
        let of = |(id, tensor): (ValueId, &Arc<Tensor>)| {
            let tensor = if kernels.contains(&id) { tensor.transpose(&[0, 3, 1, 2]) } else { (**tensor).clone() };
            let bytes = tensor.data().iter().flat_map(|v| v.to_le_bytes()).collect();
            (graph.value(id).name.clone(), (Dtype::F32, tensor.shape().to_vec(), bytes))
        };
        graph.params().map(of).collect()
    }

    fn bytes(tensors: &Tensors) -> Vec<u8> {
        let views = tensors
            .iter()
            .map(|(name, (dtype, shape, data))| (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
        serialize(views, None).unwrap()
    }

    fn fill_from(graph: &mut Graph, bytes: &[u8]) -> Result<(), WeightsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        std::fs::write(&path, bytes).unwrap();
        fill(graph, &path)
    }

    #[test]
    fn a_network_is_filled_exactly() {
        let (source, mut graph) = (student(1), student(2));
        let mut tensors = tensors(&source);
        tensors.insert("bn1.num_batches_tracked".into(), (Dtype::I64, vec![], vec![0; 8]));
        fill_from(&mut graph, &bytes(&tensors)).unwrap();
        assert_eq!(graph, source);
    }

    #[test]
    fn a_network_is_known_by_its_tensors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let task = Task::of_images([32, 32, 3], 4);
        // The widths of resnet8 share all names; another number of classes is told when the network is filled.
        for (name, classes) in [("resnet8", 4), ("resnet8-8", 5), ("resnet20", 4), ("resnet32", 4)] {
            save(&families::build(name, &Task { classes, ..task }, 1).unwrap(), &path).unwrap();
            assert_eq!(identify(&task, &path).unwrap(), name);
        }
        std::fs::write(&path, bytes(&Tensors::from([("a".into(), (Dtype::F32, vec![1], vec![0; 4]))]))).unwrap();
        let error = identify(&task, &path).unwrap_err().to_string();
        assert!(error.contains("resnet56") && error.contains("name the `network`"), "{error}");
    }

    #[test]
    fn halves_are_read() {
        let source = student(1);
        let all = tensors(&source);
        let narrow = |dtype: Dtype, cut: fn(f32) -> [u8; 2]| -> Tensors {
            let cut_all =
                |data: &[u8]| data.as_chunks::<4>().0.iter().flat_map(|b| cut(f32::from_le_bytes(*b))).collect();
            all.iter().map(|(name, (_, shape, data))| (name.clone(), (dtype, shape.clone(), cut_all(data)))).collect()
        };
        for (tensors, tolerance) in [
            (narrow(Dtype::F16, |v| f16::from_f32(v).to_le_bytes()), 1e-3),
            (narrow(Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes()), 1e-2),
        ] {
            let mut graph = student(2);
            fill_from(&mut graph, &bytes(&tensors)).unwrap();
            for ((_, got), (_, expected)) in graph.params().zip(source.params()) {
                assert!(got.data().iter().zip(expected.data()).all(|(a, b)| (a - b).abs() <= tolerance));
            }
        }
    }

    #[test]
    fn misfits_are_named_and_change_nothing() {
        let good = tensors(&student(1));
        let edit = |change: &dyn Fn(&mut Tensors)| {
            let mut tensors = good.clone();
            change(&mut tensors);
            bytes(&tensors)
        };
        let nan = |t: &mut Tensors| {
            t.get_mut("linear.bias").unwrap().2[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        };
        let whole = bytes(&good);
        let rows: &[(Vec<u8>, &[&str])] = &[
            (edit(&|t| drop(t.remove("bn1.weight"))), &["lacks", "bn1.weight", "resnet8"]),
            (edit(&|t| drop(t.insert("fc.bias".into(), (Dtype::F32, vec![1], vec![0; 4])))), &["fc.bias"]),
            (
                edit(&|t| {
                    for (name, shape) in [("linear.weight", vec![6, 64]), ("linear.bias", vec![6])] {
                        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
                        t.insert(name.into(), (Dtype::F32, shape, bytes));
                    }
                }),
                &["`resnet8` for 6 classes", "the data have 4"],
            ),
            (edit(&|t| t.get_mut("linear.weight").unwrap().1 = vec![64, 4]), &["linear.weight", "[64, 4]", "[4, 64]"]),
            (edit(&|t| t.get_mut("linear.bias").unwrap().0 = Dtype::I32), &["linear.bias", "I32"]),
            (edit(&nan), &["linear.bias", "NaN at 1"]),
            (whole[..whole.len() - 1].to_vec(), &["not a whole", "weights.safetensors"]),
            (whole[..5].to_vec(), &["not a whole"]),
        ];
        for (bytes, expected) in rows {
            let mut graph = student(2);
            let error = fill_from(&mut graph, bytes).unwrap_err().to_string();
            assert!(expected.iter().all(|part| error.contains(part)), "{error}");
            assert_eq!(graph, student(2));
        }
    }
}
