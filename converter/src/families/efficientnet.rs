//! EfficientNet-Lite (Tan and Le 2019, in the form for phones that Liu published in 2020): inverted residual blocks with ReLU6,
//! without squeeze-and-excite.

use super::builder::Builder;
use super::{Family, Input, Task};
use crate::data::Kind;
use crate::graph::{Graph, Op, Pads, ShapeError, Unary, ValueId, Window};

/// Blocks of one shape: repeats, kernel, stride of the first, expansion, channels.
type Stage = (usize, usize, usize, usize, usize);

/// The stages of the smallest network.
const STAGES: [Stage; 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// Channels before and behind the blocks, the same in all sizes.
const STEM: usize = 32;
const HEAD: usize = 1280;

/// Epsilon of every normalization.
const BN_EPS: f32 = 1e-3;

const RELU6: Unary = Unary::Clip { min: 0.0, max: 6.0 };

/// The sizes: name, what it is, and by what channels and repeats are multiplied.
const SIZES: [(&str, &str, f64, f64); 5] = [
    ("efficientnet-lite0", "ImageNet at 224 pixels, 4.7 million parameters", 1.0, 1.0),
    ("efficientnet-lite1", "ImageNet at 240 pixels, 5.4 million parameters", 1.0, 1.1),
    ("efficientnet-lite2", "ImageNet at 260 pixels, 6.1 million parameters", 1.1, 1.2),
    ("efficientnet-lite3", "ImageNet at 280 pixels, 8.2 million parameters", 1.2, 1.4),
    ("efficientnet-lite4", "ImageNet at 300 pixels, 13.0 million parameters", 1.4, 1.8),
];

/// The family of all sizes. Parameters bear the names of the PyTorch package `efficientnet-lite-pytorch`.
pub struct EfficientNets;

impl Family for EfficientNets {
    fn name(&self) -> &'static str {
        "efficientnet"
    }

    fn takes(&self) -> Kind {
        Kind::Images
    }

    fn sizes(&self) -> Vec<(&'static str, &'static str)> {
        SIZES.into_iter().map(|(name, what, ..)| (name, what)).collect()
    }

    fn build(&self, size: &str, task: &Task, seed: u64) -> Option<Result<Graph, ShapeError>> {
        let Input::Image(image) = task.input else { return None };
        let (name, _, width, depth) = SIZES.into_iter().find(|(name, ..)| *name == size)?;
        Some(build(name, [width, depth], image, task.classes, seed))
    }
}

fn build(
    name: &str,
    [width, depth]: [f64; 2],
    [rows, columns, channels]: [usize; 3],
    classes: usize,
    seed: u64,
) -> Result<Graph, ShapeError> {
    let mut b = Builder::new(name, BN_EPS, seed);
    let image = b.graph.input("image", [1, rows, columns, channels]);
    let window = same(&b, image, 3, 2);
    let x = b.conv_bn(["_conv_stem", "_bn0"], image, STEM, window)?;
    let mut x = b.unary("_relu0", RELU6, x)?;
    let mut number = 0;
    for (index, &(repeats, kernel, stride, expansion, out)) in STAGES.iter().enumerate() {
        // The first and the last stage are as deep in all sizes.
        let is_edge = index == 0 || index + 1 == STAGES.len();
        let repeats = if is_edge { repeats } else { (repeats as f64 * depth).ceil() as usize };
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            x = block(&mut b, &format!("_blocks.{number}"), x, [kernel, stride, expansion, scaled(out, width)])?;
            number += 1;
        }
    }
    let x = b.conv_bn(["_conv_head", "_bn1"], x, HEAD, Window::square(1, 1, 0))?;
    let x = b.unary("_relu1", RELU6, x)?;
    b.classifier("_fc", x, classes)
}

