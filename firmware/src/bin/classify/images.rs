//! Images: filled into the model's input pixel by pixel.

use core::ffi::CStr;

use firmware::board;
use firmware::counter::count;
use firmware::host::println;
use firmware::images::Images;
use limbeck_runtime::Fnv1a64;

use crate::{Failure, ModelSession, largest};

/// A line for each image.
pub(crate) fn classify(session: &mut ModelSession, path: &CStr) -> Result<(), Failure> {
    let mut images = Images::open(path)?;
    let mut number = 0;
    while load(session, &mut images)? {
        let ((), cost) = count(|| session.run());
        let (class, digest) = (largest(session.output(0)), session.digest());
        println!("image {number} class {class} digest {digest:016x} {} {cost}", board::UNIT);
        defmt::info!("image {=u32}: class {=usize}, {=u64} {=str}", number, class, cost, board::UNIT);
        number += 1;
    }
    Ok(())
}

/// One digest of the outputs of all images, and the mean cost.
pub(crate) fn classify_quietly(session: &mut ModelSession, path: &CStr) -> Result<(), Failure> {
    let mut images = Images::open(path)?;
    let (mut number, mut total, mut digest) = (0, 0, Fnv1a64::new());
    while load(session, &mut images)? {
        total += count(|| session.run()).1;
        for i in 0..session.model().outputs() {
            digest.update(session.output(i));
        }
        number += 1;
    }
    let (digest, mean) = (digest.finish(), total.checked_div(number).unwrap_or(0));
    println!("images {number} digest {digest:016x} {} {mean}", board::UNIT);
    Ok(())
}

/// Fills the model's input with the next image; false after the last.
fn load(session: &mut ModelSession, images: &mut Images) -> Result<bool, Failure> {
    let Some(port) = session.model().input(0) else { return Err(Failure::NoInput) };
    let channels = port.tensor.shape.channels;
    let input = session.input_mut(0);
    Ok(images.next(input.len(), |i, pixel| {
        if let Some(value) = input.get_mut(i) {
            *value = port.pixel(i % channels, pixel);
        }
    })?)
}
