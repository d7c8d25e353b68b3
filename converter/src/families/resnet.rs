//! Residual networks (He et al. 2015) for small and large images, all from one description.

use super::builder::Builder;
use super::{Family, Input, Task};
use crate::data::Kind;
use crate::graph::{Graph, Op, ShapeError, Unary, ValueId, Window};

/// How the network begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// A 3x3 convolution at full resolution, for small images.
    Small,
    /// A 7x7 convolution and a 3x3 max pool, both of stride 2, for ImageNet-like images.
    Large,
}

/// What a residual block computes beside its shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 (with the stride), and 1x1 to four times the width.
    Bottleneck,
}

/// How a shortcut passes a change of shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Every second pixel, and zero channels on both sides (option A of the paper): no weights.
    Pad,
    /// A 1x1 convolution with normalization (option B).
    Conv,
}

/// The description of a residual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNet {
    /// How it begins.
    pub stem: Stem,
    /// What its blocks are.
    pub block: Block,
    /// How its shortcuts change shape.
    pub shortcut: Shortcut,
    /// Channels of the stem, and of the stages (inside the blocks).
    pub widths: Vec<usize>,
    /// Blocks of each stage; every stage but the first halves the resolution.
    pub depths: Vec<usize>,
}

/// Epsilon of every normalization, as PyTorch's default.
const BN_EPS: f32 = 1e-5;

/// The sizes that have a name: name, what it is, description.
fn named() -> Vec<(&'static str, &'static str, ResNet)> {
    let small = |width: usize, depth: usize, shortcut| ResNet {
        stem: Stem::Small,
        block: Block::Basic,
        shortcut,
        widths: vec![width, 2 * width, 4 * width],
        depths: vec![depth; 3],
    };
    let large = |width: usize, block, depths: [usize; 4]| ResNet {
        stem: Stem::Large,
        block,
        shortcut: Shortcut::Conv,
        widths: vec![width, 2 * width, 4 * width, 8 * width],
        depths: depths.to_vec(),
    };
    vec![
        ("resnet8-8", "a quarter of resnet8: 8/16/32 channels", small(8, 1, Shortcut::Conv)),
        ("resnet8", "MLPerf Tiny image classification: 16/32/64 channels", small(16, 1, Shortcut::Conv)),
        ("resnet8-40", "MLPerf Tiny IC02: 40/80/160 channels", small(40, 1, Shortcut::Conv)),
        ("resnet20", "CIFAR, 16/32/64 channels, padded shortcuts", small(16, 3, Shortcut::Pad)),
        ("resnet32", "CIFAR, 16/32/64 channels, padded shortcuts", small(16, 5, Shortcut::Pad)),
        ("resnet44", "CIFAR, 16/32/64 channels, padded shortcuts", small(16, 7, Shortcut::Pad)),
        ("resnet56", "CIFAR, 16/32/64 channels, padded shortcuts", small(16, 9, Shortcut::Pad)),
        (
            "resnet18-16",
            "a quarter of resnet18, for small photographs: 16/32/64/128 channels",
            large(16, Block::Basic, [2, 2, 2, 2]),
        ),
        ("resnet18", "ImageNet, basic blocks", large(64, Block::Basic, [2, 2, 2, 2])),
        ("resnet34", "ImageNet, basic blocks", large(64, Block::Basic, [3, 4, 6, 3])),
        ("resnet50", "ImageNet, bottleneck blocks", large(64, Block::Bottleneck, [3, 4, 6, 3])),
    ]
}

/// The family of all named residual networks.
pub struct ResNets;

impl Family for ResNets {
    fn name(&self) -> &'static str {
        "resnet"
    }

    fn takes(&self) -> Kind {
        Kind::Images
    }

    fn sizes(&self) -> Vec<(&'static str, &'static str)> {
        named().into_iter().map(|(name, what, _)| (name, what)).collect()
    }

    fn build(&self, size: &str, task: &Task, seed: u64) -> Option<Result<Graph, ShapeError>> {
        let Input::Image(image) = task.input else { return None };
        let (name, _, net) = named().into_iter().find(|(name, ..)| *name == size)?;
        Some(net.build(name, image, task.classes, seed))
    }
}

impl ResNet {
    /// The network, with weights drawn uniformly by He's rule from `seed`.
    ///
    /// Parameters bear the names that torchvision (large stem) and the well-known CIFAR networks (small stem) use.
    ///
    /// # Errors
    /// If the images are too small for it.
    pub fn build(&self, name: &str, image: [usize; 3], classes: usize, seed: u64) -> Result<Graph, ShapeError> {
        let mut b = Builder::new(name, BN_EPS, seed);
        let [height, width, channels] = image;
        let image = b.graph.input("image", [1, height, width, channels]);
        let mut x = self.stem(&mut b, image)?;
        for (stage, (&width, &depth)) in self.widths.iter().zip(&self.depths).enumerate() {
            for block in 0..depth {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(&mut b, &format!("layer{}.{block}", stage + 1), x, width, stride)?;
            }
        }
        b.classifier(if self.stem == Stem::Small { "linear" } else { "fc" }, x, classes)
    }

