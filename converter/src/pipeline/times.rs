//! How long each stage took, kept beside the artifacts: a result that is used again cost what it cost when it was made.

use crate::artifact::{ArtifactError, Store, write_whole};
use crate::verify::record::StageTime;
use crate::watch::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Hidden, since it is never the same twice.
const FILE: &str = ".times.json";

/// What is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// Seconds for what is stored.
    took: BTreeMap<String, f64>,
    /// Seconds of runs that were stopped before there was something to store.
    spent: BTreeMap<String, f64>,
}

/// The stages of this build so far, and what is known of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Times {
    kept: Kept,
    stages: Vec<StageTime>,
}

impl Times {
    /// What earlier builds in this folder kept; nothing if they kept nothing that can be read.
    pub(super) fn open(store: &Store) -> Self {
        let kept = store.read(FILE).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Times { kept: kept.unwrap_or_default(), stages: Vec::new() }
    }

    /// A stage gave this result.
    pub(super) fn finished(
        &mut self,
        store: &Store,
        stage: Stage,
        result: &str,
        reused: bool,
        time: Duration,
    ) -> Result<(), ArtifactError> {
        let name = stage.name().to_owned();
        let mut seconds = self.kept.took.get(&name).copied();
        if !reused {
            let spent = self.kept.spent.remove(&name).unwrap_or(0.0) + time.as_secs_f64();
            seconds = Some(spent);
            // Examples are read anew by every build, and one that is refused after that leaves nothing behind.
            if stage != Stage::Data {
                self.kept.took.insert(name.clone(), spent);
                self.write(store)?;
            }
        }
        self.stages.push(StageTime { stage: name, result: result.to_owned(), seconds, reused });
        Ok(())
    }

    /// A stage was stopped, and will go on where it was.
    pub(super) fn stopped(&mut self, store: &Store, stage: Stage, time: Duration) -> Result<(), ArtifactError> {
        *self.kept.spent.entry(stage.name().to_owned()).or_default() += time.as_secs_f64();
        self.write(store)
    }

    /// The stages of this build in order.
    pub(super) fn stages(&self) -> &[StageTime] {
        &self.stages
    }

    fn write(&self, store: &Store) -> Result<(), ArtifactError> {
        // Plain numbers under plain names: they can always be written as JSON.
        write_whole(&store.path(FILE), &serde_json::to_vec(&self.kept).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stopped_counts_and_what_is_reused_keeps_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let seconds = Duration::from_secs;
        Times::open(&store).stopped(&store, Stage::Distill, seconds(5)).unwrap();
        let mut times = Times::open(&store);
        times.finished(&store, Stage::Distill, "a", false, seconds(2)).unwrap();
        let mut times = Times::open(&store);
        times.finished(&store, Stage::Teacher, "t", true, seconds(1)).unwrap();
        times.finished(&store, Stage::Distill, "b", true, seconds(1)).unwrap();
        times.finished(&store, Stage::Data, "d", false, seconds(3)).unwrap();
        assert!(Times::open(&store).kept.took.keys().eq(["distill"]));
        let found: Vec<_> = times.stages().iter().map(|stage| (stage.seconds, stage.reused)).collect();
        assert_eq!(found, [(None, true), (Some(7.0), true), (Some(3.0), false)]);
        std::fs::write(store.path(FILE), "no JSON").unwrap();
        assert!(Times::open(&store).kept.took.is_empty());
    }
}