/// 1x1 to more channels, a depthwise convolution, 1x1 back; with a shortcut where the shape stays.
fn block(
    b: &mut Builder,
    name: &str,
    x: ValueId,
    [kernel, stride, expansion, out]: [usize; 4],
) -> Result<ValueId, ShapeError> {
    let channels = b.channels(x);
    let named = |part: &str| format!("{name}.{part}");
    let mut y = x;
    if expansion > 1 {
        let names = [&*named("_expand_conv"), &*named("_bn0")];
        y = b.conv_bn(names, y, expansion * channels, Window::square(1, 1, 0))?;
        y = b.unary(&named("_relu0"), RELU6, y)?;
    }
    let window = same(b, y, kernel, stride);
    y = b.depthwise_bn([&named("_depthwise_conv"), &named("_bn1")], y, window)?;
    y = b.unary(&named("_relu1"), RELU6, y)?;
    y = b.conv_bn([&named("_project_conv"), &named("_bn2")], y, out, Window::square(1, 1, 0))?;
    match stride == 1 && channels == out {
        true => b.graph.add(named("_add"), Op::Add, &[y, x]),
        false => Ok(y),
    }
}

/// Padding as TensorFlow's `SAME`: as many outputs as there are strides in the image, an odd pixel below and to the right.
fn same(b: &Builder, x: ValueId, kernel: usize, stride: usize) -> Window {
    let total = |axis: usize| {
        let size = b.graph.shape(x).get(axis).copied().unwrap_or(1);
        (size.div_ceil(stride).saturating_sub(1) * stride + kernel).saturating_sub(size)
    };
    let [rows, columns] = [1, 2].map(total);
    let pads = Pads { top: rows / 2, left: columns / 2, bottom: rows.div_ceil(2), right: columns.div_ceil(2) };
    Window { pads, ..Window::square(kernel, stride, 0) }
}

/// The nearest multiple of 8, but not below nine tenths.
fn scaled(channels: usize, by: f64) -> usize {
    let wanted = channels as f64 * by;
    let nearest = (wanted + 4.0) as usize / 8 * 8;
    let nearest = nearest.max(8);
    if (nearest as f64) < 0.9 * wanted { nearest + 8 } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(size: &str) -> usize {
        let task = Task::of_images([224, 224, 3], 1000);
        let graph = EfficientNets.build(size, &task, 1).unwrap().unwrap();
        let is_statistic = |name: &str| name.contains("running_");
        graph.params().filter(|(id, _)| !is_statistic(&graph.value(*id).name)).map(|(_, t)| t.len()).sum()
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        assert_eq!(learned("efficientnet-lite0"), 4_652_008);
        let rows = [("efficientnet-lite1", 5.4), ("efficientnet-lite2", 6.1), ("efficientnet-lite3", 8.2)];
        for (size, millions) in rows {
            assert!((learned(size) as f64 / 1e6 - millions).abs() < 0.05, "{size}");
        }
    }

    #[test]
    fn even_images_are_padded_below_and_to_the_right() {
        let mut b = Builder::new("g", BN_EPS, 1);
        let x = b.graph.input("x", [1, 224, 7, 3]);
        let pads = |kernel, stride| same(&b, x, kernel, stride).pads;
        assert_eq!(pads(3, 2), Pads { top: 0, left: 1, bottom: 1, right: 1 });
        assert_eq!(pads(5, 2), Pads { top: 1, left: 2, bottom: 2, right: 2 });
        assert_eq!(pads(5, 1), Pads::all(2));
    }

    #[test]
    fn resolution_and_names_are_those_of_the_package() {
        let task = Task::of_images([64, 64, 3], 5);
        let graph = EfficientNets.build("efficientnet-lite0", &task, 1).unwrap().unwrap();
        let shape = |name: &str| graph.shape(graph.find(name).unwrap()).to_vec();
        assert_eq!(shape("_blocks.0._project_conv"), [1, 32, 32, 16]);
        assert_eq!(shape("_blocks.5._depthwise_conv"), [1, 4, 4, 240]);
        assert_eq!(shape("_blocks.15._bn2.running_var"), [320]);
        assert!(graph.find("_blocks.0._expand_conv.weight").is_none() && graph.find("_blocks.2._add").is_some());
        assert_eq!(shape("_fc.weight"), [5, 1280]);
    }
}
