//! Single test examples with what each network says of them.

use super::Found;
use super::page::{Section, base64, escape};
use crate::data::{Dataset, Set};
use crate::verify::record::{Example, Said};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// Characters of a text that are shown.
const CHARACTERS: usize = 400;

/// Examples that were not chosen.
pub(super) fn evenly(found: &Found<'_>) -> Section {
    let lead = "Test examples taken evenly, neither good nor bad ones on purpose, with the class that each network finds most \
                likely and its probability."
        .to_owned();
    let body = cards(found, &found.record.examples, false);
    Section { id: "examples", title: "Examples", lead, body }
}

/// Examples on which the student differs most from what it learned from.
pub(super) fn furthest(found: &Found<'_>) -> Section {
    let other = if found.record.teacher.is_some() { "teacher" } else { "float student" };
    let lead = format!(
        "The test examples on which the int8 student is furthest from its {other}, by total variation: half the sum of the \
         differences of their probabilities."
    );
    let all = &found.record.disagreements;
    let body = if all.is_empty() {
        "<p>They say the same of every example.</p>\n".to_owned()
    } else {
        cards(found, all, true)
    };
    Section { id: "disagreement", title: "Where they disagree most", lead, body }
}

fn cards(found: &Found<'_>, examples: &[Example], distance: bool) -> String {
    let texts = matches!(found.test, Set::Texts(_));
    let cards: String = examples.iter().map(|example| card(found, example, distance)).collect();
    format!("<div class=\"cards{}\">\n{cards}</div>\n", if texts { " texts" } else { "" })
}

fn card(found: &Found<'_>, example: &Example, distance: bool) -> String {
    let name =
        |class: usize| found.record.data.classes.get(class).map_or_else(|| class.to_string(), |name| escape(name));
    let say = |class: &str, said: &Said| {
        let verdict = if said.class == example.class { "yes" } else { "no" };
        format!(
            "<div class=\"say {class} {verdict}\"><span class=\"who\">{class}</span><span class=\"what\">{}</span>\
             <span class=\"how\">{:.1} %</span><i style=\"width:{:.1}%\"></i></div>",
            name(said.class),
            100.0 * said.probability,
            100.0 * said.probability
        )
    };
    let shown = match (found.test, &example.text) {
        (Set::Images(images), _) if example.index < images.len() => picture(images, example.index),
        (_, Some(text)) => {
            let short: String = text.chars().take(CHARACTERS).collect();
            let dots = if short.len() < text.len() { " …" } else { "" };
            format!("<blockquote>{}{dots}</blockquote>", escape(&short))
        }
        _ => String::new(),
    };
    let far = if distance {
        format!("<span class=\"far\">apart {:.0} %</span>", 100.0 * example.distance)
    } else {
        String::new()
    };
    format!(
        "<article>{shown}<p class=\"truth\"><b>{}</b> <span>no. {}</span>{far}</p>{}{}{}</article>\n",
        name(example.class),
        example.index,
        example.teacher.as_ref().map_or_else(String::new, |said| say("teacher", said)),
        say("float", &example.student),
        say("int8", &example.int8)
    )
}

/// An image as a part of the page.
fn picture(images: &Dataset, index: usize) -> String {
    let [height, width, channels] = images.shape;
    let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut png = Vec::new();
    match PngEncoder::new(&mut png).write_image(images.image(index), width as u32, height as u32, color) {
        Ok(()) => format!(
            "<img alt=\"test image {index}\" width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{}\">",
            base64(&png)
        ),
        Err(error) => format!("<p>image {index} cannot be shown: {}</p>", escape(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_whole_png_files() {
        let images = crate::data::generate(2, crate::data::Part::Test, 1);
        let html = picture(&images, 1);
        assert!(html.contains("src=\"data:image/png;base64,iVBORw0KGgo"), "{html}");
        let grey = Dataset { shape: [4, 4, 1], pixels: vec![7; 16], labels: vec![0], classes: vec!["a".into()] };
        assert!(picture(&grey, 0).contains("iVBORw0KGgo"));
    }
}
