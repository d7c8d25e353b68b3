//! Residual networks as lists of convolutions: what the benchmarks run, with random weights.

use limbeck_runtime::Shape;

/// A convolution without its weights. Images keep their size but for the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Shape of the input.
    pub input: Shape,
    /// Output channels.
    pub channels: usize,
    /// Taps in each direction.
    pub kernel: usize,
    /// Distance of neighbouring outputs.
    pub stride: usize,
    /// Whether a residual is added.
    pub residual: bool,
}

impl Layer {
    /// Shape of the output.
    pub fn output(&self) -> Shape {
        Shape::new(self.input.height.div_ceil(self.stride), self.input.width.div_ceil(self.stride), self.channels)
    }

    /// Multiplications.
    pub fn macs(&self) -> usize {
        self.output().len() * self.kernel * self.kernel * self.input.channels
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Layer { input: Shape { height, width, channels: from }, channels, kernel, stride, residual } = self;
        let plus = if *residual { " +" } else { "" };
        f.pad(&format!("{height}x{width}x{from} -> {channels} {kernel}x{kernel}/{stride}{plus}"))
    }
}

/// Convolutions in a row; the last adds the block's input, or what the convolution on the shortcut makes of it.
#[derive(Clone, Debug)]
pub struct Block {
    /// On the shortcut, where shapes change.
    pub shortcut: Option<Layer>,
    /// The others.
    pub chain: Vec<Layer>,
}

/// A residual network: stem, blocks, mean of each channel, linear layer.
#[derive(Clone, Debug)]
pub struct Network {
    /// The first convolution.
    pub stem: Layer,
    /// Whether a 3x3 max pool with stride 2 follows it.
    pub pool: bool,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Outputs of the linear layer.
    pub classes: usize,
}

impl Network {
    /// The names that [`Network::named`] knows.
    pub const NAMES: [&str; 4] = ["resnet8", "resnet20", "resnet18", "resnet50"];

    /// A network of the literature: MLPerf Tiny's ResNet-8, ResNet-20 for CIFAR-10, ResNet-18 and 50 for ImageNet.
    pub fn named(name: &str) -> Option<Network> {
        let stem = |size, channels, kernel, stride| Layer {
            input: Shape::new(size, size, 3),
            channels,
            kernel,
            stride,
            residual: false,
        };
        let small = (stem(32, 16, 3, 1), false, 10);
        let large = (stem(224, 64, 7, 2), true, 1000);
        let ((stem, pool, classes), bottleneck, stages): (_, bool, &[(usize, usize)]) = match name {
            "resnet8" => (small, false, &[(16, 1), (32, 1), (64, 1)]),
            "resnet20" => (small, false, &[(16, 3), (32, 3), (64, 3)]),
            "resnet18" => (large, false, &[(64, 2), (128, 2), (256, 2), (512, 2)]),
            "resnet50" => (large, true, &[(64, 3), (128, 4), (256, 6), (512, 3)]),
            _ => return None,
        };
        let mut from = stem.output();
        if pool {
            from = Shape::new(from.height.div_ceil(2), from.width.div_ceil(2), from.channels);
        }
        let mut blocks = Vec::new();
        for (stage, &(channels, count)) in stages.iter().enumerate() {
            for i in 0..count {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let block = Block::new(from, channels, stride, bottleneck);
                from = block.chain[block.chain.len() - 1].output();
                blocks.push(block);
            }
        }
        Some(Network { stem, pool, blocks, classes })
    }

    /// All convolutions, in order.
    pub fn layers(&self) -> Vec<Layer> {
        let blocks = self.blocks.iter().flat_map(|block| block.shortcut.iter().chain(&block.chain));
        std::iter::once(&self.stem).chain(blocks).copied().collect()
    }
}

impl Block {
    fn new(input: Shape, channels: usize, stride: usize, bottleneck: bool) -> Block {
        let sizes: &[(usize, usize, usize)] = if bottleneck {
            &[(channels, 1, 1), (channels, 3, stride), (4 * channels, 1, 1)]
        } else {
            &[(channels, 3, stride), (channels, 3, 1)]
        };
        let mut chain: Vec<Layer> = Vec::new();
        for (i, &(channels, kernel, stride)) in sizes.iter().enumerate() {
            let input = chain.last().map_or(input, Layer::output);
            chain.push(Layer { input, channels, kernel, stride, residual: i + 1 == sizes.len() });
        }
        let channels = sizes[sizes.len() - 1].0;
        let changes = stride > 1 || input.channels != channels;
        let shortcut = Layer { input, channels, kernel: 1, stride, residual: false };
        Block { shortcut: changes.then_some(shortcut), chain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplications_are_those_of_the_literature() {
        let millions = |name: &str| {
            let network = Network::named(name).unwrap();
            let linear = network.blocks.last().unwrap().chain.last().unwrap().channels * network.classes;
            (network.layers().iter().map(Layer::macs).sum::<usize>() + linear) / 100_000
        };
        // In tenths.
        assert_eq!(Network::NAMES.map(millions), [125, 408, 18140, 40891]);
        assert!(Network::named("resnet9").is_none());
    }
}
