//! Where the values of a model lie on a GPU: one place for whatever an op writes, nothing is written twice.
//!
//! A file says where tensors lie in an arena, whose bytes are used again and again. Here each result of an op has words of its own,
//! so that all of them are there at the end of a run. A pixel is a whole number of quads: four channels, one word of int8 or
//! two of int16; so no kernel knows of odd channels. All examples of a value lie one after another.

use super::GpuError;
use limbeck_runtime::{Model, Shape, Tensor};
use std::ops::Range;

/// Channels that are computed together.
pub(super) const QUAD: usize = 4;

/// The place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// What the file says of it.
    pub(super) tensor: Tensor,
    /// Words of the values before it, for one example.
    pub(super) offset: usize,
}

impl Value {
    /// No value.
    const NONE: Value = Value { tensor: Tensor::new(0, Shape::new(0, 0, 0)), offset: 0 };

    /// The same words as a tensor of another shape, if they are in its order: where channels are whole quads, words are just bytes.
    fn seen_as(&self, tensor: Tensor) -> Option<Value> {
        let [from, to] = [self.tensor.shape.channels, tensor.shape.channels];
        let same = from == to || (from.is_multiple_of(QUAD) && to.is_multiple_of(QUAD));
        same.then_some(Value { tensor, ..*self })
    }

    /// Words of a pixel.
    pub(super) fn pixel_words(&self) -> usize {
        self.tensor.shape.channels.div_ceil(QUAD) * self.tensor.element.bytes()
    }

    /// Words of one example.
    pub(super) fn words(&self) -> usize {
        self.tensor.shape.pixels() * self.pixel_words()
    }

    /// Bytes of a pixel in the runtime's arena.
    pub(super) fn pixel_bytes(&self) -> usize {
        self.tensor.shape.channels * self.tensor.element.bytes()
    }

    /// Puts the bytes of an arena into pixels of whole quads.
    pub(super) fn put(&self, bytes: &[i8], to: &mut [u8]) {
        for (from, to) in bytes.chunks_exact(self.pixel_bytes()).zip(to.chunks_exact_mut(4 * self.pixel_words())) {
            for (from, to) in from.iter().zip(to) {
                *to = from.cast_unsigned();
            }
        }
    }

    /// The bytes of an arena, of as many pixels as there are.
    pub(super) fn bytes<'a>(&self, words: &'a [u8]) -> impl Iterator<Item = i8> + 'a {
        let length = self.pixel_bytes();
        words
            .chunks_exact(4 * self.pixel_words())
            .flat_map(move |pixel| pixel[..length].iter().map(|b| b.cast_signed()))
    }
}

/// An op's values.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Inputs that must first be brought from one shape into another, where pixels are no whole quads.
    pub(super) reshaped: Vec<[Value; 2]>,
    /// The inputs, in the shapes that the op takes.
    pub(super) inputs: Vec<Value>,
    /// What it writes.
    pub(super) output: Value,
}

/// The values of a model, each made by an input or an op.
#[derive(Clone, Debug)]
pub(super) struct Values {
    /// Of the inputs.
    pub(super) inputs: Vec<Value>,
    /// Of each op.
    pub(super) calls: Vec<Call>,
    /// Of the outputs.
    pub(super) outputs: Vec<Value>,
    /// Words of all of them, for one example.
    pub(super) words: usize,
}

impl Values {
    /// Follows a model's tensors through its arena.
    ///
    /// # Errors
    /// If an op reads what is not just one former value: the converter makes no such model.
    pub(super) fn of(model: &Model<'_>) -> Result<Values, GpuError> {
        let mut arena = Arena::default();
        let ports = (0..model.inputs()).filter_map(|i| model.input(i));
        let inputs = ports.map(|port| arena.write(port.tensor)).collect();
        let mut calls = Vec::new();
        for (number, view) in model.ops().enumerate() {
            let mut call = Call { reshaped: Vec::new(), inputs: Vec::new(), output: Value::NONE };
            for tensor in (0..view.inputs()).map(|i| view.input(i)) {
                let kind = view.kind().map_or("", |kind| kind.name());
                let value = arena.read(tensor).ok_or(GpuError::Overlap { op: number, kind })?;
                call.inputs.push(match value.seen_as(tensor) {
                    Some(value) => value,
                    None => {
                        let reshaped = arena.place(tensor);
                        call.reshaped.push([value, reshaped]);
                        reshaped
                    }
                });
            }
            call.output = arena.write(view.output());
            calls.push(call);
        }
        let outputs = (0..model.outputs()).filter_map(|i| model.output(i));
        let missing = GpuError::Overlap { op: calls.len(), kind: "outputs" };
        let outputs = outputs.map(|port| arena.read(port.tensor)).collect::<Option<_>>().ok_or(missing)?;
        Ok(Values { inputs, calls, outputs, words: arena.words })
    }
}

