//! The buffers of a case once more, each beside pages that nobody may touch: what reads or writes outside of a slice ends the process.

use super::bench::Params;
use super::pages::Pages;
use super::{ACTIVATION, CHANNELS, SCRATCH, WEIGHTS};
use crate::kernels::cast;
use crate::quant::Channels;

/// Which end of a buffer lies at a forbidden page.
#[derive(Clone, Copy)]
pub(super) enum Edge {
    Start,
    End,
}

/// Memory for all buffers of a case.
pub(super) struct Guards {
    input: Pages,
    output: Pages,
    scratch: Pages,
    weights: Pages,
    channels: [Pages; 3],
}

impl Guards {
    /// None where the system gives none.
    pub(super) fn new() -> Option<Guards> {
        let channels = || Pages::map(4 * CHANNELS);
        Some(Guards {
            input: Pages::map(ACTIVATION)?,
            output: Pages::map(ACTIVATION)?,
            scratch: Pages::map(SCRATCH)?,
            weights: Pages::map(WEIGHTS)?,
            channels: [channels()?, channels()?, channels()?],
        })
    }

    /// Runs `kernel` on copies, `output` as it is on entry, and gives the output. Scratch has `scratch` bytes and begins at a multiple of 16, so up
    /// to 15 bytes behind it can be touched unseen.
    pub(super) fn run(
        &mut self,
        edge: Edge,
        params: Params<'_>,
        [input, output]: [&[i8]; 2],
        scratch: usize,
        kernel: impl Fn(Params<'_>, &[i8], &mut [i8], &mut [u8]),
    ) -> &[i8] {
        let [bias, multiplier, shift] = &mut self.channels;
        let Channels { bias: own_bias, multiplier: own_multiplier, shift: own_shift } = params.channels;
        let params = Params {
            weights: cast::i8s(copy(&mut self.weights, edge, cast::u8s(params.weights))),
            channels: Channels {
                bias: copy_numbers(bias, edge, own_bias),
                multiplier: copy_numbers(multiplier, edge, own_multiplier),
                shift: copy(shift, edge, own_shift),
            },
        };
        let input = cast::i8s(copy(&mut self.input, edge, cast::u8s(input)));
        let output = cast::i8s_mut(copy(&mut self.output, edge, cast::u8s(output)));
        let scratch = &mut place(&mut self.scratch, edge, scratch.next_multiple_of(16))[..scratch];
        scratch.fill(0xa5);
        kernel(params, input, output, scratch);
        output
    }
}

/// So many bytes at an edge.
fn place(pages: &mut Pages, edge: Edge, len: usize) -> &mut [u8] {
    let bytes = pages.bytes();
    match edge {
        Edge::Start => &mut bytes[..len],
        Edge::End => {
            let from = bytes.len() - len;
            &mut bytes[from..]
        }
    }
}

fn copy<'a>(pages: &'a mut Pages, edge: Edge, from: &[u8]) -> &'a mut [u8] {
    let to = place(pages, edge, from.len());
    to.copy_from_slice(from);
    to
}

fn copy_numbers<'a>(pages: &'a mut Pages, edge: Edge, from: &[i32]) -> &'a [i32] {
    let to = place(pages, edge, 4 * from.len());
    for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from) {
        *to = from.to_le_bytes();
    }
    cast::i32s(to).unwrap_or(&[])
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// Which byte of a guarded slice the process reads that [`accesses_beyond_a_slice_end_the_process`] starts.
    const READ: &str = "LIMBECK_TEST_READ";

    #[test]
    fn accesses_beyond_a_slice_end_the_process() {
        const LEN: usize = 1001;
        if let Ok(at) = std::env::var(READ) {
            let mut pages = Pages::map(LEN).unwrap();
            let (edge, at) = if at == "-1" { (Edge::Start, usize::MAX) } else { (Edge::End, at.parse().unwrap()) };
            let first = place(&mut pages, edge, LEN).as_ptr();
            // SAFETY: a byte of the slice, or one that ends the process.
            assert_eq!(unsafe { first.wrapping_add(at).read_volatile() }, 0);
            return;
        }
        let signal = |at: &str| {
            let name = "kernels::contract::guard::tests::accesses_beyond_a_slice_end_the_process";
            let done = Command::new(std::env::current_exe().unwrap()).args(["--exact", name]).env(READ, at).output();
            done.unwrap().status.signal()
        };
        const FAULT: i32 = 11;
        assert_eq!(["0", "1000", "1001", "-1"].map(signal), [None, None, Some(FAULT), Some(FAULT)]);
    }
}
