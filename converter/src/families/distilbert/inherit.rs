//! A student that begins with what a teacher knows: its tables, and every so many of its layers.

use super::narrow;
use crate::graph::{Graph, Op, Source, Tensor, ValueId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a student took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// The teacher's layer for each layer of the student.
    pub layers: Vec<usize>,
    /// Names of the parameters that the teacher has not, or not in this shape: they are as they were.
    pub left: Vec<String>,
}

/// Why a student cannot take over anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InheritError {
    /// Too few or no layers.
    #[error(
        "`{student}` has {wanted} layers, `{teacher}` has {found}: a student takes its layers from as many or more"
    )]
    Layers {
        /// The student.
        student: String,
        /// The teacher.
        teacher: String,
        /// Layers of the student.
        wanted: usize,
        /// Layers of the teacher.
        found: usize,
    },
    /// Attention by another number of heads, which no shape shows.
    #[error(
        "`{student}` has {wanted} heads, `{teacher}` has {found}: a student takes its layers from a teacher with as many"
    )]
    Heads {
        /// The student.
        student: String,
        /// The teacher.
        teacher: String,
        /// Heads of the student.
        wanted: usize,
        /// Heads of the teacher.
        found: usize,
    },
    /// A part of a layer has another shape.
    #[error(
        "`{name}` of `{student}` has shape {wanted:?}, but {found:?} in `{teacher}`: a student takes its layers from a \
         teacher of its own width, heads and feed-forward width"
    )]
    Shape {
        /// The student.
        student: String,
        /// The teacher.
        teacher: String,
        /// The parameter.
        name: String,
        /// In the student.
        wanted: Vec<usize>,
        /// In the teacher; empty if it has none.
        found: Vec<usize>,
    },
    /// The list of tokens does not fit.
    #[error("token {token} of the student is to be token {from} of the teacher, which has {rows}")]
    Word {
        /// Row of the student.
        token: usize,
        /// Row of the teacher.
        from: u32,
        /// Rows of the teacher.
        rows: usize,
    },
}

/// Begins the names of the layers.
const LAYER: &str = "transformer.layer.";
const WORDS: &str = "embeddings.word_embeddings.weight";
const POSITIONS: &str = "embeddings.position_embeddings.weight";

/// Gives a student the teacher's tables, head, and layers 0, `m/n`, `2m/n`, .. of `m` for its `n` (Sanh et al. 2019).
///
/// `words` says for each token of the student which one of the teacher it is; without it both have the same. Of positions the
/// student takes the first.
///
/// A student whose tables are narrower cannot have the layers. It takes the tables alone, in the directions in which they differ most.
///
/// # Errors
/// If the student has more layers, or layers of another shape or with other heads. The student is then as before.
pub fn inherit(student: &mut Graph, teacher: &Graph, words: Option<&[u32]>) -> Result<Inherited, InheritError> {
    if let [Some(&[_, own]), Some(&[_, given])] = [&*student, teacher].map(|graph| Some(table(graph, WORDS)?.shape()))
        && own < given
    {
        return narrowed(student, teacher, words);
    }
    let (n, m) = (layers(student), layers(teacher));
    if n == 0 || n > m {
        let (student, teacher) = (student.name.clone(), teacher.name.clone());
        return Err(InheritError::Layers { student, teacher, wanted: n, found: m });
    }
    let (wanted, found) = (heads(student), heads(teacher));
    if wanted != found {
        let (student, teacher) = (student.name.clone(), teacher.name.clone());
        return Err(InheritError::Heads { student, teacher, wanted, found });
    }
    let taken: Vec<usize> = (0..n).map(|layer| layer * m / n).collect();
    let mut left = Vec::new();
    let mut filled: Vec<(ValueId, Arc<Tensor>)> = Vec::new();
    for (id, own) in student.params() {
        let name = &student.value(id).name;
        let source = layer_of(name).map_or_else(
            || name.clone(),
            |(layer, rest)| format!("{LAYER}{}{rest}", taken.get(layer).copied().unwrap_or(layer)),
        );
        let given = teacher.find(&source).and_then(|id| teacher.param(id));
        match given {
            Some(given) if name == WORDS && words.is_some() => match rows(given, own.shape(), words.unwrap_or(&[]))? {
                Some(table) => filled.push((id, table.into())),
                None => left.push(name.clone()),
            },
            Some(given) if given.shape() == own.shape() => filled.push((id, Arc::clone(given))),
            Some(given) if name == POSITIONS && given.len() > own.len() && given.shape()[1] == own.shape()[1] => {
                let data = given.data()[..own.len()].to_vec();
                filled.push((id, Tensor::new(own.shape(), data).into()));
            }
            given if name.starts_with(LAYER) => {
                let found = given.map(|given| given.shape().to_vec()).unwrap_or_default();
                let (name, wanted) = (name.clone(), own.shape().to_vec());
                let (student, teacher) = (student.name.clone(), teacher.name.clone());
                return Err(InheritError::Shape { student, teacher, name, wanted, found });
            }
            _ => left.push(name.clone()),
        }
    }
    for (id, tensor) in filled {
        student.value_mut(id).source = Source::Param(tensor);
    }
    Ok(Inherited { layers: taken, left })
}

