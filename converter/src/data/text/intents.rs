//! The built-in task on texts: generated requests to the devices of a home, for the demo and for tests.
//!
//! A request names a device and what is to be done with it, and mostly a second device and its state, which is not to be changed.
//! What is wanted of which is told by the order of words alone: a network that only weighs words cannot know it.

use super::Texts;
use crate::data::Part;
use crate::data::random::{Purpose, stream};
use limbeck_runtime::Fnv1a64;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64Mcg;

/// Names of each device.
const DEVICES: [(&str, &[&str]); 4] = [
    ("lamp", &["lamp", "light", "ceiling light", "reading lamp", "floor lamp"]),
    ("radio", &["radio", "music", "stereo", "speaker", "record player"]),
    ("heater", &["heater", "heating", "radiator", "stove", "underfloor heating"]),
    ("fan", &["fan", "ventilator", "air conditioner", "cooler", "extractor fan"]),
];
/// Names of each state.
const STATES: [(&str, &str, &[&str]); 2] = [
    ("on", "on", &["turn on", "switch on", "start", "activate"]),
    ("off", "off", &["turn off", "switch off", "stop", "shut down"]),
];
const ROOMS: &[&str] = &["kitchen", "bedroom", "living room", "hall", "bathroom", "office", "cellar", "garage"];
const BEGINNINGS: &[&str] = &["", "", "please, ", "hey, ", "okay: ", "computer, ", "well, "];
const ENDINGS: &[&str] = &["", "", ".", "!", " now", " please", ", thanks", " for an hour", " until morning"];

/// Requests: `{do}` and `{x}` are what is wanted and of which device, `{X}` the wanted state; `{dont}`, `{y}` and `{Y}` are of another.
/// The first ones name one device only.
const FORMS: &[&str] = &[
    "{do} the {x}",
    "turn the {x} {X}",
    "{do} the {x} but leave the {y} {Y}",
    "leave the {y} {Y} and {do} the {x}",
    "don't {dont} the {y}, {do} the {x}",
    "{do} the {x}, don't {dont} the {y}",
    "the {y} stays {Y}, the {x} goes {X}",
    "the {x} goes {X}, the {y} stays {Y}",
    "i want the {x} {X} while the {y} is {Y}",
    "while the {y} is {Y} i want the {x} {X}",
    "instead of the {y} being {Y}, {do} the {x}",
];
const SIMPLE: usize = 2;

/// Of so many texts one is kept for the test part.
const PARTS: u64 = 5;

/// `texts` requests, as many of each class as of the others, the same for a seed. The parts share no text.
pub fn generate(texts: usize, part: Part, seed: u64) -> Texts {
    let classes: Vec<String> =
        DEVICES.iter().flat_map(|(device, _)| STATES.map(|(state, ..)| format!("{device} {state}"))).collect();
    let labels: Vec<u32> = (0..texts).map(|index| (index % classes.len()) as u32).collect();
    let text = |(index, &label): (usize, &u32)| {
        let rng = &mut stream(seed, Purpose::Scene, u64::from(part == Part::Test), index as u64);
        let mut drawn = std::iter::repeat_with(|| request(rng, label as usize));
        // The text itself says to which part it belongs, so none is in both. What fits the part comes after a few draws.
        drawn.find(|text| part_of(text) == part).unwrap_or_default()
    };
    Texts { texts: labels.iter().enumerate().map(text).collect(), labels, classes }
}

fn part_of(text: &str) -> Part {
    let mut hash = Fnv1a64::new();
    hash.update(&text.bytes().map(u8::cast_signed).collect::<Vec<_>>());
    // The upper bits depend on all letters.
    if (hash.finish() >> 32).is_multiple_of(PARTS) { Part::Test } else { Part::Train }
}

/// A request of a class.
fn request(rng: &mut Pcg64Mcg, class: usize) -> String {
    let (device, state) = (class / STATES.len(), class % STATES.len());
    let other = (device + rng.random_range(1..DEVICES.len())) % DEVICES.len();
    let other_state = rng.random_range(0..STATES.len());
    let (simple, others) = FORMS.split_at(SIMPLE);
    let forms = if rng.random_bool(0.3) { simple } else { others };
    let form = pick(rng, forms);
    let mut text = String::from(pick(rng, BEGINNINGS));
    let mut rest = form;
    while let Some((before, slot, after)) = slot(rest) {
        text += before;
        match slot {
            "do" => text += pick(rng, STATES[state].2),
            "dont" => text += pick(rng, STATES[other_state].2),
            "X" => text += STATES[state].1,
            "Y" => text += STATES[other_state].1,
            "x" => text += &named(rng, device),
            _ => text += &named(rng, other),
        }
        rest = after;
    }
    text + rest + pick(rng, ENDINGS)
}

/// What stands before the next slot of a form, its name, and what stands behind it.
fn slot(form: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = form.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

/// A device by one of its names, mostly in some room, and sometimes mistyped.
fn named(rng: &mut Pcg64Mcg, device: usize) -> String {
    let mut name = String::new();
    if rng.random_bool(0.6) {
        name = format!("{} ", pick(rng, ROOMS));
    }
    name += pick(rng, DEVICES[device].1);
    if rng.random_bool(0.1) {
        let letter = name.pop();
        let doubled = name.chars().last();
        name.extend(doubled.into_iter().chain(letter));
    }
    name
}

fn pick(rng: &mut Pcg64Mcg, from: &[&'static str]) -> &'static str {
    from.choose(rng).copied().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn texts_repeat_for_a_seed_and_are_of_one_part_only() {
        let train = generate(400, Part::Train, 1);
        assert_eq!(train, generate(400, Part::Train, 1));
        assert_eq!(train.texts[..5], generate(5, Part::Train, 1).texts);
        assert_ne!(train, generate(400, Part::Train, 2));
        let all: BTreeSet<&String> = train.texts.iter().collect();
        let test = generate(100, Part::Test, 1);
        assert!(test.texts.iter().all(|text| !all.contains(text) && !text.is_empty() && !text.contains('{')));
        assert_eq!((test.classes.len(), test.classes[3].as_str()), (8, "radio off"));
        for label in 0..8 {
            assert_eq!(train.labels.iter().filter(|&&l| l == label).count(), 50);
        }
    }

    /// The best that counting words can do (naive Bayes) is far from the truth.
    #[test]
    fn words_alone_do_not_tell_the_class() {
        let (train, test) = (generate(4000, Part::Train, 1), generate(800, Part::Test, 1));
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
        let mut counts: BTreeMap<String, [f64; 8]> = BTreeMap::new();
        for (text, &label) in train.texts.iter().zip(&train.labels) {
            for word in words(text) {
                counts.entry(word).or_default()[label as usize] += 1.0;
            }
        }
        let right = test.texts.iter().zip(&test.labels).filter(|(text, label)| {
            let mut scores = [0.0; 8];
            for found in words(text).iter().filter_map(|word| counts.get(word)) {
                scores.iter_mut().zip(found).for_each(|(score, count)| *score += (count + 0.1).ln());
            }
            let best = (0..8).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            best == Some(**label as usize)
        });
        let share = right.count() as f64 / test.texts.len() as f64;
        assert!((0.3..0.7).contains(&share), "{share}");
    }
}
