//! The text form of a graph, one node a line, made to be read and diffed.

use super::{Graph, Source, ValueId};
use std::fmt;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |id: ValueId| &self.value(id).name;
        writeln!(f, "graph {} ({} parameters)", self.name, self.param_count())?;
        for &id in &self.inputs {
            writeln!(f, "  input {} {:?}", name(id), self.shape(id))?;
        }
        for node in &self.nodes {
            let op = format!("{:?}", node.op);
            write!(f, "  {} {:?} = {op}(", name(node.output), self.shape(node.output))?;
            for (i, &id) in node.inputs.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                match self.value(id).source {
                    Source::Param(_) => write!(f, "{comma}{}{:?}", name(id), self.shape(id))?,
                    _ => write!(f, "{comma}{}", name(id))?,
                }
            }
            writeln!(f, ")")?;
        }
        for &id in &self.outputs {
            writeln!(f, "  output {}", name(id))?;
        }
        Ok(())
    }
}