/// Gives a student the teacher's tables, made as narrow as its own.
fn narrowed(student: &mut Graph, teacher: &Graph, words: Option<&[u32]>) -> Result<Inherited, InheritError> {
    let mut left: Vec<String> = student.params().map(|(id, _)| student.value(id).name.clone()).collect();
    let mut filled = Vec::new();
    let mut directions = Vec::new();
    for name in [WORDS, POSITIONS] {
        let (Some(id), Some(own), Some(given)) = (student.find(name), table(student, name), table(teacher, name))
        else {
            continue;
        };
        let (&[rows_wanted, width], &[_, given_width]) = (own.shape(), given.shape()) else { continue };
        let chosen = match words.filter(|_| name == WORDS) {
            Some(words) => rows(given, &[rows_wanted, given_width], words)?,
            None => given
                .data()
                .get(..rows_wanted * given_width)
                .map(|d| Tensor::new([rows_wanted, given_width], d.to_vec())),
        };
        let Some(chosen) = chosen else { continue };
        if name == WORDS {
            directions = narrow::directions(&chosen, width);
        }
        if directions.len() == width {
            filled.push((id, Tensor::new([rows_wanted, width], narrow::project(chosen.data(), &directions))));
            left.retain(|other| other != name);
        }
    }
    for (id, tensor) in filled {
        student.value_mut(id).source = Source::Param(tensor.into());
    }
    Ok(Inherited { layers: Vec::new(), left })
}

/// A parameter that is a table.
fn table<'g>(graph: &'g Graph, name: &str) -> Option<&'g Tensor> {
    let table = graph.param(graph.find(name)?)?;
    (table.shape().len() == 2).then_some(&**table)
}

/// The number of a layer in a parameter's name, and what follows.
fn layer_of(name: &str) -> Option<(usize, &str)> {
    let rest = name.strip_prefix(LAYER)?;
    let (number, _) = rest.split_once('.')?;
    Some((number.parse().ok()?, &rest[number.len()..]))
}

fn layers(graph: &Graph) -> usize {
    let numbers = graph.params().filter_map(|(id, _)| layer_of(&graph.value(id).name).map(|(layer, _)| layer));
    numbers.collect::<BTreeSet<_>>().len()
}

/// Heads of the first layer.
fn heads(graph: &Graph) -> usize {
    let of = |op: &Op| if let Op::Attention { heads } = *op { Some(heads) } else { None };
    graph.nodes.iter().find_map(|node| of(&node.op)).unwrap_or(0)
}

/// The rows of a table that `words` names; `None` if they are not what the student's shape needs.
fn rows(table: &Tensor, shape: &[usize], words: &[u32]) -> Result<Option<Tensor>, InheritError> {
    let (&[rows, width], &[wanted, own_width]) = (table.shape(), shape) else { return Ok(None) };
    if width != own_width || words.len() != wanted {
        return Ok(None);
    }
    let mut data = Vec::with_capacity(wanted * width);
    for (token, &from) in words.iter().enumerate() {
        let row = table.data().get(from as usize * width..(from as usize + 1) * width);
        data.extend_from_slice(row.ok_or(InheritError::Word { token, from, rows })?);
    }
    Ok(Some(Tensor::new(shape, data)))
}

#[cfg(test)]
mod tests {
    use super::super::{DistilBert, named};
    use super::*;

