//! Which parameters are trained when and how fast: frozen parts, gradual unfreezing, and slower early layers.
//!
//! Parameters fall into groups by their names, up to the first part with a number in it: `embeddings`,
//! `transformer.layer.0`, `classifier`; `conv1`, `layer2`, `fc`. Groups are numbered as the network reads them. Parameters that no
//! output but those for a loss depends on, such as what brings a state to its teacher's width, are no layers: they learn from the
//! beginning, at the full rate.

use super::exec::Param;
use super::settings::TrainSettings;
use crate::graph::{Graph, ValueId};
use std::collections::BTreeSet;

/// What is done with a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Share of the learning rate.
    pub(super) share: f32,
    /// The first step, counted from 0, that changes it; `None` if none does.
    pub(super) from: Option<usize>,
}

impl Pace {
    /// Whether a step changes the parameter.
    pub(super) fn moves_at(self, step: usize) -> bool {
        self.from.is_some_and(|from| step >= from)
    }
}

/// The group that a parameter's name puts it into.
fn group(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if part.contains(|c: char| c.is_ascii_digit()) {
            return &name[..end];
        }
        end += 1;
    }
    name.split('.').next().unwrap_or(name)
}

/// The names of the parameters of `graph` that its first output does not depend on.
pub(super) fn for_losses(graph: &Graph) -> BTreeSet<&str> {
    let mut reached: BTreeSet<ValueId> = graph.outputs.first().copied().into_iter().collect();
    for node in graph.nodes.iter().rev() {
        if reached.contains(&node.output) {
            reached.extend(&node.inputs);
        }
    }
    graph.params().filter(|(id, _)| !reached.contains(id)).map(|(id, _)| graph.value(id).name.as_str()).collect()
}