    fn stem(&self, b: &mut Builder, image: ValueId) -> Result<ValueId, ShapeError> {
        let width = self.widths.first().copied().unwrap_or(0);
        let (kernel, stride) = if self.stem == Stem::Small { (3, 1) } else { (7, 2) };
        let x = b.conv_bn(["conv1", "bn1"], image, width, Window::square(kernel, stride, kernel / 2))?;
        let x = b.unary("relu", Unary::Relu, x)?;
        match self.stem {
            Stem::Small => Ok(x),
            Stem::Large => b.graph.add("maxpool", Op::MaxPool(Window::square(3, 2, 1)), &[x]),
        }
    }

    fn block(
        &self,
        b: &mut Builder,
        name: &str,
        x: ValueId,
        width: usize,
        stride: usize,
    ) -> Result<ValueId, ShapeError> {
        let layers = match self.block {
            Block::Basic => vec![(width, Window::square(3, stride, 1)), (width, Window::square(3, 1, 1))],
            Block::Bottleneck => vec![
                (width, Window::square(1, 1, 0)),
                (width, Window::square(3, stride, 1)),
                (4 * width, Window::square(1, 1, 0)),
            ],
        };
        let out = layers[layers.len() - 1].0;
        let mut y = x;
        for (i, (channels, window)) in layers.iter().enumerate() {
            if i > 0 {
                y = b.unary(&format!("{name}.relu{i}"), Unary::Relu, y)?;
            }
            let (conv, bn) = (format!("{name}.conv{}", i + 1), format!("{name}.bn{}", i + 1));
            y = b.conv_bn([&conv, &bn], y, *channels, *window)?;
        }
        let same = stride == 1 && b.channels(x) == out;
        let shortcut = if same { x } else { self.shortcut(b, name, x, out, stride)? };
        let sum = b.graph.add(format!("{name}.add"), Op::Add, &[y, shortcut])?;
        b.unary(&format!("{name}.relu"), Unary::Relu, sum)
    }

    fn shortcut(
        &self,
        b: &mut Builder,
        name: &str,
        x: ValueId,
        out: usize,
        stride: usize,
    ) -> Result<ValueId, ShapeError> {
        match self.shortcut {
            Shortcut::Conv => {
                let name = format!("{name}.{}", if self.stem == Stem::Small { "shortcut" } else { "downsample" });
                b.conv_bn([&format!("{name}.0"), &format!("{name}.1")], x, out, Window::square(1, stride, 0))
            }
            Shortcut::Pad => {
                let mut y = x;
                for (axis, side) in [(1, "rows"), (2, "columns")] {
                    let len = b.graph.shape(y)[axis].div_ceil(stride);
                    let slice = Op::Slice { axis, start: 0, step: stride, len };
                    y = b.graph.add(format!("{name}.shortcut.{side}"), slice, &[y])?;
                }
                let missing = out.saturating_sub(b.channels(y));
                let sides = (missing / 2, missing - missing / 2);
                let pad = Op::Pad { pads: vec![(0, 0), (0, 0), (0, 0), sides], value: 0.0 };
                b.graph.add(format!("{name}.shortcut"), pad, &[y])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(name: &str, image: usize, classes: usize) -> Graph {
        ResNets.build(name, &Task::of_images([image, image, 3], classes), 7).unwrap().unwrap()
    }

    /// Learned parameters alone, without running statistics.
    fn learned(graph: &Graph) -> usize {
        let is_statistic = |name: &str| name.contains("running_");
        graph.params().filter(|(id, _)| !is_statistic(&graph.value(*id).name)).map(|(_, t)| t.len()).sum()
    }

    #[test]
    fn parameter_counts_are_those_of_the_papers() {
        let rows = [
            ("resnet8", 32, 10, 78_042),
            ("resnet20", 32, 10, 269_722),
            ("resnet32", 32, 10, 464_154),
            ("resnet44", 32, 10, 658_586),
            ("resnet56", 32, 10, 853_018),
            ("resnet18-16", 96, 12, 703_644),
            ("resnet18", 224, 1000, 11_689_512),
            ("resnet34", 224, 1000, 21_797_672),
            ("resnet50", 224, 1000, 25_557_032),
        ];
        for (name, image, classes, count) in rows {
            assert_eq!(learned(&build(name, image, classes)), count, "{name}");
        }
    }

    #[test]
    fn names_are_those_of_torch() {
        let has = |graph: &Graph, names: &[&str]| {
            for name in names {
                assert!(graph.find(name).is_some(), "{name} in {}", graph.name);
            }
        };
        has(
            &build("resnet8", 32, 10),
            &["layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.running_var", "linear.bias"],
        );
        has(&build("resnet56", 32, 10), &["conv1.weight", "bn1.running_mean", "layer3.8.bn2.bias", "linear.weight"]);
        has(&build("resnet50", 64, 10), &["layer1.0.downsample.0.weight", "layer4.2.conv3.weight", "fc.weight"]);
    }

    #[test]
    fn resolution_halves_at_each_stage() {
        let graph = build("resnet8", 32, 10);
        let shape = |name: &str| graph.shape(graph.find(name).unwrap()).to_vec();
        assert_eq!(shape("layer1.0.relu"), [1, 32, 32, 16]);
        assert_eq!(shape("layer2.0.relu"), [1, 16, 16, 32]);
        assert_eq!(shape("layer3.0.relu"), [1, 8, 8, 64]);
    }

    #[test]
    fn a_seed_fixes_the_weights() {
        let task = Task::of_images([32, 32, 3], 10);
        let of = |seed| ResNets.build("resnet8", &task, seed).unwrap().unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