/// What lies where at a moment of a run.
#[derive(Default)]
struct Arena {
    whole: Vec<(Range<usize>, Value)>,
    words: usize,
}

impl Arena {
    fn place(&mut self, tensor: Tensor) -> Value {
        let value = Value { tensor, offset: self.words };
        self.words += value.words();
        value
    }

    fn write(&mut self, tensor: Tensor) -> Value {
        let range = tensor.range();
        self.whole.retain(|(other, _)| other.end <= range.start || range.end <= other.start);
        let value = self.place(tensor);
        self.whole.push((range, value));
        value
    }

    /// The value that just fills the place of a tensor.
    fn read(&self, tensor: Tensor) -> Option<Value> {
        let (_, value) = self.whole.iter().find(|(range, _)| *range == tensor.range())?;
        let same = value.tensor.element == tensor.element && value.tensor.sequence == tensor.sequence;
        // The rows of a sequence stay what they are.
        (same && (!tensor.sequence || value.tensor.shape == tensor.shape)).then_some(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbeck_runtime::Element;

    fn value(shape: Shape, element: Element) -> Value {
        Value { tensor: Tensor { element, ..Tensor::new(0, shape) }, offset: 7 }
    }

    #[test]
    fn pixels_are_padded_to_quads_and_back() {
        let bytes: Vec<i8> = (0..10).map(|i| i - 5).collect();
        for (shape, element, words) in [
            (Shape::new(1, 2, 5), Element::Int8, 4),
            (Shape::new(5, 2, 1), Element::Int8, 10),
            (Shape::new(1, 1, 10), Element::Int8, 3),
            (Shape::new(1, 1, 5), Element::Int16, 4),
            (Shape::new(5, 1, 1), Element::Token, 10),
        ] {
            let value = value(shape, element);
            assert_eq!(value.words(), words, "{shape:?}");
            let mut to = vec![0x55; 4 * words];
            value.put(&bytes, &mut to);
            assert_eq!(value.bytes(&to).collect::<Vec<_>>(), bytes, "{shape:?}");
        }
    }

    #[test]
    fn whole_quads_are_seen_in_any_shape_others_in_their_own() {
        let seen = |from, to| value(from, Element::Int8).seen_as(Tensor::new(0, to)).is_some();
        assert!(seen(Shape::new(2, 3, 8), Shape::new(1, 1, 48)));
        assert!(seen(Shape::new(2, 3, 5), Shape::new(1, 6, 5)));
        assert!(!seen(Shape::new(2, 2, 3), Shape::new(1, 1, 12)));
        assert!(!seen(Shape::new(1, 1, 12), Shape::new(2, 2, 3)));
    }

    #[test]
    fn a_place_that_is_written_again_holds_nothing_else() {
        let mut arena = Arena::default();
        let tensor = |offset, len| Tensor::new(offset, Shape::new(1, 1, len));
        let first = arena.write(tensor(0, 32));
        let second = arena.write(tensor(32, 16));
        assert_eq!(arena.read(tensor(0, 32)), Some(first));
        assert_eq!(arena.read(tensor(0, 16)), None);
        let third = arena.write(tensor(16, 8));
        assert_eq!((arena.read(tensor(0, 32)), arena.read(tensor(32, 16))), (None, Some(second)));
        assert_eq!((arena.read(tensor(16, 8)), third.offset, arena.words), (Some(third), 12, 14));
    }
}