/// The pace of each parameter, in their order, for epochs of `steps` steps; or what is wrong with the settings.
pub(super) fn paces(
    settings: &TrainSettings,
    params: &[Param],
    for_losses: &BTreeSet<&str>,
    steps: usize,
) -> Result<Vec<Pace>, String> {
    let begins = |name: &str, part: &String| {
        name.strip_prefix(part.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some(part) =
        settings.freeze.parts().iter().find(|part| !params.iter().any(|param| begins(&param.name, part)))
    {
        let mut groups: Vec<&str> = params.iter().map(|param| group(&param.name)).collect();
        groups.dedup();
        return Err(format!("`freeze` names `{part}`, but the network has {}", groups.join(", ")));
    }
    let mut groups: Vec<&str> = Vec::new();
    for param in params.iter().filter(|param| !for_losses.contains(&*param.name)) {
        if !groups.contains(&group(&param.name)) {
            groups.push(group(&param.name));
        }
    }
    let pace = |param: &Param| {
        let own = group(&param.name);
        let below = groups.iter().rev().position(|group| *group == own).unwrap_or(0);
        let frozen = match settings.freeze.is_body() {
            true => groups.contains(&own) && groups.last() != Some(&own),
            false => settings.freeze.parts().iter().any(|part| begins(&param.name, part)),
        };
        let from = (below as f64 * f64::from(settings.unfreeze) * steps as f64).ceil() as usize;
        Pace { share: settings.layer_decay.powi(below as i32), from: (!frozen).then_some(from) }
    };
    let paces: Vec<Pace> = params.iter().map(pace).collect();
    if paces.iter().all(|pace| pace.from.is_none()) {
        return Err("`freeze` leaves nothing to train".to_owned());
    }
    Ok(paces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Op, Tensor};
    use crate::train::Freeze;
    use crate::train::exec::ParamKind;

    fn params(names: &[&str]) -> Vec<Param> {
        let param = |name: &&str| Param {
            id: ValueId(0),
            name: (*name).to_owned(),
            value: vec![0.0],
            grad: vec![0.0],
            kind: ParamKind::Weight,
            trainable: true,
            rows: None,
        };
        names.iter().map(param).collect()
    }

    const NAMES: [&str; 6] = [
        "embeddings.word_embeddings.weight",
        "embeddings.LayerNorm.weight",
        "transformer.layer.0.ffn.lin1.weight",
        "transformer.layer.10.ffn.lin1.weight",
        "classifier.weight",
        "classifier.bias",
    ];

    #[test]
    fn groups_are_layers() {
        assert_eq!(NAMES.map(group)[..4], ["embeddings", "embeddings", "transformer.layer.0", "transformer.layer.10"]);
        assert_eq!([group("layer1.0.conv1.weight"), group("fc.bias"), group("w")], ["layer1", "fc", "w"]);
    }

    #[test]
    fn upper_layers_learn_first_and_faster() {
        let settings = TrainSettings { layer_decay: 0.5, unfreeze: 1.5, ..TrainSettings::default() };
        let paces = paces(&settings, &params(&NAMES), &BTreeSet::new(), 10).unwrap();
        let expected = [(0.125, 45), (0.125, 45), (0.25, 30), (0.5, 15), (1.0, 0), (1.0, 0)];
        assert_eq!(paces, expected.map(|(share, from)| Pace { share, from: Some(from) }));
        assert!(paces[3].moves_at(15) && !paces[3].moves_at(14));
    }

    #[test]
    fn what_a_loss_alone_reads_is_no_layer() {
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 2]);
        let mut layer = |name: &str, input| {
            let weight = graph.add_param(format!("{name}.weight"), Tensor::zeros([2, 2]));
            graph.add(name, Op::Linear, &[input, weight]).unwrap()
        };
        let state = layer("layer1", x);
        let [logits, drawn] = ["classifier", "states.0"].map(|name| layer(name, state));
        graph.outputs = vec![logits, drawn];
        let for_losses = for_losses(&graph);
        assert_eq!(for_losses, BTreeSet::from(["states.0.weight"]));
        let settings = TrainSettings { layer_decay: 0.5, unfreeze: 1.0, ..TrainSettings::default() };
        let params = params(&["layer1.weight", "classifier.weight", "states.0.weight"]);
        let found = paces(&settings, &params, &for_losses, 10).unwrap();
        assert_eq!(found, [(0.5, 10), (1.0, 0), (1.0, 0)].map(|(share, from)| Pace { share, from: Some(from) }));
    }

    #[test]
    fn frozen_parts_stay_and_must_be_there() {
        let frozen = |parts: &[&str]| TrainSettings {
            freeze: Freeze::Parts(parts.iter().map(|&part| part.to_owned()).collect()),
            ..TrainSettings::default()
        };
        let paces = |parts: &[&str]| super::paces(&frozen(parts), &params(&NAMES), &BTreeSet::new(), 10);
        let error = paces(&["transformer.layer.1"]).unwrap_err();
        assert!(error.contains("`transformer.layer.1`") && error.contains("transformer.layer.10"), "{error}");
        let still: Vec<bool> =
            paces(&["embeddings", "transformer.layer.10"]).unwrap().iter().map(|p| p.from.is_none()).collect();
        assert_eq!(still, [true, true, false, true, false, false]);
        assert!(paces(&["bert"]).unwrap_err().contains("embeddings, transformer.layer.0"));
        assert!(paces(&["embeddings", "transformer", "classifier"]).unwrap_err().contains("nothing to train"));
        let body = TrainSettings { freeze: Freeze::Body(true), ..TrainSettings::default() };
        let for_loss = BTreeSet::from(["states.0.weight"]);
        let params = params(&[&NAMES[..], &["states.0.weight"]].concat());
        let learns: Vec<bool> =
            super::paces(&body, &params, &for_loss, 10).unwrap().iter().map(|pace| pace.from.is_some()).collect();
        assert_eq!(learns, [false, false, false, false, true, true, true], "the last layer and what is for losses");
    }
}
