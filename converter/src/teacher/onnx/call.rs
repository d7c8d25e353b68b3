//! One node of an ONNX file: its names and its attributes with their defaults.

use super::error::Problem;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

/// A node and the operator set that gives it its meaning.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) node: &'a pb::NodeProto,
    pub(super) opset: i64,
}

impl<'a> Call<'a> {
    /// The node's name, or where it has none that of its first output.
    pub(super) fn name(&self) -> &'a str {
        if self.node.name.is_empty() { self.output() } else { &self.node.name }
    }

    /// The name of the first output.
    pub(super) fn output(&self) -> &'a str {
        self.node.output.first().map_or("", String::as_str)
    }

    /// The name of an input; `None` where it is left out.
    pub(super) fn input(&self, index: usize) -> Option<&'a str> {
        self.node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Names of all inputs that are not left out.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &'a str> {
        self.node.input.iter().map(String::as_str).filter(|name| !name.is_empty())
    }

    fn attribute(&self, name: &str) -> Option<&'a pb::AttributeProto> {
        self.node.attribute.iter().find(|a| a.name == name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |a| a.i)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |a| a.f)
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Result<&'a str, Problem> {
        match self.attribute(name) {
            None => Ok(default),
            Some(a) => {
                std::str::from_utf8(&a.s).map_err(|_| Problem::invalid(format!("attribute `{name}` is not text")))
            }
        }
    }

    /// Whether a Cast is to a type of floats.
    pub(super) fn casts_to_float(&self) -> bool {
        let to = DataType::try_from(self.int("to", 0) as i32);
        matches!(to, Ok(DataType::Float | DataType::Float16 | DataType::Double))
    }

    /// `N` sizes of an attribute, or as many times `default`.
    pub(super) fn sizes<const N: usize>(&self, name: &str, default: usize) -> Result<[usize; N], Problem> {
        let Some(ints) = self.ints(name).filter(|ints| !ints.is_empty()) else { return Ok([default; N]) };
        let sizes: Option<Vec<usize>> = ints.iter().map(|&i| usize::try_from(i).ok()).collect();
        let sizes = sizes.and_then(|sizes| sizes.try_into().ok());
        sizes.ok_or_else(|| Problem::invalid(format!("attribute `{name}` is {ints:?}, not {N} sizes")))
    }
}

/// An axis counted from the front; negative ones count from the end.
pub(super) fn axis(index: i64, rank: usize) -> Result<usize, Problem> {
    let from_front = if index < 0 { index + rank as i64 } else { index };
    usize::try_from(from_front)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| Problem::invalid(format!("axis {index} of a tensor of {rank} axes")))
}

/// Several [`axis`]es, sorted.
pub(super) fn axes(indices: &[i64], rank: usize) -> Result<Vec<usize>, Problem> {
    let mut axes = indices.iter().map(|&i| axis(i, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}