    fn net(name: &str, seed: u64, change: impl Fn(&mut DistilBert)) -> Graph {
        let mut net = named(name, 10, 8, 3).unwrap();
        change(&mut net);
        net.build(name, Some(seed)).unwrap()
    }

    fn data<'g>(graph: &'g Graph, name: &str) -> &'g [f32] {
        graph.param(graph.find(name).unwrap()).unwrap().data()
    }

    #[test]
    fn every_second_layer_and_some_words_are_taken() {
        let teacher = net("distilbert-l4-h16-a2", 1, |_| {});
        let mut student = net("distilbert-l2-h16-a2", 2, |net| (net.vocabulary, net.tokens) = (3, 5));
        let inherited = inherit(&mut student, &teacher, Some(&[9, 0, 4])).unwrap();
        assert_eq!((&inherited.layers[..], &inherited.left[..]), (&[0, 2][..], &[][..]));
        for part in ["attention.q_lin.weight", "ffn.lin2.weight"] {
            let [own, given] = [(&student, 1), (&teacher, 2)].map(|(g, l)| data(g, &format!("{LAYER}{l}.{part}")));
            assert_eq!(own, given);
        }
        assert_eq!(data(&student, WORDS)[..16], data(&teacher, WORDS)[9 * 16..]);
        assert_eq!(data(&student, POSITIONS), &data(&teacher, POSITIONS)[..5 * 16]);
    }

    #[test]
    fn heads_of_other_classes_stay() {
        let teacher = net("distilbert-l2-h16-a2", 1, |_| {});
        let own = DistilBert { ..named("distilbert-l1-h16-a2", 10, 8, 7).unwrap() };
        let mut student = own.build("own", Some(2)).unwrap();
        let inherited = inherit(&mut student, &teacher, None).unwrap();
        assert_eq!(inherited.left, ["classifier.weight", "classifier.bias"]);
    }

    #[test]
    fn a_narrower_student_takes_the_tables_alone() {
        let teacher = net("distilbert-l4-h16-a2", 1, |_| {});
        let fresh = net("distilbert-l2-h8-a2", 2, |net| (net.vocabulary, net.tokens) = (3, 5));
        let mut student = fresh.clone();
        let inherited = inherit(&mut student, &teacher, Some(&[9, 0, 4])).unwrap();
        assert!(
            inherited.layers.is_empty() && !inherited.left.iter().any(|name| [WORDS, POSITIONS].contains(&&**name))
        );
        let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
        for (own, given) in [(0, 9), (1, 0), (2, 4)] {
            let [own, given] = [&data(&student, WORDS)[8 * own..][..8], &data(&teacher, WORDS)[16 * given..][..16]];
            assert!(length(own) <= 1.0001 * length(given));
        }
        // Three words differ in two directions, which eight hold.
        let difference = |graph: &Graph, [a, b]: [usize; 2], width: usize| {
            let words = data(graph, WORDS);
            let rows = words[a * width..][..width].iter().zip(&words[b * width..][..width]);
            rows.map(|(x, y)| (x - y) * (x - y)).sum::<f32>()
        };
        let (own, given) = (difference(&student, [0, 2], 8), difference(&teacher, [9, 4], 16));
        assert!((own - given).abs() < 1e-3 * given, "{own} {given}");
        let part = "transformer.layer.1.ffn.lin2.weight";
        assert_eq!(data(&student, part), data(&fresh, part));
    }

    #[test]
    fn misfits_are_told_and_change_nothing() {
        let teacher = net("distilbert-l2-h16-a2", 1, |_| {});
        let rows = [
            (net("distilbert-l3-h16-a2", 2, |_| {}), None, "has 3 layers"),
            (net("distilbert-l2-h16-a4", 2, |_| {}), None, "has 4 heads"),
            (net("distilbert-l2-h32-a2", 2, |_| {}), None, "`transformer.layer.0.attention.q_lin.weight`"),
            (net("distilbert-l2-h16-a2", 2, |net| net.vocabulary = 1), Some(&[10u32][..]), "token 10 of the teacher"),
        ];
        for (mut student, words, problem) in rows {
            let before = student.clone();
            let error = inherit(&mut student, &teacher, words).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert_eq!(student, before);
        }
    }
}
