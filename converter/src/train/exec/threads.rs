//! A fixed number of threads, or none but the caller's.

use super::ExecError;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

/// Runs jobs on its own threads.
pub(in crate::train) struct Threads(Option<rayon::ThreadPool>);

impl Threads {
    pub(in crate::train) fn new(count: usize) -> Result<Self, ExecError> {
        if count <= 1 {
            return Ok(Threads(None));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|i| format!("exec-{i}")).build();
        pool.map(|pool| Threads(Some(pool))).map_err(|e| ExecError::Threads { count, problem: e.to_string() })
    }

    /// Number of threads at work.
    pub(super) fn count(&self) -> usize {
        self.0.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Calls `job` once for each item.
    pub(in crate::train) fn each<T: Send>(&self, items: &mut [T], job: impl Fn(&mut T) + Sync) {
        match &self.0 {
            Some(pool) => pool.install(|| items.par_iter_mut().for_each(&job)),
            None => items.iter_mut().for_each(job),
        }
    }

    /// The number of the thread that asks, below [`Threads::count`].
    pub(super) fn current(&self) -> usize {
        self.0.as_ref().and_then(rayon::ThreadPool::current_thread_index).unwrap_or(0)
    }
}
