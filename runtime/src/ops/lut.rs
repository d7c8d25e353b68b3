//! Any function of one value (GELU, sigmoid, a change of scale) as a table of 256 bytes.

use super::prelude::*;

/// `table[x as u8]`: first the values at 0..=127, then at -128..=-1.
#[derive(Clone, Copy, Debug)]
pub struct Lut<'a> {
    /// One entry for each bit pattern of the input.
    pub table: &'a [i8; 256],
}

impl Lut<'_> {
    /// The function's value.
    #[inline(always)]
    pub const fn apply(&self, x: i8) -> i8 {
        self.table[x as u8 as usize]
    }
}

/// Fields: the offset of the table. The input may lie where the output does.
impl<'a> Operator<'a> for Lut<'a> {
    type Fields = u32;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    const ROWS: Rows = Rows::Kept;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let table = view.model().table(view.read()).ok_or(OpRule::Table)?;
        Ok(Lut { table })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<u32, OpRule> {
        Ok(sink.table(self.table))
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        OpRule::Shape.unless(view.input(0).shape == view.output().shape)
    }

    fn sharing(&self) -> Sharing {
        Sharing::May(0)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        operands.bring(0);
        (kernels.lut)(self, operands.output());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, run_op};

    #[test]
    fn good_and_bad_rows() {
        let halved: [i8; 256] = core::array::from_fn(|i| i as u8 as i8 / 2);
        let op = Op::Lut(Lut { table: &halved });
        let shape = Shape::new(1, 2, 3);
        let values: [i8; 6] = [0, 1, 127, -128, -1, -2];
        assert_eq!(run_op(op, &[(shape, &values)], shape), [0, 0, 63, -64, 0, -1]);
        assert_eq!(check_op(op, &[shape], Shape::new(2, 1, 3)), Err(OpRule::Shape));
        assert_eq!(check_op(op, &[shape, shape], shape), Err(OpRule::Operands));
    }
}
