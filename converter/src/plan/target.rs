//! What a plan must know of its target.

use super::PlanError;
use crate::pack::params::{Layer, attention_shape, conv2d, depthwise, linear};
use crate::quantize::{QuantGraph, QuantNode, QuantOp};
use limbeck_runtime::{Isa, Layout};
use limbeck_targets::{Device, Target};

/// The kernels that may run the model, and the memory there is.
#[derive(Clone, Debug)]
pub struct PlanTarget {
    /// Its name.
    pub name: String,
    /// Order of the weights.
    pub layout: Layout,
    /// Tables that read this order: working memory is planned for the one that wants most.
    pub tables: Vec<Isa>,
    /// Memory and cost figures of a board; hosts have no limits.
    pub device: Option<Device>,
    /// Whether to fuse sums into convolutions: never changes a byte, but hides the convolution's own result.
    pub fuse_sums: bool,
}

impl PlanTarget {
    /// What the data files say of a target.
    ///
    /// # Errors
    /// If its best table of kernels is not known here.
    pub fn new(target: &Target) -> Result<Self, PlanError> {
        let unknown = |table: &str| PlanError::UnknownTable {
            target: target.name.clone(),
            table: table.to_owned(),
            known: Isa::ALL.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "),
        };
        let named = target.isas.iter().map(|name| Isa::by_name(name).ok_or_else(|| unknown(name)));
        let tables = named.collect::<Result<Vec<_>, _>>()?;
        let layout = tables.first().map_or(Layout::PLAIN, |isa| isa.layout());
        let mut planned = Self::with_layout(&target.name, layout);
        planned.tables.retain(|isa| tables.contains(isa));
        planned.device.clone_from(&target.device);
        Ok(planned)
    }

    /// Any machine that reads this order of weights, with memory enough.
    pub fn with_layout(name: &str, layout: Layout) -> Self {
        let tables = Isa::ALL.iter().copied().filter(|isa| isa.reads(layout)).collect();
        PlanTarget { name: name.to_owned(), layout, tables, device: None, fuse_sums: true }
    }

    /// This computer, with the order of weights that its best table reads.
    pub fn this_computer() -> Self {
        let best = limbeck_runtime::Kernels::all().last().map_or(Isa::Scalar, |kernels| kernels.isa);
        Self::with_layout("this computer", best.layout())
    }

    /// Working memory of a node.
    pub fn scratch(&self, graph: &QuantGraph, node: &QuantNode) -> usize {
        let layer = Layer::default();
        let rules = self.tables.iter().map(|isa| isa.scratch());
        let bytes = rules.map(|rule| match &node.op {
            QuantOp::Conv2d { .. } => (rule.conv2d)(&conv2d(graph, node, &layer, self.layout, None)),
            QuantOp::Depthwise { .. } => (rule.depthwise)(&depthwise(graph, node, &layer)),
            QuantOp::Linear { .. } => (rule.linear)(&linear(graph, node, &layer, self.layout)),
            QuantOp::Attention { heads } => (rule.attention)(&attention_shape(graph, node, *heads)),
            _ => 0,
        });
        bytes.max().unwrap_or(0)
    }
}

/// A layout as the four numbers that a model file has for it.
pub(super) mod layout_numbers {
    use limbeck_runtime::Layout;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(in crate::plan) fn serialize<S: Serializer>(layout: &Layout, serializer: S) -> Result<S::Ok, S::Error> {
        [layout.n, layout.k, layout.order as u8, layout.input_offset].serialize(serializer)
    }

    pub(in crate::plan) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Layout, D::Error> {
        let [n, k, order, input_offset] = <[u8; 4]>::deserialize(deserializer)?;
        Layout::new(n, k, order, input_offset).ok_or_else(|| D::Error::custom("no layout has these numbers"))
    }
}
